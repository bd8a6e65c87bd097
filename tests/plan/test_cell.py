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
STANDARD = (
    '"protocol":{"name":"standard","options":{"batch_size":64,"cycle_steps":50,"keep":0.9,"lr":0.001,'
    '"optimizer":"adam","samples":null,"schedule":"constant","steps":600,"threads":1,"validation":0.1,"version":2,'
    '"weight_decay":0.0}}'
)
PINNED = [
    (
        DESIGN,
        0,
        '{"dataset":{"name":"digits","options":{"zoom":1}},"method":{"name":"dense","options":{}},'
        '"model":{"name":"mlp","options":{"bias":true,"widths":[256]}},' + STANDARD + ","
        '"seed":0,"solver":null,"sparsity":0.0,"version":1}',
        "b28281248612a0212a2972b9a5fa02a11f1366f0a1d72bc8ea53b9a65c1a8925",
    ),
    (
        DESIGN,
        3,
        '{"dataset":{"name":"digits","options":{"zoom":1}},'
        '"method":{"name":"dtc","options":{"drop":"smallest","f":0.1,"lam":0.3,'
        '"score":"reconstruction","sides":"both"}},'
        '"model":{"name":"mlp","options":{"bias":true,"widths":[256]}},' + STANDARD + ","
        '"seed":0,"solver":{"name":"lars","options":{"max_iterations":10000}},"sparsity":0.9,"version":1}',
        "2314c5bbae9d5d894bc0547cb5c15cbb798d3908da1d2df871b4eb30ab6d0c79",
    ),
    (
        PUBLISHED,
        1,
        '{"dataset":{"name":"mnist","options":{}},"method":{"name":"dtc-published","options":{"lam":0.3}},'
        '"model":{"name":"mlp","options":{"bias":false,"widths":[512]}},"protocol":{"name":"published","options":'
        '{"batch_size":512,"cycle_steps":200,"keep":0.9,"lr":0.001,"stop_width":10,"threads":2,"version":1}},'
        '"seed":42424242,"solver":{"name":"scs","options":{}},"sparsity":null,"version":1}',
        "19aa41e3e388455ecb8ed1b8eb970bd62b6d7a4baf18340f28d264136cf00647",
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
        {"version": 2},
        {"protocol": Choice(name="standard", options={"version": 2})},
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
    assert replace(choice, options={"lam": 9}).canonical_json == '{"name":"dtc","options":{"lam":9}}'


def test_cells_are_equal_and_hash_alike_by_content():
    assert len({*cells(DESIGN), *cells(DESIGN)}) == len(cells(DESIGN))


def test_a_choices_label_has_its_options():
    assert Choice(name="dtc", options={"lam": 0.5, "drop": "largest"}).label == "dtc(drop=largest, lam=0.5)"
