"""The leaderboard: pairing, coverage, energy and order, on cells written out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from dtcbench.analysis import leaderboard
from dtcbench.analysis.leaderboard import COLUMNS, ENTROPIES

RESULTS = {
    "accuracy": 0.9,
    "bits_per_character": math.nan,
    "sparsity_reached": 0.9,
    "parameters": 100,
    "training_flops": 1000,
    "inference_flops": 10,
    "train_s": 2.0,
    "energy_j": math.nan,
    "energy_method": "none",
    "energy_reason": "no meter",
    "energy_flags": "",
    "hardware_class": "cpu",
    "stack": "aaaa",
}


def cell(method: str, seed: int, *, status: str = "ok", reason: str | None = None, **values) -> dict:
    """One planned cell; `values` replace what an unremarkable ok cell would hold."""
    dense = method == "dense"
    identity = {
        "protocol": "standard",
        "model": "mlp",
        "dataset": "digits",
        "method": method,
        "solver": "lars" if method == "dtc" else None,
        "sparsity": 0.0 if dense else 0.9,
        "seed": seed,
    }
    results = RESULTS if status == "ok" else dict.fromkeys(RESULTS)
    row = {**identity, "status": status, "reason": reason, **results, **values}
    return {**row, "key": f"{row['dataset']}-{method}-{row['sparsity']}-{seed}"}


def entropy(key: str, cycle: int, group: str | None, bits: float | None) -> dict:
    """One layer of one cycle with all its entropies equal."""
    return {"key": key, "cycle": cycle, "group": group, **dict.fromkeys(ENTROPIES, bits)}


def build(cells: list[dict], cycles: list[dict] | None = None) -> leaderboard.Leaderboard:
    layers = pd.DataFrame(cycles or [], columns=["key", "cycle", "group", *ENTROPIES])
    return leaderboard.build(pd.DataFrame(cells), layers, suite="quick", question="Which?")


def row(board: leaderboard.Leaderboard, method: str) -> pd.Series:
    found = board.rows[board.rows["method"] == method]
    assert len(found) == 1
    return found.iloc[0]


def test_pairing_cancels_what_a_seed_does_to_both_sides():
    luck = [0.0, 0.05, -0.1, 0.2]
    board = build(
        [cell("dense", seed, accuracy=0.7 + effect) for seed, effect in enumerate(luck)]
        + [cell("dtc", seed, accuracy=0.6 + effect) for seed, effect in enumerate(luck)]
    )
    dtc = row(board, "dtc")
    assert dtc["accuracy_high"] - dtc["accuracy_low"] > 0.1
    assert (dtc["difference_low"], dtc["difference_high"]) == pytest.approx((-0.1, -0.1))


def test_a_seed_without_an_ok_dense_cell_does_not_pair_and_is_named():
    board = build(
        [
            cell("dense", 0, accuracy=0.8),
            cell("dense", 1, accuracy=0.8),
            cell("dense", 2, status="oom", reason="no memory"),
            *(cell("dtc", seed, accuracy=accuracy) for seed, accuracy in enumerate([0.7, 0.7, 0.1, 0.1])),
        ]
    )
    dtc = row(board, "dtc")
    assert (dtc["ok"], dtc["paired"]) == (4, 2)
    assert dtc["accuracy_mean"] == pytest.approx(0.4)
    assert dtc["difference_mean"] == pytest.approx(-0.1)
    assert dtc["pairing_note"] == "no ok dense cell for seeds 2, 3"
    assert dtc["interval_note"] == "2 paired seeds: no interval of the difference"
    assert math.isnan(dtc["difference_low"]) and not math.isnan(dtc["accuracy_low"])


def test_two_seeds_give_no_interval_and_say_so():
    board = build([cell(method, seed) for method in ("dense", "dtc") for seed in (0, 1)])
    dtc = row(board, "dtc")
    assert dtc["interval_note"] == "2 seeds: no interval"
    assert dtc[["accuracy_low", "accuracy_high", "difference_low", "difference_high"]].isna().all()
    assert not math.isnan(dtc["accuracy_mean"])


def test_a_row_whose_cells_all_failed_stays_with_its_coverage_and_reasons():
    board = build(
        [cell("dense", seed) for seed in range(3)]
        + [cell("dtc", seed, status="oom", reason="out of\n  memory\x1b[0m") for seed in (0, 1)]
        + [cell("dtc", 2, status="missing")]
    )
    dtc = row(board, "dtc")
    assert (dtc["ok"], dtc["planned"]) == (0, 3)
    assert dtc["failures"] == "missing ×1; oom ×2: out of memory [0m"
    assert dtc[["accuracy_mean", "difference_mean", "parameters_ratio", "train_s_mean"]].isna().all()
    assert "3 of 6 planned cells are ok." in board.notes


def test_failed_cells_do_not_enter_the_mean():
    cells = [cell("dtc", 0, accuracy=0.8), cell("dtc", 1, status="diverged", reason="loss is nan")]
    assert row(build(cells), "dtc")["accuracy_mean"] == 0.8


def test_a_table_without_a_single_ok_cell_has_its_rows():
    board = build([cell("dense", 0, status="missing"), cell("dtc", 0, status="missing")])
    assert board.rows["ok"].tolist() == [0, 0]
    assert (board.hardware_classes, board.stacks) == ((), ())


def test_an_empty_plan_has_no_rows():
    board = build([cell("dense", 0)])
    no_cells = pd.DataFrame([cell("dense", 0)]).iloc[:0]
    no_cycles = pd.DataFrame(columns=["key", "cycle", "group", *ENTROPIES])
    empty = leaderboard.build(no_cells, no_cycles, suite="quick", question="Which?")
    assert list(empty.rows.columns) == list(board.rows.columns) == list(COLUMNS)
    assert empty.rows.empty


def test_ratios_are_taken_seed_by_seed():
    board = build(
        [
            cell("dense", 0, parameters=100, training_flops=100),
            cell("dense", 1, parameters=100, training_flops=400),
            cell("dtc", 0, parameters=10, training_flops=50),
            cell("dtc", 1, parameters=20, training_flops=100),
        ]
    )
    dtc = row(board, "dtc")
    assert dtc["parameters_ratio"] == pytest.approx(0.15)
    assert dtc["training_flops_ratio"] == pytest.approx((0.5 + 0.25) / 2)
    assert row(board, "dense")["training_flops_ratio"] == 1


def test_pairs_never_cross_datasets():
    board = build(
        [
            cell("dense", 0, accuracy=0.9, dataset="a"),
            cell("dense", 0, accuracy=0.5, dataset="b"),
            cell("dtc", 0, accuracy=0.8, dataset="a"),
            cell("dtc", 0, accuracy=0.4, dataset="b"),
        ]
    )
    differences = board.rows.set_index(["dataset", "method"])["difference_mean"]
    assert differences["a", "dtc"] == pytest.approx(-0.1)
    assert differences["b", "dtc"] == pytest.approx(-0.1)


def joules(method: str, values: list[float], **common) -> list[dict]:
    metered = {"energy_method": "counter", "energy_reason": None, **common}
    return [cell(method, seed, energy_j=value, **metered) for seed, value in enumerate(values)]


def test_the_energy_ratio_is_the_geometric_mean_of_paired_ratios():
    board = build(joules("dense", [100, 200, 400]) + joules("dtc", [25, 200, 400], energy_flags="short"))
    dtc = row(board, "dtc")
    assert dtc["energy_ratio"] == pytest.approx(0.25 ** (1 / 3))
    assert (dtc["energy_low"], dtc["energy_high"]) == pytest.approx((0.25, 1.0))
    assert dtc["energy_note"] == "flags: short"


def test_a_dense_cell_without_a_meter_is_said_to_lack_it():
    board = build([cell("dense", 0), *joules("dtc", [50])])
    assert row(board, "dtc")["energy_note"] == "dense not measured: no meter"


def test_energies_of_different_hardware_classes_have_no_ratio():
    board = build(joules("dense", [100, 100, 100]) + joules("dtc", [50, 50, 50], hardware_class="gpu"))
    dtc = row(board, "dtc")
    assert math.isnan(dtc["energy_ratio"])
    assert dtc["energy_note"] == "pairs span hardware classes"
    assert "The ok cells span 2 hardware classes: cpu, gpu." in board.notes


def test_energy_that_was_not_measured_is_absent_with_its_reason_and_never_zero():
    board = build([cell(method, seed) for method in ("dense", "dtc") for seed in range(3)])
    dtc = row(board, "dtc")
    assert math.isnan(dtc["energy_ratio"])
    assert dtc["energy_measured"] == 0
    assert dtc["energy_note"] == "not measured: no meter"
    assert "Energy was not measured: no meter." in board.notes


def test_partly_measured_energy_says_how_many_pairs_it_rests_on():
    board = build([*joules("dense", [100, 100, 100]), *joules("dtc", [50, 50]), cell("dtc", 2)])
    dtc = row(board, "dtc")
    assert dtc["energy_ratio"] == pytest.approx(0.5)
    assert dtc["energy_note"] == "not measured in 1 of 3 cells: no meter; 2 energy pairs: no interval"


def test_a_reading_of_zero_joules_makes_no_ratio():
    board = build(joules("dense", [100, 0]) + joules("dtc", [50, 10]))
    assert row(board, "dtc")["energy_ratio"] == pytest.approx(0.5)
    assert row(board, "dtc")["energy_note"] == "0 J read; 1 energy pair: no interval"


def test_entropy_comes_from_the_last_cycle_that_has_one():
    cells = [cell("dtc", 0), cell("dtc", 1), cell("random", 0)]
    cycles = [
        entropy(cells[0]["key"], 0, "a", 8.0),
        entropy(cells[0]["key"], 1, "a", 1.0),
        entropy(cells[0]["key"], 1, "b", 3.0),
        entropy(cells[0]["key"], 2, "a", None),
        entropy(cells[1]["key"], 0, "a", 4.0),
        entropy(cells[2]["key"], 0, "a", None),
    ]
    board = build(cells, cycles)
    assert row(board, "dtc")[ENTROPIES].tolist() == [3.0] * 4
    assert row(board, "random")[ENTROPIES].isna().all()


def test_rows_read_dense_first_then_by_sparsity_and_falling_accuracy_failures_last():
    board = build(
        [
            cell("random", 0, accuracy=0.5),
            cell("dtc", 0, accuracy=0.6),
            cell("magnitude", 0, status="error", reason="x"),
            cell("dtc", 0, accuracy=0.1, sparsity=0.5),
            cell("published", 0, accuracy=0.99, sparsity=math.nan),
            cell("dense", 0, accuracy=0.01),
        ]
    )
    assert board.rows["method"].tolist() == ["dense", "dtc", "dtc", "random", "magnitude", "published"]


def test_the_order_of_the_tables_does_not_change_a_bit():
    cells = [cell(method, seed, accuracy=0.9 - seed / 7) for method in ("dense", "dtc", "random") for seed in range(4)]
    cycles = [entropy(c["key"], 0, g, s / 3) for c in cells for s, g in enumerate("abc")]
    forward, backward = build(cells, cycles), build(cells[::-1], cycles[::-1])
    pd.testing.assert_frame_equal(forward.rows, backward.rows, check_exact=True)
    assert forward.notes == backward.notes


def test_several_stacks_are_pointed_out():
    board = build([cell("dtc", 0, stack="aaaa"), cell("dtc", 1, stack="bbbb")])
    assert "The ok cells span 2 stacks of package versions: aaaa, bbbb." in board.notes


def test_two_dense_cells_of_one_seed_are_refused():
    with pytest.raises(pd.errors.MergeError):
        build([cell("dense", 0), cell("dense", 0), cell("dtc", 0)])
