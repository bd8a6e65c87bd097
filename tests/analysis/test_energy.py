"""What is claimed of energy: ratios, what bars a rank, and what is said where nothing was metered."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import scipy.stats
from handmade import build, cell, joules, layer, row
from hypothesis import given, settings
from hypothesis import strategies as st

from dtcbench.analysis import energy_columns
from dtcbench.analysis.energy_columns import DISQUALIFYING
from dtcbench.energy.joules import FLAGS

FIGURES = [name for name in energy_columns.COLUMNS if name.endswith(("_ratio", "_low", "_high", "_rank"))]
TIMES = ["time_ratio", "time_low", "time_high"]
POSITIVE = st.floats(0.1, 1e4)


# ratios of joules


def test_the_energy_ratio_is_the_geometric_mean_of_paired_ratios():
    dtc = row(build(joules("dense", [100, 200, 400]) + joules("dtc", [25, 200, 400])), "dtc")
    assert dtc["energy_ratio"] == pytest.approx(0.25 ** (1 / 3))
    logs = scipy.stats.ttest_1samp([math.log(0.25), 0, 0], 0).confidence_interval()
    assert (dtc["energy_low"], dtc["energy_high"]) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))
    assert dtc["energy_note"] == ""


def test_a_dense_cell_without_a_meter_is_said_to_lack_it():
    leaderboard = build([cell("dense", 0), *joules("dtc", [50])])
    assert row(leaderboard, "dtc")["energy_note"] == "dense not measured: no meter"
    assert row(leaderboard, "dtc")[["energy_ratio", "energy_rank"]].isna().all()


def test_energies_of_different_hardware_classes_have_no_ratio_and_no_rank():
    leaderboard = build(joules("dense", [100, 100, 100]) + joules("dtc", [50, 50, 50], hardware_class="gpu"))
    dtc = row(leaderboard, "dtc")
    assert dtc[FIGURES].isna().all()
    assert dtc["energy_note"] == "pairs span hardware classes"
    assert "The ok cells span 2 hardware classes: cpu; gpu." in leaderboard.notes


def test_partly_measured_energy_says_how_many_pairs_it_rests_on():
    leaderboard = build([*joules("dense", [100, 100, 100]), *joules("dtc", [50, 50]), cell("dtc", 2)])
    dtc = row(leaderboard, "dtc")
    assert dtc["energy_ratio"] == pytest.approx(0.5)
    assert dtc["energy_note"] == (
        "not measured in 1 of 3 cells: no meter; 2 energy pairs: no interval; no rank: energy compared in 2 of 3 seeds"
    )


def test_a_reading_of_zero_joules_makes_no_ratio():
    dtc = row(build(joules("dense", [100, 0]) + joules("dtc", [50, 10])), "dtc")
    assert dtc["energy_ratio"] == pytest.approx(0.5)
    assert dtc["energy_note"] == "0 J read; 1 energy pair: no interval; no rank: energy compared in 1 of 2 seeds"


def test_net_of_idle_compares_the_joules_above_idle():
    # 2 s at an idle power of 5 W are 10 J.
    dtc = row(build(joules("dense", [110, 110]) + joules("dtc", [35, 60])), "dtc")
    assert dtc["net_energy_ratio"] == pytest.approx(math.sqrt(0.25 * 0.5))
    assert dtc["energy_ratio"] > dtc["net_energy_ratio"]


def test_a_pair_without_joules_above_idle_makes_no_net_ratio_and_is_told():
    dtc = row(build(joules("dense", [110, 110, 110]) + joules("dtc", [60, 9, 60], idle_w=[5, 5, math.nan])), "dtc")
    assert dtc["net_energy_ratio"] == pytest.approx(0.5)
    assert "net of idle from 1 of 3 pairs" in dtc["energy_note"]


def test_processor_joules_are_compared_on_their_own():
    cells = [cell("dense", 0, cpu_energy_j=80.0), cell("dtc", 0, cpu_energy_j=20.0)]
    dtc = row(build(cells), "dtc")
    assert (dtc["cpu_energy_measured"], dtc["cpu_energy_ratio"]) == (1, pytest.approx(0.25))
    assert dtc["energy_measured"] == 0 and math.isnan(dtc["energy_ratio"])


# power and time


@settings(max_examples=20)
@given(st.lists(st.tuples(POSITIVE, POSITIVE, POSITIVE, POSITIVE), min_size=1, max_size=4))
def test_energy_is_power_times_time_in_every_row_that_is_measured_throughout(seeds):
    ours, ours_s, dense, dense_s = map(list, zip(*seeds, strict=True))
    leaderboard = build(joules("dense", dense, training_s=dense_s) + joules("dtc", ours, training_s=ours_s))
    for _, found in leaderboard.rows.iterrows():
        assert found["energy_ratio"] == pytest.approx(found["power_ratio"] * found["time_ratio"], rel=1e-9)


def test_time_is_compared_without_any_meter():
    seconds = {"dense": (10.0, 10.0, 10.0), "dtc": (5.0, 10.0, 5.0)}
    leaderboard = build([cell(m, seed, training_s=s) for m, all_s in seconds.items() for seed, s in enumerate(all_s)])
    dtc = row(leaderboard, "dtc")
    assert dtc["time_ratio"] == pytest.approx(0.25 ** (1 / 3))
    logs = scipy.stats.ttest_1samp([math.log(0.5), 0, math.log(0.5)], 0).confidence_interval()
    assert (dtc["time_low"], dtc["time_high"]) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))


def test_times_of_different_hardware_classes_are_not_compared():
    cells = [cell("dense", 0), cell("dtc", 0, hardware_class="another cpu")]
    assert math.isnan(row(build(cells), "dtc")["time_ratio"])


# no meter


def test_energy_that_was_not_measured_is_absent_with_its_reason_and_never_zero():
    cells = [cell(method, seed, validation_accuracy=0.9) for method in ("dense", "dtc") for seed in range(3)]
    leaderboard = build(cells, [layer(c, 0, validation_before=0.95) for c in cells])
    for method in ("dense", "dtc"):
        found = row(leaderboard, method)
        assert found[[name for name in FIGURES if name not in TIMES]].isna().all()
        assert (found["energy_measured"], found["cpu_energy_measured"]) == (0, 0)
        assert found["energy_note"] == "not measured: no meter"
        assert found["target_reached"] == 3
    assert "Energy was not measured: no meter." in leaderboard.notes
    assert not any("idle" in note for note in leaderboard.notes)


# ranks


def ranks(leaderboard) -> dict[str, float]:
    return leaderboard.rows.set_index("method")["energy_rank"].astype(float).to_dict()


def test_the_least_joules_rank_first_dense_among_them_and_ties_share_the_lower_rank():
    leaderboard = build(
        joules("dense", [100, 100])
        + joules("dtc", [50, 50])
        + joules("random", [50, 50])
        + joules("magnitude", [120, 130])
    )
    assert ranks(leaderboard) == {"dtc": 1, "random": 1, "dense": 3, "magnitude": 4}


def test_gross_joules_rank_not_those_above_idle():
    # random takes fewer joules above idle, and more in all.
    leaderboard = build(
        joules("dense", [100]) + joules("dtc", [60], training_s=1.0) + joules("random", [62], training_s=8.0)
    )
    assert row(leaderboard, "random")["net_energy_ratio"] < row(leaderboard, "dtc")["net_energy_ratio"]
    assert ranks(leaderboard) == {"dtc": 1, "random": 2, "dense": 3}


@pytest.mark.parametrize(("flag", "words"), DISQUALIFYING.items())
def test_a_disqualifying_flag_of_one_cell_keeps_its_row_from_a_rank_and_is_told(flag, words):
    leaderboard = build(joules("dense", [100, 100]) + joules("dtc", [50, 50], energy_flags=["", f"warm,{flag}"]))
    dtc = row(leaderboard, "dtc")
    assert ranks(leaderboard) == {"dense": 1, "dtc": pytest.approx(math.nan, nan_ok=True)}
    assert dtc["energy_ratio"] == pytest.approx(0.5)
    assert dtc["energy_note"] == f"flags: warm; no rank: {words}"


def test_the_flags_bar_a_rank_that_the_energy_page_says_do():
    page = (Path(__file__).parents[2] / "docs" / "energy.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([a-z-]+)` \|.*\| (yes|no) \|$", page, flags=re.MULTILINE))
    assert told == {flag: "yes" if flag in DISQUALIFYING else "no" for flag in FLAGS}


def test_a_flag_of_a_dense_cell_bars_all_that_pair_with_it():
    leaderboard = build(joules("dense", [100, 100], energy_flags=["short", ""]) + joules("dtc", [50, 50]))
    assert leaderboard.rows["energy_rank"].isna().all()
    assert row(leaderboard, "dtc")["energy_note"] == "no rank: short windows"


def test_a_flag_that_spoils_no_figure_bars_no_rank():
    leaderboard = build(joules("dense", [100]) + joules("dtc", [50], energy_flags="warm"))
    assert ranks(leaderboard)["dtc"] == 1
    assert row(leaderboard, "dtc")["energy_note"] == "flags: warm"


def test_one_method_of_measurement_is_as_good_as_the_other_but_not_beside_it():
    integral = {"energy_method": "integral"}
    leaderboard = build(joules("dense", [100], **integral) + joules("dtc", [50], **integral) + joules("random", [50]))
    assert ranks(leaderboard)["dtc"] == 1
    assert row(leaderboard, "random")["energy_note"] == "no rank: measured by counter and integral"


def test_a_pair_on_two_gpus_has_no_rank_and_says_so():
    leaderboard = build(joules("dense", [100, 100]) + joules("dtc", [50, 50], gpu_uuid=["GPU-0", "GPU-1"]))
    assert row(leaderboard, "dtc")["energy_note"] == "no rank: pairs on different GPUs"
    assert math.isnan(ranks(leaderboard)["dtc"])


def test_a_gpu_that_is_not_known_has_no_rank_and_says_so():
    leaderboard = build(joules("dense", [100, 100]) + joules("dtc", [50, 50], gpu_uuid=["GPU-0", None]))
    assert row(leaderboard, "dtc")["energy_note"] == "no rank: GPU not known"


def test_seeds_may_lie_on_different_gpus_as_long_as_each_pair_shares_one():
    gpus = {"gpu_uuid": ["GPU-0", "GPU-1"]}
    assert ranks(build(joules("dense", [100, 100], **gpus) + joules("dtc", [50, 50], **gpus)))["dtc"] == 1


def test_a_row_with_a_failed_cell_has_no_rank():
    leaderboard = build(
        [*joules("dense", [100, 100]), *joules("dtc", [50]), cell("dtc", 1, status="oom", reason="full")]
    )
    assert row(leaderboard, "dtc")["energy_note"] == ("no rank: energy compared in 1 of 2 seeds")


def test_a_row_planned_with_fewer_seeds_than_its_pool_is_not_ranked_among_it():
    leaderboard = build(joules("dense", [100, 100]) + joules("dtc", [50]) + joules("random", [60, 60]))
    assert ranks(leaderboard)["random"] == 1
    assert row(leaderboard, "dtc")["energy_note"] == "no rank: energy compared in 1 of 2 seeds"


def test_pools_rank_apart():
    leaderboard = build(
        joules("dense", [100], dataset="a")
        + joules("dtc", [50], dataset="a")
        + joules("dense", [10], dataset="b")
        + joules("dtc", [20], dataset="b")
    )
    found = leaderboard.rows.set_index(["dataset", "method"])["energy_rank"]
    assert (found["a", "dtc"], found["a", "dense"], found["b", "dense"], found["b", "dtc"]) == (1, 2, 1, 2)


# simulations


def test_a_simulated_gpu_is_never_ranked_and_forbids_publishing():
    simulated = {"simulated": True, "gpu": "Simulated\nH100"}
    leaderboard = build(joules("dense", [100, 100], **simulated) + joules("dtc", [50, 50], **simulated))
    assert leaderboard.rows["energy_rank"].isna().all()
    assert row(leaderboard, "dtc")["energy_note"] == "no rank: simulated GPU"
    assert leaderboard.obstacles == (
        "Energy of 4 cells comes from a simulated GPU (Simulated H100): not for publication.",
    )


def test_one_simulated_cell_is_enough():
    leaderboard = build(joules("dense", [100, 100]) + joules("dtc", [50, 50], simulated=[False, True]))
    assert ranks(leaderboard)["dense"] == 1 and math.isnan(ranks(leaderboard)["dtc"])
    assert leaderboard.obstacles == ("Energy of 1 cell comes from a simulated GPU (A GPU): not for publication.",)


def test_a_simulated_dense_cell_bars_all_that_pair_with_it():
    leaderboard = build(joules("dense", [100, 100], simulated=[True, False]) + joules("dtc", [50, 50]))
    assert row(leaderboard, "dtc")["energy_note"] == "no rank: simulated GPU"


def test_without_a_simulation_nothing_forbids_publishing():
    assert build([*joules("dense", [100]), cell("dtc", 0)]).obstacles == ()


# notes


def test_the_notes_say_in_the_pool_s_own_figures_why_a_saving_needs_time_to_fall():
    leaderboard = build(
        joules("dense", [20_000, 16_000], training_s=100.0, idle_w=60.0) + joules("dtc", [9_000, 9_000])
    )
    assert (
        "standard · digits · mlp · cpu: dense draws 180 W on average, 60 W of it idle power. Energy is mean "
        "power times time: in dense's time, even a network that computes nothing would still take 33 % of dense's "
        "energy, so a saving of 98 % needs the time to fall too."
    ) in leaderboard.notes


def test_an_idle_power_that_would_allow_the_claimed_saving_is_not_held_against_it():
    leaderboard = build(joules("dense", [20_000], training_s=100.0, idle_w=2.0))
    (note,) = (note for note in leaderboard.notes if "computes nothing" in note)
    assert note.endswith("would still take 1 % of dense's energy.")


def test_without_an_idle_measurement_nothing_is_said_of_idle_power():
    leaderboard = build(joules("dense", [100], idle_w=math.nan) + joules("dtc", [50], idle_w=math.nan))
    assert not any("dense draws" in note for note in leaderboard.notes)
    assert row(leaderboard, "dtc")["energy_note"] == "net of idle from 0 of 1 pairs"
