"""What a suite may say of measuring, and that it is no part of what a cell is."""

import pytest
from suites_for_tests import DESIGN, edited, mistakes

from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse


def suite(energy):
    return parse(edited(DESIGN, ("timeout: 10m", f"timeout: 10m\nenergy: {energy}")), "suite.yaml")


def test_a_minute_and_five_idle_seconds_unless_the_suite_says_otherwise():
    metering = parse(DESIGN, "suite.yaml").energy
    assert (metering.meter, metering.min_window, metering.idle, metering.shared) == ("auto", 60, 5, "refuse")
    assert (metering.cool_down.at_least, metering.cool_down.below_c) == (0, None)


def test_times_have_units():
    metering = suite("{min_window: 2m, idle: 0s, cool_down: {at_least: 30s, below_c: 45, at_most: 1h}}").energy
    assert (metering.min_window, metering.idle) == (120, 0)
    assert (metering.cool_down.at_least, metering.cool_down.below_c, metering.cool_down.at_most) == (30, 45, 3600)


@pytest.mark.parametrize(
    ("energy", "place", "message"),
    [
        ("{min_window: 60}", "energy.min_window", "60 is not a time with a unit"),
        ("{min_window: 1:30}", "energy.min_window", "(YAML reads 10:30 as 630)"),
        ("{shared: yes}", "energy.shared", "refuse"),
        ("{minwindow: 60s}", "energy.minwindow", "min_window"),
        ("{meter: off}", "energy.meter", "none"),
        ("{cool_down: {below_c: -3}}", "energy.cool_down.below_c", "greater than 0"),
        ("{required: true}", "energy.required", "the cells get no GPU; set resources.gpus"),
        ("{required: true, meter: none}", "energy.required", "remove one of them"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(energy, place, message):
    found = mistakes(edited(DESIGN, ("timeout: 10m", f"energy: {energy}")))
    assert [(line, where) for line, where, _ in found] == [(13, place)]
    assert message in found[0][2]


def test_a_window_may_be_left_to_the_boards_calibration():
    metering = suite("{min_window: calibrated}").energy
    assert (metering.min_window, metering.least_s) == (None, 10)
    assert metering.calibrated(10.0, 30.0).least_s == 50


def test_how_energy_is_measured_changes_no_key():
    keys = [cell.key for cell in expand(parse(DESIGN, "suite.yaml")).cells]
    assert [cell.key for cell in expand(suite("{min_window: 5m, shared: label}")).cells] == keys
    required = edited(DESIGN, ("gpus: 0", "gpus: 1"), ("timeout: 10m", "energy: {required: true}"))
    assert [cell.key for cell in expand(parse(required, "suite.yaml")).cells] == keys


def test_a_part_of_a_gpu_has_no_joules_to_require():
    half = edited(DESIGN, ("gpus: 0", "gpus: 0.5"), ("timeout: 10m", "energy: {required: true}"))
    assert "0.5 of a GPU has no joules of its own" in mistakes(half)[0][2]
    assert mistakes(edited(half, ("{required: true}", "{required: true, shared: label}"))) == []


def test_a_cell_may_be_given_a_part_of_a_gpu():
    assert parse(edited(DESIGN, ("gpus: 0", "gpus: 0.5")), "suite.yaml").resources.gpus == 0.5
    assert "1.5 is neither a part of a GPU nor a number of GPUs; write 1" in str(
        mistakes(edited(DESIGN, ("gpus: 0", "gpus: 1.5")))
    )


def test_a_time_limit_that_leaves_no_time_to_measure_is_refused():
    short = edited(DESIGN, ("gpus: 0", "gpus: 1"), ("timeout: 10m", "timeout: 65s"))
    assert "65 s does not exceed the 70 s that measuring a cell's energy takes" in mistakes(short)[0][2]
    assert mistakes(edited(short, ("timeout: 65s", "timeout: 65s\nenergy: {meter: none}"))) == []
    assert mistakes(edited(short, ("gpus: 1", "gpus: 0"))) == []
