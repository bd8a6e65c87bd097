"""Which cells a suite expands to, in which order, and what is left out with which reason."""

import sys
from itertools import groupby

import pytest
from suites_for_tests import DESIGN, TINY, edited

from dtcbench.plan import cell as cells_module
from dtcbench.plan.grid import Plan, expand
from dtcbench.plan.suite import Exclusion, parse

BLOCK = DESIGN[DESIGN.index("  - models") : DESIGN.index("resources")]


def plan(text: str) -> Plan:
    return expand(parse(text, "suite.yaml"))


def test_the_design_s_example_has_one_dense_and_sixteen_compressed_cells_a_seed():
    cells = plan(DESIGN).cells
    assert len(cells) == 3 * (1 + 4 * 4)
    assert len({cell.key for cell in cells}) == len(cells)


def test_every_seed_begins_with_its_dense_cell_and_follows_the_order_of_the_file():
    cells = plan(edited(DESIGN, ("0.5, 0.8, 0.9, 0.95", "0.9, 0.5"), ("seeds: 3", "seeds: [5, 2]"))).cells
    seeds = [(seed, list(group)) for seed, group in groupby(cells, lambda cell: cell.seed)]
    assert [seed for seed, _ in seeds] == [5, 2]
    for _, group in seeds:
        assert [(cell.method.name, cell.sparsity) for cell in group] == [
            ("dense", 0.0),
            *((method, s) for method in ("dtc", "dtc-published", "magnitude", "random") for s in (0.9, 0.5)),
        ]


def test_dense_stands_once_per_seed_also_where_blocks_share_it():
    again = edited(BLOCK, ("[dtc, dtc-published, magnitude, random]", "[dense, dtc]"), ("seeds: 3", "seeds: [2, 3]"))
    cells = plan(edited(DESIGN, (BLOCK, BLOCK + again))).cells
    assert [cell.seed for cell in cells if cell.is_dense] == [0, 1, 2, 3]
    assert len({cell.key for cell in cells}) == len(cells) == 51 + 5  # of the second block only seed 3 is new


def test_dense_stands_once_for_each_model_and_dataset():
    text = edited(
        TINY, ("{name: mlp, widths: [16]}", "{name: mlp, widths: [16]}, mlp"), ("[digits]", "[digits, mnist]")
    )
    dense = [cell for cell in plan(text).cells if cell.is_dense]
    assert [(cell.model.values["widths"], cell.dataset.name) for cell in dense] == [
        ([16], "digits"),
        ([16], "mnist"),
        ([512], "digits"),
        ([512], "mnist"),
    ]
    assert {(cell.solver, cell.sparsity) for cell in dense} == {(None, 0.0)}


def test_dense_with_another_stream_is_planned_beside_the_baseline_at_sparsity_0_alone():
    control = edited(TINY, ("[dtc, magnitude]", "[{name: dense, stream: 1}, dtc, {name: dtc, stream: 1}]"))
    cells = plan(control).cells
    assert [cell.label.split()[0] for cell in cells if cell.seed == 0] == [
        "dense", "dense(stream=1)", "dtc/lars", "dtc(stream=1)/lars",
    ]  # fmt: skip
    assert {cell.sparsity for cell in cells if cell.method.name == "dense"} == {0.0}
    assert [cell.method.label for cell in cells if cell.is_dense] == ["dense"] * len({cell.seed for cell in cells})


def test_solvers_multiply_only_the_methods_that_use_one():
    cells = plan(edited(TINY, ("[lars]", "[lars, scs]"), ("[dtc, magnitude]", "[dtc, magnitude, random]"))).cells
    assert [(cell.method.name, cell.solver and cell.solver.name) for cell in cells] == [
        ("dense", None),
        ("dtc", "lars"),
        ("dtc", "scs"),
        ("magnitude", None),
        ("random", None),
    ]


def test_sparsity_0_of_a_method_is_left_to_the_dense_cell_and_said_so():
    planned = plan(edited(TINY, ("[0.5]", "[0, 0.5]")))
    assert [cell.key for cell in planned.cells] == [cell.key for cell in plan(TINY).cells]
    assert [(cell.method.name, cell.sparsity) for cell in planned.excluded] == [("dtc", 0), ("magnitude", 0)]
    assert set(planned.excluded.values()) == {"sparsity 0 removes nothing: the dense cell covers it"}


@pytest.mark.parametrize(
    ("rule", "left_out"),
    [
        ("method: random", 12),
        ("solver: lars", 24),
        ("seed: 2", 17),
        ("sparsity: 0.95", 12),
        ("method: dtc, sparsity: 0.95", 3),
        ("method: dtc, sparsity: 0.95, seed: 0", 1),
        ("model: mlp", 51),
        ("dataset: digits, method: dense", 3),
    ],
)
def test_an_exclusion_leaves_out_the_cells_that_share_all_it_names(rule, left_out):
    planned = plan(edited(DESIGN, ("timeout: 10m", f"exclude: [{{{rule}, reason: too slow}}]")))
    assert len(planned.excluded) == left_out
    assert len(planned.cells) == 51 - left_out
    assert set(planned.excluded.values()) == {"too slow"}
    assert not {cell.key for cell in planned.excluded} & {cell.key for cell in planned.cells}


def test_the_first_exclusion_that_concerns_a_cell_gives_the_reason():
    rules = "exclude: [{method: dtc, seed: 0, reason: first}, {method: dtc, reason: second}]"
    reasons = list(plan(edited(DESIGN, ("timeout: 10m", rules))).excluded.values())
    assert (reasons.count("first"), reasons.count("second")) == (4, 8)


def test_an_exclusion_that_concerns_nothing_is_noted():
    rules = "exclude: [{sparsity: 0.55, reason: typed wrongly}, {method: random, reason: known}]"
    notes = plan(edited(DESIGN, ("timeout: 10m", rules))).notes
    assert [note for note in notes if "exclude" in note] == [
        "exclude[0] (typed wrongly) concerns no cell of this suite"
    ]


def test_sparsities_that_the_steps_cannot_reach_gently_are_noted_once_each():
    notes = plan(DESIGN).notes
    assert [note.split(" takes ")[0] for note in notes] == ["sparsity 0.8", "sparsity 0.9", "sparsity 0.95"]


def test_the_published_protocol_plans_one_cell_a_method_and_seed_without_a_sparsity():
    text = edited(
        TINY,
        ("{name: standard, steps: 30, cycle_steps: 5}", "published"),
        ("    sparsities: [0.5]\n", ""),
        ("[dtc, magnitude]", "[dtc-published, random-published]"),
    )
    planned = plan(text)
    assert [(c.method.name, c.sparsity) for c in planned.cells] == [
        ("dense", 0.0),
        ("dtc-published", None),
        ("random-published", None),
    ]
    assert planned.notes == ()


def test_a_block_may_keep_another_fraction_and_has_a_dense_cell_of_its_own():
    slower = plan(edited(DESIGN, (BLOCK, BLOCK + BLOCK.replace("    seeds: 3", "    keep: 0.95\n    seeds: 3"))))
    assert {cell.protocol.values["keep"] for cell in slower.cells} == {0.9, 0.95}
    assert sum(cell.is_dense for cell in slower.cells) == 6
    assert any("at keep 0.95" in note for note in slower.notes)


def test_several_protocols_each_plan_the_cells_that_they_plan_alone():
    recipes = ["{name: standard, steps: 30, cycle_steps: 5}", "{name: standard, steps: 40, cycle_steps: 5}"]
    block = ("seeds: 1", "keep: 0.8\n    seeds: 2")
    together = plan(edited(TINY, (recipes[0], f"[{', '.join(recipes)}]"), block)).cells
    apart = [cell for one in recipes for cell in plan(edited(TINY, (recipes[0], one), block)).cells]
    assert [cell.key for cell in together] == [cell.key for cell in apart]
    assert {cell.protocol.values["keep"] for cell in together} == {0.8}


def test_the_json_of_a_choice_is_made_once_however_many_cells_share_it(monkeypatch):
    made = []
    canonical = cells_module.canonical_json

    def counted(value):
        made.extend([value] if isinstance(value, dict) else [])
        return canonical(value)

    monkeypatch.setattr(cells_module, "canonical_json", counted)
    planned = plan(edited(DESIGN, ("seeds: 3", "seeds: 200")))
    assert len(planned.cells) == 200 * 17
    assert len(made) == 1 + 1 + 1 + 1 + 4 + 1  # protocol, model, dataset, dense, four methods, solver


def test_a_cell_holds_references_to_the_suite_s_choices_and_little_else():
    planned = plan(edited(DESIGN, ("seeds: 3", "seeds: 200")))
    axes = ("protocol", "model", "dataset", "method", "solver")
    assert [len({id(getattr(cell, axis)) for cell in planned.cells}) for axis in axes] == [1, 1, 1, 5, 2]
    assert not hasattr(planned.cells[0], "__dict__")
    assert sys.getsizeof(planned.cells[0]) + sys.getsizeof(planned.cells[0].key) < 256


def test_each_rule_is_read_once_not_once_a_cell(monkeypatch):
    read = []
    shared = Exclusion.shared.fget
    monkeypatch.setattr(Exclusion, "shared", property(lambda rule: read.append(rule) or shared(rule)))
    rules = "exclude: [{method: dtc, reason: first}, {seed: 3, reason: second}]"
    suite = parse(edited(DESIGN, ("timeout: 10m", rules), ("seeds: 3", "seeds: 200")), "suite.yaml")
    read.clear()
    assert len(expand(suite).excluded) == 200 * 4 + 13
    assert len(read) == 2


def test_a_rule_of_several_seeds_leaves_out_each_of_them():
    rule = "seeds: 4\nexclude: [{method: dense, seed: [1, 3], reason: it takes long}]"
    plan = expand(parse(edited(TINY, ("seeds: 1", rule)), "suite.yaml"))
    assert [cell.seed for cell in plan.cells if cell.is_dense] == [0, 2]
    assert [(cell.label, reason) for cell, reason in plan.excluded.items()] == [
        (f"dense mlp(widths=[16]) digits 0 seed {seed}", "it takes long") for seed in (1, 3)
    ]


GROWING = edited(TINY, ("seeds: 1", "seeds: {first: 5, step: 5, most: 15}"))


def test_growing_seeds_begin_with_the_first_ones():
    plan = expand(parse(GROWING, "suite.yaml"))
    fixed = expand(parse(edited(TINY, ("seeds: 1", "seeds: 5")), "suite.yaml"))

    assert plan.cells == fixed.cells
    assert plan.looks == 1


def test_at_a_further_look_the_rows_that_go_on_get_the_next_seeds_after_all_earlier_cells():
    suite = parse(GROWING, "suite.yaml")
    first = expand(suite)
    dense, dtc, _ = (cell.row for cell in first.cells[:3])
    grown = expand(suite, further=[{dense, dtc}, {dense}])

    assert grown.cells[: len(first.cells)] == first.cells
    assert [(cell.seed, cell.method.name) for cell in grown.cells[len(first.cells) :]] == [
        *((seed, method) for seed in range(5, 10) for method in ("dense", "dtc")),
        *((seed, "dense") for seed in range(10, 15)),
    ]
    assert grown.looks == 3


def test_a_row_that_goes_on_later_than_others_gets_the_seeds_that_it_lacks_too():
    suite = parse(GROWING, "suite.yaml")
    dense, dtc, _ = (cell.row for cell in expand(suite).cells[:3])
    grown = expand(suite, further=[{dense}, {dense, dtc}])

    assert sorted(cell.seed for cell in grown.cells if cell.method.name == "dtc") == [*range(15)]


def test_rows_that_a_suite_no_longer_has_plan_nothing():
    suite = parse(GROWING, "suite.yaml")
    assert expand(suite, further=[{"0" * 64}]).cells == expand(suite).cells
