"""Keys are pinned by literal values: no refactoring may silently rename old records."""

import hashlib
from dataclasses import replace

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_json
from suites_for_tests import DESIGN, edited

from dtcbench.plan.cell import Cell, Choice
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse

PUBLISHED = """\
name: published
question: The same again?
cost: three minutes
protocol: published
grid:
  - models: [{name: mlp, widths: [512], bias: false}]
    datasets: [mnist]
    methods: [dtc-published]
    solvers: [scs]
    seeds: [42424242]
"""
STANDARD = '"protocol":{"name":"standard","options":{"steps":600},"version":2}'
DIGITS = '"dataset":{"name":"digits","options":{},"version":1}'
MLP = '"model":{"name":"mlp","options":{"widths":[256]},"version":1}'
PINNED = [
    (
        DESIGN,
        0,
        f'{{{DIGITS},"method":{{"name":"dense","options":{{}},"version":1}},{MLP},{STANDARD},'
        '"seed":0,"solver":null,"sparsity":0.0,"version":2}',
        "2061e418ab9561174a5215ee1c0b10a7a182042555e63856c36b481f718d2bc1",
    ),
    (
        DESIGN,
        3,
        f'{{{DIGITS},"method":{{"name":"dtc","options":{{}},"version":1}},{MLP},{STANDARD},'
        '"seed":0,"solver":{"name":"lars","options":{},"version":1},"sparsity":0.9,"version":2}',
        "025257982d042a3a0416456b7b08f02ef9d41536a8e946ea9136c1daa65c0388",
    ),
    (
        PUBLISHED,
        1,
        '{"dataset":{"name":"mnist","options":{},"version":1},'
        '"method":{"name":"dtc-published","options":{},"version":1},'
        '"model":{"name":"mlp","options":{"bias":false},"version":1},'
        '"protocol":{"name":"published","options":{},"version":1},'
        '"seed":42424242,"solver":{"name":"scs","options":{},"version":1},"sparsity":null,"version":2}',
        "a3bd15be7a162ec7c5648b29fa1a3c36fcdcf28806689c93a48d25ab92aba175",
    ),
]


def cells(text: str) -> tuple[Cell, ...]:
    return expand(parse(text, "suite.yaml")).cells


@pytest.mark.parametrize(("suite", "place", "canonical", "key"), PINNED, ids=["dense", "dtc", "published"])
def test_canonical_json_and_key_are_the_pinned_ones(suite, place, canonical, key):
    cell = cells(suite)[place]
    assert cell.canonical_json == canonical
    assert cell.key == key == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_key_does_not_depend_on_the_order_in_which_options_are_written():
    reordered = edited(
        DESIGN,
        ("{name: mlp, widths: [256]}", "{bias: true, widths: [256], name: mlp}"),
        (
            "{name: standard, steps: 600, batch_size: 64, lr: 0.001, cycle_steps: 50, keep: 0.9}",
            "{keep: 0.9, cycle_steps: 50, lr: 0.001, batch_size: 64, steps: 600, name: standard}",
        ),
    )
    assert [c.key for c in cells(reordered)] == [c.key for c in cells(DESIGN)]


def test_a_default_written_out_is_the_same_cell():
    written_out = edited(
        DESIGN, ("[lars]", "[{name: lars, max_iterations: 10000}]"), ("lr: 0.001", "lr: 0.001, validation: 0.1")
    )
    assert [c.key for c in cells(written_out)] == [c.key for c in cells(DESIGN)]


def test_name_question_cost_resources_and_timeout_are_not_in_the_key():
    renamed = edited(
        DESIGN,
        ("name: quick", "name: other"),
        ("question: Does", "question: Will"),
        ("two minutes", "an hour"),
        ("cpus: 1, gpus: 0", "cpus: 4, gpus: 1"),
        ("10m", "2h"),
    )
    assert [c.key for c in cells(renamed)] == [c.key for c in cells(DESIGN)]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"protocol": Choice(name="standard", version=3)},
        {"model": Choice(name="mlp", options={"widths": [128]})},
        {"dataset": Choice(name="mnist")},
        {"method": Choice(name="random")},
        {"solver": None},
        {"solver": Choice(name="lars", options={"max_iterations": 9})},
        {"sparsity": 0.91},
        {"sparsity": None},
        {"seed": 1},
    ],
    ids=str,
)
def test_any_other_field_value_is_another_key(change):
    cell = cells(DESIGN)[3]
    assert replace(cell, **change).key != cell.key


def test_a_cell_read_back_from_json_keeps_its_key():
    for cell in (*cells(DESIGN), *cells(PUBLISHED)):
        assert TypeAdapter(Cell).validate_json(to_json(cell)).key == cell.key


def test_a_record_s_whole_number_is_the_fraction_it_means():
    cell = cells(DESIGN)[0]
    assert replace(cell, sparsity=0).canonical_json == cell.canonical_json


def test_a_copy_of_a_choice_with_other_options_has_other_json():
    choice = cells(DESIGN)[3].method
    assert choice.canonical_json
    assert replace(choice, options={"lam": 9}).canonical_json == '{"name":"dtc","options":{"lam":9},"version":1}'


def test_cells_are_equal_and_hash_alike_by_content():
    assert len({*cells(DESIGN), *cells(DESIGN)}) == len(cells(DESIGN))


def test_a_new_option_at_its_default_leaves_the_key_as_it_is_and_another_value_does_not():
    before, cell = Choice.of("dtc", 1, {"lam": 0.3}, {"lam": 0.3}), cells(DESIGN)[3]
    defaults = {"lam": 0.3, "new": "as ever"}
    after = Choice.of("dtc", 1, defaults, defaults)
    assert replace(cell, method=after).key == replace(cell, method=before).key == cell.key
    other = Choice.of("dtc", 1, {"lam": 0.3, "new": "else"}, defaults)
    assert replace(cell, method=other).key != cell.key
    assert replace(cell, method=replace(after, version=2)).key != cell.key


def test_a_choice_states_every_option():
    method = cells(edited(DESIGN, ("methods: [dtc,", "methods: [{name: dtc, lam: 0.5},")))[1].method
    assert method.options == {"lam": 0.5}
    own = {"score": "reconstruction", "drop": "smallest", "lam": 0.5, "f": 0.1, "sides": "both", "widths": "uniform"}
    assert method.values == own | {"stream": 0, "groups": "simple", "when": "during"}
    inner = (
        "drop=smallest, f=0.1, groups=simple, lam=0.5, score=reconstruction, sides=both, stream=0, when=during, "
        "widths=uniform"
    )
    assert method.full_label == f"dtc({inner})"


def test_a_choices_label_has_the_options_that_are_not_at_their_defaults_and_a_version_after_the_first():
    choice = Choice(name="dtc", options={"lam": 0.5, "drop": "largest"}, defaults={"f": 0.1})
    assert choice.label == "dtc(drop=largest, lam=0.5)"
    assert replace(choice, version=2).label == "dtc@2(drop=largest, lam=0.5)"
