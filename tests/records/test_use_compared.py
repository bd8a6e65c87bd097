"""The comparison of ways of use with dense: who is paired with whom, and what a mean is over."""

import math

import pandas as pd
import pytest

from dtcbench.records.use import COMPARED, MEASURED, compared

IDENTITY = {"protocol": "standard", "protocol_sha256": "0", "model": "mlp", "dataset": "digits", "solver": None}


def row(method="dtc", seed=0, widths="pruned", mode="eager", batch_size=1, throughput=100.0, **more):
    """A row of the table `use`: its interval is 10 % wide on either side."""
    numbers = dict.fromkeys(MEASURED, math.nan)
    ends = {"throughput": throughput, "throughput_low": 0.9 * throughput, "throughput_high": 1.1 * throughput}
    names = {"method": method, "seed": seed, "sparsity": 0.0 if method == "dense" else 0.5}
    way = {"widths": widths, "mode": mode, "batch_size": batch_size}
    return {
        **IDENTITY,
        **names,
        **numbers,
        **ends,
        **way,
        "use_flags": "",
        "flops": 50.0 if method == "dtc" else 100.0,
        "hardware_class": "one",
        **dict.fromkeys(("use_reason", "energy_reason", "cpu_energy_reason")),
        **more,
    }


def line(rows, **names):
    found = compared(pd.DataFrame(rows)).to_dict("records")
    (only,) = (one for one in found if all(one[name] == value for name, value in names.items()))
    return only


def test_time_is_of_the_dense_cell_of_the_same_seed_mode_and_batch_at_the_widths_it_was_trained_with():
    rows = [
        row("dense", throughput=50.0),
        row("dense", throughput=7.0, widths="rounded"),
        row("dense", throughput=8.0, mode="cuda-graph"),
        row("dense", throughput=9.0, batch_size=64),
        row("dense", throughput=10.0, seed=1),
        row("dtc", throughput=100.0),
        row("dtc", throughput=40.0, widths="rounded"),
    ]
    assert line(rows, method="dtc", widths="pruned")["time_ratio"] == 0.5
    assert line(rows, method="dtc", widths="rounded")["time_ratio"] == 1.25
    assert line(rows, method="dtc", widths="pruned")["flops_ratio"] == 0.5


def test_seeds_give_a_geometric_mean_with_its_interval_and_two_seeds_none():
    rows = [
        row(method, seed, throughput=rate) for seed, rate in enumerate((100.0, 200.0, 400.0)) for method in ("dtc",)
    ]
    dense = [row("dense", seed) for seed in range(3)]
    found = line([*rows, *dense], method="dtc")
    assert found["time_ratio"] == pytest.approx(0.5)
    assert found["time_low"] < 0.5 < found["time_high"]
    assert math.isnan(line([*rows[:2], *dense], method="dtc")["time_low"])
    assert (found["measured"], found["throughput"]) == (3, 200.0)
    assert found["spread_pct"] == pytest.approx(10)


def test_other_hardware_and_a_missing_dense_cell_leave_numbers_without_a_ratio():
    rows = [row("dense", hardware_class="another"), row("dtc")]
    found = line(rows, method="dtc")
    assert math.isnan(found["time_ratio"])
    assert found["throughput"] == 100.0


def test_what_was_not_measured_is_a_row_with_its_reason_and_flags_are_told():
    rows = [
        row("dense", energy_j=4.0, use_flags="coarse,simulated"),
        row("dtc", energy_j=3.0, use_flags="simulated"),
        row("dtc", mode="cuda-graph", throughput=math.nan, use_reason="no graph"),
    ]
    found = line(rows, method="dtc", mode="cuda-graph")
    assert (found["measured"], found["use_reason"]) == (0, "no graph")
    assert math.isnan(found["time_ratio"])
    energy = line(rows, method="dtc", mode="eager")
    assert (energy["energy_ratio"], energy["flags"]) == (0.75, "simulated")


def test_the_same_rows_in_another_order_give_the_same_table():
    rows = [row(method, seed, batch_size=size) for method in ("dtc", "dense") for seed in (1, 0) for size in (64, 1)]
    table = compared(pd.DataFrame(rows))
    assert list(table) == list(COMPARED)
    assert table["batch_size"].tolist() == [1, 1, 64, 64]
    pd.testing.assert_frame_equal(table, compared(pd.DataFrame(rows[::-1])))
