"""The interval of an energy ratio: over seeds, and what the meter itself leaves open."""

import importlib.util
import math
from pathlib import Path

import pytest
import scipy.stats
from handmade import build, cell, joules, row

from dtcbench.analysis import stats

DENSE, DTC = [1000.0, 1010.0, 990.0], [500.0, 510.0, 500.0]


def half_width(**meter):
    dtc = row(build(joules("dense", DENSE) + joules("dtc", DTC, **meter)), "dtc")
    return (math.log(dtc["energy_high"]) - math.log(dtc["energy_low"])) / 2


def over_seeds():
    logs = [math.log(dtc / dense) for dtc, dense in zip(DTC, DENSE, strict=True)]
    return scipy.stats.sem(logs)


def expected(relative):
    """Half the width by Student's t, of Welch and Satterthwaite's degrees of freedom."""
    both = math.hypot(over_seeds(), relative)
    return scipy.stats.t.ppf(0.975, 2 * (both / over_seeds()) ** 4) * both


@pytest.mark.parametrize(
    ("meter", "relative"),
    [
        ({}, 0.0),
        ({"quantisation_j": [10.0, 10.2, 10.0]}, 0.02 / math.sqrt(6)),
        ({"repeat_spread_j": [20.0, 20.4, 20.0], "repeats": 4}, 0.02),
        (
            {"quantisation_j": [10.0, 10.2, 10.0], "repeat_spread_j": 5.0, "repeats": 100},
            0.02 / math.sqrt(6),
        ),
    ],
)
def test_the_larger_of_quantisation_and_repeats_widens_the_interval_by_its_square(meter, relative):
    assert half_width(**meter) == pytest.approx(expected(relative))


def test_both_sides_of_a_pair_err():
    dense = joules("dense", DENSE, quantisation_j=[10.0, 10.1, 9.9])
    dtc = row(build(dense + joules("dtc", DTC, quantisation_j=[5.0, 5.1, 5.0])), "dtc")
    half = math.log(dtc["energy_high"] / dtc["energy_low"]) / 2
    assert half == pytest.approx(expected(0.01 * math.sqrt(2 / 6)))


def test_a_record_without_the_meters_error_leaves_the_interval_of_seeds_and_says_so():
    dtc = row(build(joules("dense", DENSE) + joules("dtc", DTC, quantisation_j=math.nan)), "dtc")
    assert math.log(dtc["energy_high"] / dtc["energy_low"]) / 2 == pytest.approx(expected(0.0))
    assert "interval without the meter's error" in dtc["energy_note"]


def test_a_row_says_on_how_many_boards_it_was_measured():
    dense = joules("dense", DENSE, gpu_uuid=["a", "b", "b"])
    board = build([*dense, *joules("dtc", DTC, gpu_uuid=["a", "b", "b"]), *[cell("random", seed) for seed in range(3)]])
    assert [int(row(board, method)["energy_boards"]) for method in ("dtc", "random")] == [2, 0]


def test_an_error_of_all_values_is_not_averaged_out():
    alone = stats.mean_estimate([1.0, 2.0, 3.0])
    wider = stats.with_error(alone, 1.0)
    assert wider.error == pytest.approx(math.hypot(alone.error, 1.0))
    assert wider.dof == pytest.approx(2 * (wider.error / alone.error) ** 4)
    assert stats.with_error(alone, math.nan) == alone
    assert stats.with_error(stats.mean_estimate([1.0]), 1.0).interval is None


@pytest.mark.parametrize("edges", ["of each window", "alike in all windows"])
def test_the_interval_of_joules_of_use_holds_the_truth_however_the_edges_of_windows_fall(edges):
    path = Path(__file__).parents[2] / "benchmarks/verdicts.py"
    spec = importlib.util.spec_from_file_location("benchmarks_verdicts", path)
    spec.loader.exec_module(simulation := importlib.util.module_from_spec(spec))
    draws = 200
    found = simulation.in_use(5, 0.01, 0.002, simulation.ALIKE[edges], draws)
    missed = sum(not one.low <= 0 <= one.high for one in found)
    assert scipy.stats.binomtest(missed, draws, 0.05, alternative="greater").pvalue > 0.01
    assert max(one.high - one.low for one in found) < 0.2  # so that a saving of 98 % is told from one of 97.5 %
