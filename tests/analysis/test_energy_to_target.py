"""Energy to target: joules until validation first comes within a point of dense, and what never comes there."""

from __future__ import annotations

import math

import pytest
from handmade import build, cell, joules, layer, row


def curve(cell: dict, *points: tuple[float, float]) -> list[dict]:
    """The cycles of a cell by validation accuracy and joules so far, in two layers each."""
    return [
        layer(cell, cycle, group, validation_before=accuracy, cumulative_j=so_far)
        for cycle, (accuracy, so_far) in enumerate(points)
        for group in "ab"
    ]


def test_energy_to_target_counts_to_the_first_cycle_that_comes_within_a_point_of_dense():
    dense, dtc = joules("dense", [100], validation_accuracy=0.9) + joules("dtc", [90], validation_accuracy=0.5)
    cycles = curve(dense, (0.5, 10.0), (0.88, 40.0), (0.9, 60.0)) + curve(dtc, (0.7, 20.0), (0.89, 30.0), (0.95, 60.0))
    found = row(build([dense, dtc], cycles), "dtc")
    assert found["target_accuracy"] == pytest.approx(0.89)
    assert found["target_reached"] == 1
    assert found["target_energy_ratio"] == pytest.approx(30 / 60)


def test_the_target_is_a_point_below_the_median_of_the_ok_dense_cells():
    dense = joules("dense", [100, 100, 100], validation_accuracy=[0.8, 0.9, 0.99])
    found = row(build([*dense, cell("dense", 3, status="oom", reason="full"), *joules("dtc", [50])]), "dtc")
    assert found["target_accuracy"] == pytest.approx(0.89)


def test_a_cell_that_reaches_the_target_only_at_its_end_needs_all_its_joules():
    dense, dtc = joules("dense", [100], validation_accuracy=0.9) + joules("dtc", [80], validation_accuracy=0.895)
    found = row(build([dense, dtc], curve(dense, (0.5, 10.0)) + curve(dtc, (0.4, 10.0))), "dtc")
    assert found["target_energy_ratio"] == pytest.approx(0.8)


def test_an_accuracy_exactly_a_point_below_dense_reaches_the_target():
    correct = 12
    assert correct / 200 < (correct + 2) / 200 - 0.01  # as floating-point numbers
    dense = joules("dense", [100], validation_accuracy=(correct + 2) / 200)
    found = row(build(dense + joules("dtc", [80], validation_accuracy=correct / 200)), "dtc")
    assert found["target_reached"] == 1


def test_a_seed_that_never_reaches_the_target_makes_it_never_and_no_mean_hides_it():
    dense = joules("dense", [100, 100, 100], validation_accuracy=0.9)
    found = row(build(dense + joules("dtc", [10, 10, 10], validation_accuracy=[0.9, 0.5, 0.5])), "dtc")
    assert found["target_energy_ratio"] == math.inf
    assert math.isnan(found["target_energy_low"]) and math.isnan(found["target_energy_high"])
    assert (found["target_reached"], found["ok"]) == (1, 3)


def test_never_is_known_of_a_seed_whose_joules_are_not():
    dense = joules("dense", [100, 100], validation_accuracy=0.9)
    dtc = [*joules("dtc", [50], validation_accuracy=0.9), cell("dtc", 1, validation_accuracy=0.5)]
    assert row(build(dense + dtc), "dtc")["target_energy_ratio"] == math.inf


def test_a_dense_cell_that_never_reaches_the_target_leaves_its_pair_out_and_is_told():
    dense = joules("dense", [100, 100, 100], validation_accuracy=[0.9, 0.9, 0.5])
    found = row(build(dense + joules("dtc", [50, 50, 50], validation_accuracy=[0.9, 0.9, 0.4])), "dtc")
    assert found["target_energy_ratio"] == pytest.approx(0.5)
    assert found["target_reached"] == 2
    assert found["energy_note"] == "dense never reaches the target in seed 2"


def test_joules_so_far_that_are_not_known_are_not_taken_for_none():
    dense, dtc = joules("dense", [100], validation_accuracy=0.9) + joules("dtc", [50], validation_accuracy=0.9)
    found = row(build([dense, dtc], curve(dtc, (0.95, None))), "dtc")
    assert math.isnan(found["target_energy_ratio"])
    assert found["energy_note"] == "joules to the target known in 0 of 1 pairs"


def test_without_a_validation_accuracy_there_is_no_target():
    found = row(build(joules("dense", [100]) + joules("dtc", [50])), "dtc")
    assert found[["target_accuracy", "target_reached", "target_energy_ratio"]].isna().all()
    assert found["energy_note"] == ""
