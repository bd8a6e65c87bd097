"""A rehearsal keeps what a suite is about and hardly trains."""

import pytest
from suites_for_tests import DESIGN, edited

from dtcbench import registry
from dtcbench.plan import shipped
from dtcbench.plan.grid import expand
from dtcbench.plan.rehearsal import rehearsal
from dtcbench.plan.suite import parse


def kinds(plan):
    """What the cells are of; joules of a rehearsal are none to train for, so its budget is one of FLOPs."""
    return {
        (c.model.name, c.dataset.name, c.method.label.removesuffix("(budget=joules)"), c.solver and c.solver.name)
        for c in plan.cells
    }


def test_a_rehearsal_has_one_seed_one_sparsity_and_a_few_steps_on_a_few_samples():
    suite = parse(rehearsal(DESIGN, "x"), "x")
    assert suite.name == "quick-smoke"
    assert suite.grid[0].seeds == [0]
    assert suite.grid[0].sparsities == [0.5]
    assert (suite.protocol.steps, suite.protocol.samples, suite.protocol.batch_size) == (4, 64, 16)
    assert suite.protocol.lr == 0.001


@pytest.mark.parametrize("name", shipped.names())
def test_every_suite_can_be_rehearsed_with_all_its_networks_methods_and_solvers(name):
    text = shipped.text(name)
    whole, short = (expand(parse(t, name)) for t in (text, rehearsal(text, name)))
    assert kinds(short) == kinds(whole)
    assert len(short.cells) <= len(whole.cells)
    assert not {c.key for c in short.cells} & {c.key for c in whole.cells}


def test_a_rehearsal_of_a_rehearsal_trains_no_more():
    once = rehearsal(DESIGN, "x")
    assert parse(rehearsal(once, "x"), "x").protocol == parse(once, "x").protocol


def test_a_rehearsal_holds_out_enough_and_removes_something():
    text = edited(DESIGN, ("keep: 0.9}", "keep: 0.9, validation: 0.001}"), ("[0.5, 0.8", "[0.0, 0.5, 0.8"))
    suite = parse(rehearsal(text, "x"), "x")
    assert suite.protocol.validation == 0.25
    assert suite.grid[0].sparsities == [0.5]


def test_a_rehearsal_on_several_gpus_uses_them_all():
    text = edited(DESIGN, ("batch_size: 64", "batch_size: 64, accumulate: 8"), ("gpus: 0", "gpus: 4"))
    rehearsed = parse(rehearsal(text, "suite.yaml"), "suite.yaml")
    assert (rehearsed.resources.gpus, rehearsed.protocol.accumulate, rehearsed.protocol.batch_size) == (4, 4, 32)


def test_a_rehearsal_warms_up_and_accumulates_if_the_suite_does():
    text = edited(DESIGN, ("batch_size: 64", "batch_size: 96, accumulate: 24, warmup: 100"))
    protocol = parse(rehearsal(text, "x"), "x").protocol
    assert (protocol.steps, protocol.warmup, protocol.batch_size, protocol.accumulate) == (4, 1, 16, 2)


def test_a_rehearsal_of_several_protocols_has_each_that_still_differs_and_leaves_a_plug_in_s_own_options():
    @registry.register_protocol("own")
    def own(model, steps, *, warmup: float = 0.5): ...

    first, second = "{name: standard, steps: 600, lr: 0.001}", "{name: standard, steps: 800, lr: 0.001}"
    third = "{name: own, steps: 600, warmup: 0.2}"
    start, end = DESIGN.index("{name: standard"), DESIGN.index("\ngrid:")
    text = f"{DESIGN[:start]}[{first}, {second}, {third}]{DESIGN[end:]}"
    rehearsed = parse(rehearsal(text, "x"), "x").protocols
    assert [(one.choice.name, one.steps) for one in rehearsed] == [("standard", 4), ("own", 4)]
    assert rehearsed[1].choice.values["warmup"] == 0.2
