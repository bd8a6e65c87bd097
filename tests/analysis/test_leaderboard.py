"""The leaderboard: pairing, coverage and order, on cells written out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from handmade import CYCLES, build, cell, layer, row

from dtcbench.analysis import leaderboard
from dtcbench.analysis.leaderboard import COLUMNS, ENTROPIES


def test_pairing_cancels_what_a_seed_does_to_both_sides():
    luck, rest = [0.0, 0.05, -0.1, 0.2], [0.001, -0.001, 0.001, -0.001]
    leaderboard = build(
        [cell("dense", seed, accuracy=0.7 + effect) for seed, effect in enumerate(luck)]
        + [cell("dtc", seed, accuracy=0.6 + effect + rest[seed]) for seed, effect in enumerate(luck)]
    )
    dtc = row(leaderboard, "dtc")
    assert dtc["accuracy_high"] - dtc["accuracy_low"] > 0.1
    # s = 0.001 √(4/3), t(0.975, 3) = 3.182446: ± 3.182446 · 0.001 / √3
    assert (dtc["difference_low"], dtc["difference_high"]) == pytest.approx((-0.1018374, -0.0981626), abs=1e-6)


def test_a_seed_without_an_ok_dense_cell_does_not_pair_and_is_named():
    leaderboard = build(
        [
            cell("dense", 0, accuracy=0.8),
            cell("dense", 1, accuracy=0.8),
            cell("dense", 2, status="oom", reason="no memory"),
            *(cell("dtc", seed, accuracy=accuracy) for seed, accuracy in enumerate([0.7, 0.7, 0.1, 0.1])),
        ]
    )
    dtc = row(leaderboard, "dtc")
    assert (dtc["ok"], dtc["paired"]) == (4, 2)
    assert dtc["accuracy_mean"] == pytest.approx(0.4)
    assert dtc["difference_mean"] == pytest.approx(-0.1)
    assert dtc["pairing_note"] == "no ok dense cell for seeds 2, 3"
    assert dtc["interval_note"] == "2 paired seeds: no interval of the difference"
    assert math.isnan(dtc["difference_low"]) and not math.isnan(dtc["accuracy_low"])


def test_two_seeds_give_no_interval_and_say_so():
    leaderboard = build([cell(method, seed) for method in ("dense", "dtc") for seed in (0, 1)])
    dtc = row(leaderboard, "dtc")
    assert dtc["interval_note"] == "2 seeds: no interval"
    assert dtc[["accuracy_low", "accuracy_high", "difference_low", "difference_high"]].isna().all()
    assert not math.isnan(dtc["accuracy_mean"])


def test_a_row_whose_cells_all_failed_stays_with_its_coverage_and_reasons():
    leaderboard = build(
        [cell("dense", seed) for seed in range(3)]
        + [cell("dtc", seed, status="oom", reason="out of\n  memory\x1b[0m") for seed in (0, 1)]
        + [cell("dtc", 2, status="missing")]
    )
    dtc = row(leaderboard, "dtc")
    assert (dtc["ok"], dtc["planned"]) == (0, 3)
    assert dtc["failures"] == "missing ×1; oom ×2: out of memory [0m"
    assert dtc[["accuracy_mean", "difference_mean", "parameters_ratio", "train_s_mean"]].isna().all()
    assert "3 of 6 planned cells are ok." in leaderboard.notes


def test_failed_cells_do_not_enter_the_mean():
    cells = [cell("dtc", 0, accuracy=0.8), cell("dtc", 1, status="diverged", reason="loss is nan")]
    assert row(build(cells), "dtc")["accuracy_mean"] == 0.8


def test_a_table_without_a_single_ok_cell_has_its_rows():
    leaderboard = build([cell("dense", 0, status="missing"), cell("dtc", 0, status="missing")])
    assert leaderboard.rows["ok"].tolist() == [0, 0]
    assert (leaderboard.hardware_classes, leaderboard.stacks) == ((), ())


def test_an_empty_plan_has_no_rows():
    one = build([cell("dense", 0)])
    no_cells = pd.DataFrame([cell("dense", 0)]).iloc[:0]
    no_cycles = pd.DataFrame(columns=CYCLES)
    empty = leaderboard.build(no_cells, no_cycles, suite="quick", question="Which?")
    assert list(empty.rows.columns) == list(one.rows.columns) == list(COLUMNS)
    assert empty.rows.empty


def test_ratios_are_taken_seed_by_seed():
    leaderboard = build(
        [
            cell("dense", 0, parameters=100, training_flops=100),
            cell("dense", 1, parameters=100, training_flops=400),
            cell("dtc", 0, parameters=10, training_flops=50),
            cell("dtc", 1, parameters=20, training_flops=100),
        ]
    )
    dtc = row(leaderboard, "dtc")
    assert dtc["parameters_ratio"] == pytest.approx(0.15)
    assert dtc["training_flops_ratio"] == pytest.approx((0.5 + 0.25) / 2)
    assert row(leaderboard, "dense")["training_flops_ratio"] == 1


def test_pairs_never_cross_datasets():
    leaderboard = build(
        [
            cell("dense", 0, accuracy=0.9, dataset="a"),
            cell("dense", 0, accuracy=0.5, dataset="b"),
            cell("dtc", 0, accuracy=0.8, dataset="a"),
            cell("dtc", 0, accuracy=0.4, dataset="b"),
        ]
    )
    differences = leaderboard.rows.set_index(["dataset", "method"])["difference_mean"]
    assert differences["a", "dtc"] == pytest.approx(-0.1)
    assert differences["b", "dtc"] == pytest.approx(-0.1)


def test_entropy_comes_from_the_last_cycle_that_has_one():
    cells = [cell("dtc", 0), cell("dtc", 1), cell("random", 0)]
    cycles = [
        layer(cells[0], 0, "a", bits=8.0),
        layer(cells[0], 1, "a", bits=1.0),
        layer(cells[0], 1, "b", bits=3.0),
        layer(cells[0], 2, "a", bits=None),
        layer(cells[1], 0, "a", bits=4.0),
        layer(cells[2], 0, "a", bits=None),
    ]
    leaderboard = build(cells, cycles)
    assert row(leaderboard, "dtc")[ENTROPIES].tolist() == [3.0] * 4
    assert row(leaderboard, "random")[ENTROPIES].isna().all()


def test_rows_read_dense_first_then_by_sparsity_and_falling_accuracy_failures_last():
    leaderboard = build(
        [
            cell("random", 0, accuracy=0.5),
            cell("dtc", 0, accuracy=0.6),
            cell("magnitude", 0, status="error", reason="x"),
            cell("dtc", 0, accuracy=0.1, sparsity=0.5),
            cell("published", 0, accuracy=0.99, sparsity=math.nan),
            cell("dense", 0, accuracy=0.01),
        ]
    )
    assert leaderboard.rows["method"].tolist() == ["dense", "dtc", "dtc", "random", "magnitude", "published"]


def test_the_order_of_the_tables_does_not_change_a_bit():
    cells = [cell(method, seed, accuracy=0.9 - seed / 7) for method in ("dense", "dtc", "random") for seed in range(4)]
    cycles = [layer(c, 0, g, bits=s / 3) for c in cells for s, g in enumerate("abc")]
    forward, backward = build(cells, cycles), build(cells[::-1], cycles[::-1])
    pd.testing.assert_frame_equal(forward.rows, backward.rows, check_exact=True)
    assert forward.notes == backward.notes


def test_several_stacks_are_pointed_out():
    leaderboard = build([cell("dtc", 0, stack="numpy 2, torch 2.12"), cell("dtc", 1, stack="numpy 2, torch 2.13")])
    assert "The ok cells span 2 stacks of package versions: torch 2.12; torch 2.13." in leaderboard.notes


def test_a_plug_in_that_only_some_cells_use_makes_no_second_stack():
    leaderboard = build([cell("dtc", 0, stack="numpy 2"), cell("mine", 0, stack="numpy 2, plug-in mine 1a2b")])
    assert not any("stacks" in note for note in leaderboard.notes)


# tests of differences and equivalence


def of_seeds(method: str, *accuracies: float, **values) -> list[dict]:
    return [cell(method, seed, accuracy=accuracy, **values) for seed, accuracy in enumerate(accuracies)]


DENSE_CELLS = of_seeds("dense", 0.900, 0.910, 0.920, 0.930, 0.940)


def test_a_small_steady_loss_is_a_difference_and_still_equivalent_within_a_point():
    leaderboard = build(DENSE_CELLS + of_seeds("dtc", 0.8981, 0.908, 0.9182, 0.9279, 0.938))
    dtc = row(leaderboard, "dtc")
    assert dtc["difference_p_adjusted"] < 0.001
    assert dtc["equivalent"] == "yes"


def test_a_noisy_difference_around_zero_is_no_difference_and_not_equivalent():
    dtc = row(build(DENSE_CELLS + of_seeds("dtc", 0.93, 0.87, 0.96, 0.89, 0.95)), "dtc")
    assert dtc["difference_p_adjusted"] > 0.5
    assert dtc["equivalent"] == "no"


def test_more_comparisons_raise_the_adjusted_p_and_never_the_p():
    dtc = of_seeds("dtc", 0.88, 0.905, 0.91, 0.92, 0.91)
    others = [c for at in (0.1, 0.5, 0.7) for c in of_seeds("random", 0.9, 0.92, 0.9, 0.95, 0.93, sparsity=at)]
    few, many = (row(build(DENSE_CELLS + dtc + more), "dtc") for more in ([], others))
    assert few["difference_p"] == many["difference_p"] == few["difference_p_adjusted"]
    assert few["difference_p"] < many["difference_p_adjusted"]


@pytest.mark.parametrize(
    ("accuracies", "note"),
    [
        ([0.89, 0.92], "2 paired seeds: no test"),
        ([0.88, 0.89, 0.90, 0.91, 0.92], "equal in all paired seeds: no test"),
    ],
)
def test_without_enough_seeds_or_any_spread_there_is_no_test_but_a_reason(accuracies, note):
    dtc = row(build(DENSE_CELLS + of_seeds("dtc", *accuracies)), "dtc")
    assert dtc["test_note"] == note
    assert dtc["equivalent"] == ""
    assert dtc[["difference_p", "difference_p_adjusted", "equivalence_p_adjusted"]].isna().all()


def test_dense_is_compared_with_nothing():
    dense = row(build(DENSE_CELLS), "dense")
    assert dense[["equivalent", "test_note"]].tolist() == ["", ""]
    assert math.isnan(dense["difference_p"])


def test_two_dense_cells_of_one_seed_are_refused():
    with pytest.raises(pd.errors.MergeError):
        build([cell("dense", 0), cell("dense", 0), cell("dtc", 0)])
