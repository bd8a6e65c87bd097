"""The comparison of ways of use with dense: who is paired with whom, and what a mean is over."""

import math

import pandas as pd
import pytest

from dtcbench.analysis import stats
from dtcbench.analysis.energy_columns import DISQUALIFYING
from dtcbench.records.use import COMPARED, MEASURED, compared
from dtcbench.report.use_view import notes

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
        "gpu_uuid": "GPU-1",
        "energy_method": "counter",
        "energy_scope": "gpu",
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


def test_the_interval_of_joules_holds_one_refresh_a_window_which_no_number_of_seeds_averages_out():
    shares = (0.5, 0.501, 0.502)
    joules = [("dense", seed, 4.0) for seed in range(3)] + [("dtc", seed, 4.0 * by) for seed, by in enumerate(shares)]

    def found(**meter):
        rows = [row(method, seed, energy_j=j, energy_low_j=j, energy_high_j=j, **meter) for method, seed, j in joules]
        return line(rows, method="dtc")

    over_seeds = stats.mean_estimate(map(math.log, shares))
    three_seconds = stats.with_error(over_seeds, 0.1 / 3 / math.sqrt(6) * math.sqrt(2))
    of_windows, unknown = found(passes=300), found(passes=math.nan)  # of 1 sample, at 100 a second
    assert math.log(of_windows["energy_high"]) == pytest.approx(three_seconds.high)
    assert math.log(unknown["energy_high"]) < math.log(of_windows["energy_high"]) - 0.02
    assert of_windows["energy_ratio"] == pytest.approx(math.exp(over_seeds.mean))


def test_other_hardware_and_a_missing_dense_cell_leave_numbers_without_a_ratio():
    rows = [row("dense", hardware_class="another"), row("dtc")]
    found = line(rows, method="dtc")
    assert math.isnan(found["time_ratio"])
    assert found["throughput"] == 100.0


@pytest.mark.parametrize(
    ("of_dense", "of_dtc", "reason"),
    [
        ({}, {"gpu_uuid": "GPU-2"}, "pairs on different GPUs"),
        ({"gpu_uuid": None}, {}, "GPU not known"),
        ({"energy_method": "integral"}, {}, "measured by counter and integral"),
        ({}, {"energy_scope": "module"}, "covering gpu and module"),
        ({"hardware_class": "another"}, {}, "no dense cell with joules on the same hardware class"),
        ({"energy_j": math.nan}, {}, "no dense cell with joules on the same hardware class"),
        *(({}, {"use_flags": f"warm,{flag}"}, words) for flag, words in DISQUALIFYING.items()),
        ({"use_flags": "coarse"}, {"use_flags": "gaps"}, "coarse against the driver's refresh, gaps between samples"),
    ],
)
def test_joules_that_training_would_not_rank_have_no_ratio_but_a_reason(of_dense, of_dtc, reason):
    of_dense, of_dtc = {"energy_j": 4.0, **of_dense}, {"energy_j": 3.0, **of_dtc}
    good = [row("dense", 1, energy_j=4.0), row("dtc", 1, energy_j=3.0)]  # one bad pair spoils the row, as in training
    found = line([row("dense", **of_dense), row("dtc", **of_dtc)], method="dtc")
    assert (found["energy_j"], found["energy_ratio_reason"]) == (3.0, reason)
    shown = notes(compared(pd.DataFrame([row("dense", **of_dense), row("dtc", **of_dtc)])))
    assert any("not compared" in note and reason in note for note in shown)
    assert math.isnan(found["energy_ratio"])
    both = line([*good, row("dense", **of_dense), row("dtc", **of_dtc)], method="dtc")
    has_pair = not reason.startswith("no dense cell")
    assert math.isnan(both["energy_ratio"]) == has_pair
    assert both["energy_ratio_reason"] == (reason if has_pair else "")


def test_pairs_of_several_hardware_classes_have_no_energy_ratio_and_boards_of_one_class_have_one():
    def rows(**second):
        first = [row(method, energy_j=joules) for method, joules in (("dense", 4.0), ("dtc", 3.0))]
        return [*first, *(row(one["method"], 1, energy_j=one["energy_j"], **second) for one in first)]

    assert line(rows(gpu_uuid="GPU-2"), method="dtc")["energy_ratio"] == pytest.approx(0.75)
    apart = line(rows(gpu_uuid="GPU-2", hardware_class="another"), method="dtc")
    assert (math.isnan(apart["energy_ratio"]), apart["energy_ratio_reason"]) == (True, "pairs span hardware classes")


def test_times_of_several_hardware_classes_have_no_mean_and_those_of_one_have_it():
    def rows(hardware_class, dtc_again=800.0):
        first = [row("dense", throughput=100.0), row("dtc", throughput=200.0)]
        again = {"seed": 1, "hardware_class": hardware_class}
        return [*first, row("dense", throughput=100.0, **again), row("dtc", throughput=dtc_again, **again)]

    one = line(rows("one"), method="dtc")
    assert (one["time_ratio"], one["time_ratio_reason"]) == (pytest.approx(0.25), "")
    several = line(rows("another"), method="dtc")
    assert (math.isnan(several["time_ratio"]), several["time_ratio_reason"]) == (True, "pairs span hardware classes")
    assert several["flops_ratio"] == 0.5
    told = " ".join(notes(compared(pd.DataFrame(rows("another")))))
    assert "Time: 2 rows not compared: pairs span hardware classes." in told
    assert "Time: 2 rows without a number: cells of several hardware classes have no median." in told
    unmeasured = line(rows("another", dtc_again=math.nan), method="dtc")
    assert (unmeasured["time_ratio"], unmeasured["time_ratio_reason"]) == (0.5, "")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *[(name, "use_reason") for name in ("latency_s", "throughput")],
        *[(name, name.replace("_j", "_reason")) for name in ("energy_j", "cpu_energy_j")],
    ],
)
def test_no_number_of_a_row_mixes_hardware_classes(name, reason):
    numbers = {"latency_s": 2.0, "throughput": 4.0, "energy_j": 6.0, "cpu_energy_j": 8.0}
    one = row("dtc", **numbers)
    of_class = {kind: row("dtc", 1, hardware_class=kind, **numbers) for kind in ("one", "another")}
    assert (line([one, of_class["one"]])[name], line([one, of_class["one"]])[reason]) == (numbers[name], "")
    mixed = line([one, of_class["another"]])
    assert (math.isnan(mixed[name]), mixed[reason]) == (True, "cells of several hardware classes have no median")
    unmeasured = of_class["another"] | {"throughput": math.nan, name: math.nan, reason: "too large a batch"}
    assert (line([one, unmeasured])[name], line([one, unmeasured])[reason]) == (numbers[name], "too large a batch")


def test_joules_of_a_gpu_and_of_a_module_have_no_median_and_times_have():
    cells = [row("dtc", seed, energy_j=3.0, energy_scope=scope) for seed, scope in enumerate(("gpu", "module"))]
    found = line(cells)
    assert (math.isnan(found["energy_j"]), found["energy_reason"]) == (
        True,
        "joules covering gpu and module have no median",
    )
    assert (found["throughput"], found["use_reason"]) == (100.0, "")


def test_what_was_not_measured_is_a_row_with_its_reason_and_flags_are_told():
    rows = [
        row("dense", energy_j=4.0, use_flags="processes-unseen,warm"),
        row("dtc", energy_j=3.0, use_flags="warm"),
        row("dtc", mode="cuda-graph", throughput=math.nan, use_reason="no graph"),
    ]
    found = line(rows, method="dtc", mode="cuda-graph")
    assert (found["measured"], found["use_reason"]) == (0, "no graph")
    assert math.isnan(found["time_ratio"])
    energy = line(rows, method="dtc", mode="eager")
    assert (energy["energy_ratio"], energy["flags"], energy["energy_ratio_reason"]) == (0.75, "warm", "")


def test_the_same_rows_in_another_order_give_the_same_table():
    rows = [row(method, seed, batch_size=size) for method in ("dtc", "dense") for seed in (1, 0) for size in (64, 1)]
    table = compared(pd.DataFrame(rows))
    assert list(table) == list(COMPARED)
    assert table["batch_size"].tolist() == [1, 1, 64, 64]
    pd.testing.assert_frame_equal(table, compared(pd.DataFrame(rows[::-1])))
