"""From samples and segments to joules: what counts, what is flagged, and what gives no joules."""

from dataclasses import replace

import numpy as np
import pytest
from energy.traces import BEGIN_S, OWN, baseline, gpu_context, segment, trace

from dtcbench.energy.joules import FLAGS, read, short_below_s, unmeasured
from dtcbench.energy.rapl import Zone
from dtcbench.energy.segments import Interval, windows
from dtcbench.unavailable import Unavailable

NO_RAPL = Unavailable("no RAPL here")
TRAINING = [segment("train", 5, 85)]


def energy(seen=None, segments=TRAINING, gpu=None, zones=NO_RAPL, flags=()):
    return read(seen or trace(), segments, gpu or gpu_context(), zones, flags, "0" * 64)


def steps(*levels):
    """Power by (from second, watts)."""

    def power(t):
        at = np.searchsorted([begin for begin, _ in levels], t, side="right") - 1
        return np.array([watts for _, watts in levels], dtype=float)[at]

    return power


def assert_null(found, reason):
    assert found.energy_j is None
    assert found.quantisation_j is None
    assert found.cross_check_pct is None
    assert found.trace is None
    assert found.method == found.scope == "none"
    assert reason in found.reasons["energy_j"]


# what counts


def test_joules_are_the_counters_difference_over_the_window():
    found = energy()
    assert found.energy_j == pytest.approx(80 * 300, abs=0.01)
    assert (found.method, found.scope, found.window_s, found.repeats) == ("counter", "gpu", 80, 1)
    assert found.cross_check_pct == pytest.approx(0, abs=0.01)
    assert found.flags == []


def together(*boards):
    """The trace of several boards, as the sampler sums it."""
    columns = dict(boards[0].columns)
    for name in ("counter_mj", "instant_w"):
        columns[name] = sum(board.column(name) for board in boards)
        columns |= {f"{name}_{number}": board.column(name) for number, board in enumerate(boards)}
    return replace(boards[0], columns=columns)


@pytest.mark.parametrize("method", ["counter", "integral"])
def test_the_joules_of_several_boards_are_their_sum_and_each_is_listed(method):
    boards = [trace(power=steps((0, 100.0))), trace(power=steps((0, 100.0), (45, 300.0)))]
    seen = together(*boards)
    if method == "integral":
        seen = replace(seen, columns={k: v for k, v in seen.columns.items() if not k.startswith("counter_mj")})
    found = energy(seen, gpu=gpu_context(device="2 × NVIDIA H200", uuids=("GPU-aaaa", "GPU-bbbb")))
    assert found.method == method and found.flags == []
    listed = {board.gpu_uuid: board.energy_j for board in found.trace.boards}
    assert listed == {"GPU-aaaa": pytest.approx(8000, rel=1e-3), "GPU-bbbb": pytest.approx(16000, rel=1e-2)}
    assert found.energy_j == pytest.approx(sum(listed.values()), rel=1e-12)
    assert found.trace.gpu_uuid == "GPU-aaaa, GPU-bbbb"


def test_one_board_is_not_listed_twice():
    assert energy().trace.boards == []


def test_a_counter_that_one_of_several_boards_lost_gives_no_joules():
    whole, reset = trace(power=steps((0, 100.0))), trace(power=steps((0, 100.0)))
    falls = np.where(np.arange(reset.t_s.size) > reset.t_s.size // 2, 0.0, reset.column("counter_mj"))
    seen = together(whole, replace(reset, columns={**reset.columns, "counter_mj": falls}))
    found = energy(seen, gpu=gpu_context(uuids=("GPU-aaaa", "GPU-bbbb")))
    assert_null(found, "the GPU's energy counter ran backwards")


def test_the_refresh_makes_one_window_uncertain_by_a_tenth_of_a_second_of_power():
    assert energy().quantisation_j == pytest.approx(0.1 * 300)


def test_every_further_window_adds_its_own_edges():
    two = [segment("train", 5, 40), segment("evaluate", 40, 45), segment("train", 45, 85)]
    assert energy(segments=two).quantisation_j == pytest.approx(2 * 0.1 * 300)


def test_evaluation_between_two_segments_does_not_count():
    seen = trace(power=steps((0, 300), (40, 700), (50, 300)))
    found = energy(seen, [segment("train", 5, 40), segment("evaluate", 40, 50), segment("train", 50, 90)])
    assert found.energy_j == pytest.approx(75 * 300, rel=1e-3)
    assert found.window_s == 75


def test_compression_counts():
    found = energy(segments=[segment("train", 5, 40), segment("compress", 40, 50), segment("train", 50, 85)])
    assert found.energy_j == pytest.approx(80 * 300, abs=0.01)


def test_repeats_are_divided_and_the_first_training_only_warms_up():
    seen = trace(power=steps((0, 700), (10, 300)))
    trainings = [segment("train", 1, 9, 0), *(segment("train", 10 + 21 * n, 30 + 21 * n, 1 + n) for n in range(4))]
    found = energy(seen, trainings)
    assert found.repeats == 4
    assert found.window_s == 80
    assert found.energy_j == pytest.approx(20 * 300, rel=1e-3)
    assert found.quantisation_j == pytest.approx(0.1 * 300)  # four windows, four trainings
    assert found.flags == []  # together they are long enough


def test_evaluations_of_a_long_first_training_make_none_of_its_joules_coarse():
    """A language model's: 75 pieces of 0.9 s, each with its own edges; then the same training without a pause."""
    pieces = [
        s
        for n in range(75)
        for s in (segment("train", n, n + 0.9), segment("evaluate", n + 0.9, n + 1))
    ]  # fmt: skip
    repeat = segment("train", 80, 80 + 75 * 0.9, 1)
    assert energy(trace(160), pieces).flags == ["coarse"]
    found = energy(trace(160), [*pieces, repeat])
    assert (found.flags, found.repeats, found.window_s) == ([], 1, pytest.approx(67.5))
    assert found.quantisation_j / found.energy_j == pytest.approx(0.1 / 67.5)


@pytest.mark.parametrize("method", ["counter", "integral"])
def test_the_spread_of_repeats_is_that_of_their_joules(method):
    seen = trace(power=steps((0, 300.0), (45, 330.0)))
    if method == "integral":
        seen = replace(seen, columns={name: of for name, of in seen.columns.items() if name != "counter_mj"})
    repeats = [segment("train", 5, 15), segment("train", 20, 40, 1), segment("train", 50, 70, 2)]
    assert energy(seen, repeats).repeat_spread_j == pytest.approx(np.std([6000, 6600], ddof=1), rel=2e-3)
    assert energy(seen).reasons["repeat_spread_j"] == "one training was measured"


def test_time_that_no_refresh_can_tell_apart_counts_unless_something_was_evaluated():
    near = [segment("train", 5, 40), segment("compress", 40.05, 50)]
    apart = [segment("train", 5, 40), segment("compress", 40.5, 50)]
    evaluated = [segment("train", 5, 40), segment("evaluate", 40, 40.05), segment("compress", 40.05, 50)]
    other_training = [segment("train", 5, 40), segment("train", 40.05, 50, 1)]
    pieces = [[(i.begin_s - BEGIN_S, i.end_s - BEGIN_S) for i in windows(s)] for s in (near, apart, evaluated)]
    assert pieces == [[(5, 50)], [(5, 40), (40.5, 50)], [(5, 40), (pytest.approx(40.05), 50)]]
    assert len(windows(other_training)) == 2


def test_without_a_window_there_is_no_number():
    assert_null(energy(segments=[]), "nothing ran inside the energy boundary")
    assert_null(energy(segments=[segment("evaluate", 5, 80)]), "nothing ran inside the energy boundary")


# the two methods


def test_without_the_counter_the_integral_stands_in_and_there_is_no_cross_check():
    errors = {"counter_mj": (1, "Not Supported")}
    found = energy(trace(counter_mj=np.full(4001, np.nan), errors=errors))
    assert found.method == "integral"
    assert found.energy_j == pytest.approx(80 * 300)
    assert found.cross_check_pct is None
    assert found.trace.reasons["counter_j"] == "Not Supported"
    assert found.trace.read_errors == {"counter_mj": "1 times: Not Supported"}


def test_without_the_power_the_counter_stands_alone():
    found = energy(trace(instant_w=None))
    assert (found.method, found.cross_check_pct, found.flags) == ("counter", None, [])
    assert found.trace.reasons["integral_j"] == "no power was read"


def test_a_counter_that_stands_still_is_not_believed():
    found = energy(trace(counter_mj=np.full(4001, 7e6)))
    assert found.method == "integral"
    assert found.trace.reasons["counter_j"] == "the counter did not move"


def test_a_counter_that_stood_still_in_one_repeat_is_not_believed():
    counter = np.minimum(trace().columns["counter_mj"], 5e6 + 45 * 300e3)  # moves until the 45th second
    repeats = [segment("train", 5, 10), segment("train", 11, 41, 1), segment("train", 50, 80, 2)]
    found = energy(trace(counter_mj=counter), repeats)
    assert (found.method, found.energy_j) == ("integral", pytest.approx(9000))
    assert found.trace.reasons["counter_j"] == "the counter did not move"
    alone = energy(trace(counter_mj=counter, instant_w=None), repeats)
    assert_null(alone, "cannot be read (the counter did not move)")


def test_several_boards_have_no_joules_by_a_counter_that_stood_still_on_one_of_them():
    sound = trace(power=steps((0, 100.0)))
    stopped = np.minimum(sound.column("counter_mj"), 5e6 + 3 * 100e3)  # before the window begins
    seen = together(sound, replace(sound, columns={**sound.columns, "counter_mj": stopped}))
    found = energy(seen, gpu=gpu_context(uuids=("GPU-aaaa", "GPU-bbbb")))
    assert (found.method, found.energy_j) == ("integral", pytest.approx(80 * 200))


def test_a_phase_or_cycle_in_which_the_counter_stood_still_has_no_joules():
    """The counter stops at the 45th second, inside a window that has joules by it."""
    counter = np.minimum(trace().columns["counter_mj"], 5e6 + 45 * 300e3)
    course = [segment("train", 5, 50), segment("compress", 50, 60), segment("train", 60, 85)]
    found = energy(trace(counter_mj=counter), course)
    assert found.method == "counter" and "disagreement" in found.flags
    phases = {phase.phase: phase for phase in found.trace.phases}
    assert {name: phase.energy_j for name, phase in phases.items()} == {"train": None, "compress": None}
    assert {phase.reasons["energy_j"] for phase in phases.values()} == {"the counter did not move"}
    assert found.trace.cumulative_j is None
    assert found.trace.reasons["cumulative_j"] == "the counter did not move in a cycle"


def test_a_counter_that_moved_only_before_the_window_is_not_believed():
    counter = np.minimum(trace().columns["counter_mj"], 5.75e6)
    found = energy(trace(counter_mj=counter))
    assert (found.method, found.energy_j) == ("integral", pytest.approx(80 * 300))
    assert found.trace.counter_j is None


def test_with_neither_there_is_no_number_and_both_reasons():
    nan = np.full(4001, np.nan)
    errors = {"counter_mj": (1, "Not Supported"), "usage_w": (1, "No Permission")}
    assert_null(energy(trace(counter_mj=nan, instant_w=nan, errors=errors)), "(Not Supported), nor its power (No Perm")


def test_the_instantaneous_power_is_integrated_before_the_average_and_that_before_the_usage():
    watts = np.full(4001, 300.0)
    assert energy(trace(average_w=watts, usage_w=watts)).trace.integrated == "instant_w"
    assert energy(trace(instant_w=None, average_w=watts, usage_w=watts)).trace.integrated == "average_w"
    assert energy(trace(instant_w=None, usage_w=watts)).trace.integrated == "usage_w"


def test_a_counter_that_runs_backwards_gives_no_number_by_either_method():
    counter = trace().columns["counter_mj"].copy()
    counter[2000:] -= 9e6
    assert_null(energy(trace(counter_mj=counter)), "ran backwards, from 19969999 to 10999999 mJ")


@pytest.mark.parametrize(("fall_mj", "believed"), [(1, True), (29_000, True), (31_000, False)])
def test_a_counter_may_fall_by_the_energy_of_one_refresh(fall_mj, believed):
    """At 300 W a refresh of 0.1 s is 30 J. The fall lies between two refreshes, where the counter stands still."""
    counter = trace().columns["counter_mj"].copy()
    counter[2002:] -= fall_mj
    found = energy(trace(counter_mj=counter))
    assert (found.energy_j is not None) is believed
    if believed:
        assert found.energy_j == pytest.approx(80 * 300 - fall_mj / 1000, abs=0.01)


MODULE = {"counter_scope": "module", "power_scope": "module"}


@pytest.mark.parametrize(
    ("changes", "scope", "integral_w", "cross_check"),
    [
        (MODULE, "module", 300.0, True),
        (MODULE | {"power_scope": "gpu"}, "module", 220.0, False),
        (MODULE | {"power_scope": "gpu", "counter_mj": None}, "gpu", 220.0, False),
        ({}, "gpu", 300.0, True),
    ],
)
def test_the_scope_is_that_of_the_joules_and_two_scopes_check_nothing(changes, scope, integral_w, cross_check):
    """A GH200 draws 300 W as a module, of which the GPU draws 220 W."""
    scopes = {name: value for name, value in changes.items() if name.endswith("scope")}
    columns = {name: value for name, value in changes.items() if not name.endswith("scope")}
    found = energy(replace(trace(instant_w=np.full(4001, integral_w), **columns), **scopes))
    assert (found.scope, found.flags) == (scope, [])
    assert found.energy_j == pytest.approx(80 * (220 if scope == "gpu" and integral_w == 220 else 300), abs=0.01)
    assert found.trace.integral_j == pytest.approx(80 * integral_w)
    assert (found.cross_check_pct is not None) is cross_check
    if scope == "module" and not cross_check:
        assert found.reasons["cross_check_pct"] == "the counter covers the module, the power the GPU alone"


def test_a_lost_gpu_gives_no_number():
    assert_null(energy(trace(lost_s=BEGIN_S + 50)), "the GPU was lost")


@pytest.mark.parametrize("after_s", [0.2, 0.5])
def test_what_happens_after_the_windows_afterglow_leaves_it_its_joules(after_s):
    """While the network is used the driver is reloaded, or the GPU falls off the bus."""
    late = trace().t_s > TRAINING[-1].end_s + after_s
    counter = trace().column("counter_mj")
    reset = energy(trace(counter_mj=np.where(late, counter - 9e6, counter)))
    lost = energy(trace(counter_mj=np.where(late, np.nan, counter), lost_s=TRAINING[-1].end_s + after_s))
    if after_s < 0.3:
        assert_null(reset, "ran backwards")
        assert_null(lost, "the GPU was lost")
    else:
        assert (reset.energy_j, lost.energy_j) == (pytest.approx(24_000, abs=0.01), pytest.approx(24_000, abs=0.01))


# flags


@pytest.mark.parametrize(("end", "flags"), [(64.9, ["short"]), (65.1, [])])
def test_a_window_below_a_minute_is_short(end, flags):
    assert energy(segments=[segment("train", 5, end)]).flags == flags


@pytest.mark.parametrize(
    ("calibrated", "seconds", "flags"),
    [
        ({"GPU-aaaa": 10.0}, 9.9, ["short"]),
        ({"GPU-aaaa": 10.0}, 10.1, []),
        ({"GPU-aaaa": 120.0}, 60.1, []),  # a minute is enough for all
        ({"GPU-bbbb": 10.0}, 59.9, ["short"]),
    ],
)
def test_a_boards_own_calibrated_window_is_not_short(calibrated, seconds, flags):
    measured = energy(segments=[segment("train", 5, 5 + seconds)], gpu=gpu_context(calibrated=calibrated))
    assert measured.flags == flags


def test_of_several_boards_the_longest_window_counts_and_one_without_a_calibration_has_a_minute():
    known = {"GPU-aaaa": 10.0, "GPU-bbbb": 20.0}
    assert short_below_s(["GPU-aaaa", "GPU-bbbb"], known) == 20
    assert short_below_s(["GPU-aaaa", "GPU-cccc"], known) == short_below_s([], known) == 60


def test_fewer_than_sixty_samples_are_short_however_long_they_took():
    power = np.full(4001, np.nan)
    power[::80] = 300.0  # one in two seconds
    assert "short" in energy(trace(instant_w=power)).flags


def test_windows_of_a_second_are_coarse():
    def pieces(length):
        return [s for n in range(40) for s in (
            segment("train", 2 * n, 2 * n + length), segment("evaluate", 2 * n + length, 2 * n + 2)
        )]  # fmt: skip

    assert "coarse" in energy(segments=pieces(1.9)).flags
    assert "coarse" not in energy(segments=[segment("train", 5 * n, 5 * n + 4.5, n + 1) for n in range(15)]).flags


@pytest.mark.parametrize(("factor", "flagged"), [(1.04, False), (1.06, True), (0.94, True)])
def test_counter_and_integral_that_disagree_are_flagged(factor, flagged):
    found = energy(trace(instant_w=np.full(4001, 300.0 * factor)))
    assert found.cross_check_pct == pytest.approx(100 * (factor - 1), abs=0.01)
    assert found.energy_j == pytest.approx(80 * 300, abs=0.01)
    assert ("disagreement" in found.flags) is flagged


TWO_WINDOWS = [segment("train", 5, 45), segment("evaluate", 45, 46), segment("train", 46, 86)]


@pytest.mark.parametrize("segments", [TRAINING, TWO_WINDOWS])
def test_a_time_without_samples_is_reported_and_flagged(segments):
    power = np.full(4001, 300.0)
    power[2000:2043] = np.nan
    found = energy(trace(instant_w=power), segments)
    assert found.trace.longest_gap_s == pytest.approx(44 * 0.025)
    assert found.flags == ["gaps"]


def test_a_counter_that_was_not_seen_at_the_end_of_a_window_is_flagged_however_well_it_agrees():
    counter = trace().columns["counter_mj"].copy()
    counter[-700:] = np.nan  # from 82.5 s on
    found = energy(trace(counter_mj=counter))
    assert abs(found.cross_check_pct) < 5
    assert found.flags == ["gaps"]


def test_many_failed_samples_are_flagged():
    power = np.full(4001, 300.0)
    power[::9] = np.nan
    found = energy(trace(instant_w=power, errors={"instant_w": (445, "read as 0, which no board draws")}))
    assert found.flags == ["lost-samples"]
    assert found.trace.read_errors == {"instant_w": "445 times: read as 0, which no board draws"}


def test_heat_is_flagged_and_a_power_limit_at_work_is_not():
    bits = np.full(4001, 0x4 | 0x1)
    assert energy(trace(throttle_reasons=bits)).flags == []
    bits[2000] |= 0x40
    assert energy(trace(throttle_reasons=bits)).flags == ["throttled"]


@pytest.mark.parametrize(("limit_w", "flags"), [(699.0, []), (693.5, []), (692.5, ["limit-changed"])])
def test_a_power_limit_that_changes_by_more_than_a_hundredth_inside_the_window_is_flagged(limit_w, flags):
    limit = np.full(4001, 700.0)
    limit[3000:] = limit_w
    assert energy(trace(power_limit_w=limit)).flags == flags


def test_a_gpu_that_did_not_cool_down_is_flagged_and_so_is_one_that_cools_no_further():
    assert energy(gpu=gpu_context(baseline=baseline(cooled=False))).flags == ["warm"]
    stays_warm = replace(baseline(cooled=False), steady=True)
    assert energy(gpu=gpu_context(baseline=stays_warm)).flags == ["steady"]


def test_a_simulated_gpu_says_so_whether_or_not_it_gave_a_number():
    simulated = gpu_context(simulated=True)
    assert energy(gpu=simulated).flags == ["simulated"]
    assert energy(gpu=simulated).trace.simulated
    assert energy(trace(lost_s=BEGIN_S + 50), gpu=simulated).flags == ["simulated"]


def test_flags_from_elsewhere_are_added_and_every_flag_is_explained():
    found = energy(gpu=gpu_context(simulated=True, baseline=baseline(cooled=False)), flags=["not-repeatable"])
    assert found.flags == ["simulated", "warm", "not-repeatable"]
    assert set(found.flags) <= set(FLAGS)


# who else is on the board


OTHER = {OWN: (BEGIN_S, BEGIN_S + 100), 99: (BEGIN_S + 50, BEGIN_S + 51)}


def test_a_foreign_process_in_the_window_gives_no_number():
    assert_null(energy(trace(processes=OTHER)), "1 foreign compute process ran on the GPU")


def test_a_foreign_process_outside_the_window_does_not_matter():
    before = {OWN: (BEGIN_S, BEGIN_S + 100), 99: (BEGIN_S, BEGIN_S + 4)}
    assert energy(trace(processes=before)).flags == []


def test_a_shared_board_is_measured_and_labelled_if_the_suite_says_so():
    found = energy(trace(processes=OTHER), gpu=gpu_context(label_shared=True))
    assert found.energy_j == pytest.approx(80 * 300, abs=0.01)
    assert found.flags == ["shared"]


def test_a_part_of_a_board_is_not_measured_unless_it_is_labelled():
    part = "the cell was given 0.5 of the GPU"
    assert_null(energy(gpu=gpu_context(shared=part)), part)
    assert energy(gpu=gpu_context(shared=part, label_shared=True)).flags == ["shared"]


def test_in_a_container_one_process_that_came_with_the_cell_is_its_own():
    host_id = {31337: (BEGIN_S + 4, BEGIN_S + 100)}
    found = energy(trace(processes=host_id))
    assert found.energy_j is not None
    assert found.flags == ["processes-unseen"]


def test_in_a_container_a_second_process_or_an_earlier_one_is_foreign():
    two = {31337: (BEGIN_S + 4, BEGIN_S + 100), 31338: (BEGIN_S + 4, BEGIN_S + 100)}
    assert_null(energy(trace(processes=two)), "1 foreign compute process")
    earlier = gpu_context(baseline=baseline(processes=frozenset({31337})))
    assert_null(energy(trace(processes={31337: two[31337]}), gpu=earlier), "1 foreign compute process")


# what goes with the joules


IDLE_THEN_BUSY = {
    "segments": [segment("train", 25, 95)],
    "gpu": gpu_context(baseline=baseline(idle=Interval(BEGIN_S + 5, BEGIN_S + 15))),
}


def test_idle_power_is_measured_before_the_window():
    seen = trace(power=steps((0, 70), (20, 300)), processes={OWN: (BEGIN_S + 20, BEGIN_S + 100)})
    found = energy(
        seen, [segment("train", 25, 95)], gpu_context(baseline=baseline(idle=Interval(BEGIN_S + 5, BEGIN_S + 15)))
    )
    assert found.trace.idle_w == pytest.approx(70, rel=1e-3)


WITH_CONTEXT = {
    "segments": [segment("train", 35, 95)],
    "gpu": gpu_context(
        baseline=baseline(idle=Interval(BEGIN_S + 5, BEGIN_S + 15)),
        idle_context=Interval(BEGIN_S + 22, BEGIN_S + 29),
    ),
}
CONTEXT_FROM_20 = {OWN: (BEGIN_S + 20, BEGIN_S + 100)}


@pytest.mark.parametrize("counter", [{}, {"counter_mj": None}])
def test_a_context_raises_the_idle_power_and_both_are_kept(counter):
    levels = steps((0, 70), (20, 120), (31, 300))
    found = energy(trace(power=levels, processes=CONTEXT_FROM_20, **counter), **WITH_CONTEXT)
    assert found.trace.idle_w == pytest.approx(70, rel=1e-3)
    assert found.trace.idle_context_w == pytest.approx(120, rel=1e-3)
    assert found.energy_j == pytest.approx(60 * 300, rel=1e-3)


def test_a_neighbour_while_the_gpu_idles_with_a_context_leaves_the_other_idle_power():
    seen = trace(processes=CONTEXT_FROM_20 | {99: (BEGIN_S + 23, BEGIN_S + 24)})
    found = energy(seen, **WITH_CONTEXT)
    assert found.trace.idle_w == pytest.approx(300, rel=1e-3)
    assert found.trace.idle_context_w is None
    assert found.trace.reasons["idle_context_w"] == ("1 foreign compute process ran on the GPU while it should be idle")


def test_clocks_and_the_reasons_for_lower_ones_are_those_inside_the_window():
    clock = np.full(4001, np.nan)
    clock[::20] = 210.0  # idle clocks, outside
    clock[200:3401:20] = 1980.0
    clock[1800:2600:20] = 1580.0  # a quarter of the readings, nearly
    bits = np.where(np.isfinite(clock), np.where(clock == 1580.0, 0x4 | 0x20, 0x0), np.nan)
    bits[::4000] = 0x1  # idle, outside
    found = energy(trace(sm_clock_mhz=clock, throttle_reasons=bits, errors={"memory_clock_mhz": (9, "Not Supported")}))
    assert found.trace.sm_clock_mhz == pytest.approx((121 * 1980 + 40 * 1580) / 161)
    assert found.trace.throttle_shares == {"power limit": 40 / 161, "heat, by software": 40 / 161}
    assert (found.trace.memory_clock_mhz, found.trace.reasons["memory_clock_mhz"]) == (None, "Not Supported")
    assert found.flags == ["throttled"]


def test_there_is_no_idle_power_while_others_compute():
    before = baseline(idle=Interval(BEGIN_S, BEGIN_S + 4), processes=frozenset({99}))
    busy = gpu_context(baseline=before, label_shared=True)
    found = energy(trace(processes={99: (BEGIN_S, BEGIN_S + 100), OWN: (BEGIN_S + 5, BEGIN_S + 100)}), gpu=busy)
    assert found.trace.idle_w is None
    assert "1 compute process was on the GPU while it should be idle" in found.trace.reasons["idle_w"]


def test_a_process_that_came_and_went_while_the_gpu_should_be_idle_leaves_no_idle_power():
    passing = {OWN: (BEGIN_S + 20, BEGIN_S + 100), 99: (BEGIN_S + 7, BEGIN_S + 9)}
    idle = gpu_context(baseline=baseline(idle=Interval(BEGIN_S + 5, BEGIN_S + 15)))
    found = energy(trace(processes=passing), [segment("train", 25, 95)], idle)
    assert found.trace.idle_w is None
    assert found.energy_j == pytest.approx(70 * 300, abs=0.01)


def test_where_the_driver_lists_no_processes_nobody_knows_that_the_gpu_was_idle():
    untold = {"processes": (1, "Not Supported")}
    blind = np.full(4001, np.nan)
    seen = replace(trace(processes={}, errors=untold), columns=trace().columns | {"processes": blind})
    found = energy(seen, **IDLE_THEN_BUSY)
    assert found.trace.idle_w is None
    assert "does not list the compute processes" in found.trace.reasons["idle_w"]
    assert found.energy_j == pytest.approx(70 * 300, abs=0.01)


def test_idle_power_comes_by_the_way_the_joules_came_by():
    while_idle = {OWN: (BEGIN_S + 20, BEGIN_S + 100)}
    seen = trace(power=steps((0, 70), (20, 300)), processes=while_idle)
    stopped = np.where(seen.t_s > BEGIN_S + 24, seen.column("counter_mj")[960], seen.column("counter_mj"))
    found = energy(
        trace(power=lambda t: np.full_like(t, 200.0), processes=while_idle, counter_mj=stopped), **IDLE_THEN_BUSY
    )
    assert found.method == "integral"
    assert found.trace.idle_w == pytest.approx(200)


def test_temperatures_at_both_ends_of_the_window():
    degrees = np.linspace(30, 70, 4001)
    found = energy(trace(temperature_c=degrees))
    assert found.trace.temperature_before_c == pytest.approx(32, abs=0.1)
    assert found.trace.temperature_after_c == pytest.approx(64, abs=0.1)


def test_a_phase_has_joules_only_if_its_segments_outlast_the_refresh():
    seen = trace(power=steps((0, 300), (40, 600), (50, 300)))
    course = [segment("train", 5, 40), segment("compress", 40, 50), segment("train", 50, 85)]
    course += [segment("evaluate", 86, 86.5)]
    phases = {phase.phase: phase for phase in energy(seen, course).trace.phases}
    assert phases["train"].energy_j == pytest.approx(70 * 300, rel=1e-3)
    assert phases["compress"].energy_j == pytest.approx(10 * 600, rel=5e-3)
    assert (phases["train"].stretches, phases["train"].duration_s) == (2, 70)
    assert phases["evaluate"].energy_j is None
    assert "last 0.5 s on average; below 2 s" in phases["evaluate"].reasons["energy_j"]


def test_many_short_segments_make_no_phase_with_joules():
    cycles = [(segment("train", 4 * n, 4 * n + 3.5), segment("compress", 4 * n + 3.5, 4 * n + 4)) for n in range(20)]
    phases = {phase.phase: phase for phase in energy(segments=[s for cycle in cycles for s in cycle]).trace.phases}
    assert (phases["compress"].energy_j, phases["compress"].duration_s) == (None, 10)
    assert phases["train"].energy_j == pytest.approx(70 * 300)


def test_a_phases_joules_and_seconds_are_those_of_one_training():
    repeats = [segment("train", 1, 4), *(segment("train", 5 + 20 * n, 25 + 20 * n, 1 + n) for n in range(4))]
    (train,) = energy(segments=repeats).trace.phases
    assert (train.energy_j, train.duration_s) == (pytest.approx(20 * 300), pytest.approx(20))


def test_joules_to_the_end_of_each_training_segment_are_means_over_the_repeats():
    seen = trace(power=steps((0, 300), (50, 500)))

    def course(begin, training):
        return [
            segment("train", begin, begin + 10, training),
            segment("compress", begin + 10, begin + 12, training),
            segment("train", begin + 12, begin + 30, training),
        ]

    found = energy(seen, [segment("train", 1, 4), *course(10, 1), *course(55, 2)])
    assert found.trace.cumulative_j == pytest.approx([10 * 400, 30 * 400], rel=2e-3)
    assert found.energy_j == pytest.approx(30 * 400, rel=2e-3)


# the processors


def test_the_processors_are_a_scope_of_their_own():
    seen = trace(rapl0_uj=np.arange(4001) * 0.025 * 50e6, rapl1_uj=np.arange(4001) * 0.025 * 20e6)
    zones = [Zone(f"package-{n}", None, 1e12) for n in range(2)]
    found = energy(seen, zones=zones)
    assert found.cpu_energy_j == pytest.approx(80 * 70)
    assert found.energy_j == pytest.approx(80 * 300, abs=0.01)


def test_packages_that_others_may_use_have_a_figure_of_their_own():
    seen, zones = trace(rapl0_uj=np.arange(4001) * 0.025 * 50e6), [Zone("package-0", None, 1e12)]
    few = "it was given 2 of 8 cores"
    found = read(seen, TRAINING, gpu_context(), zones, (), "0" * 64, few)
    assert (found.cpu_energy_j, found.reasons["cpu_energy_j"]) == (None, few)
    assert found.cpu_shared_energy_j == pytest.approx(80 * 50)
    alone = energy(seen, zones=zones)
    assert (alone.cpu_energy_j, alone.cpu_shared_energy_j) == (pytest.approx(80 * 50), None)


def test_a_processors_counter_that_wraps_goes_on():
    seen = trace(rapl0_uj=(np.arange(4001) * 0.025 * 50e6) % 1e9)
    found = energy(seen, gpu=Unavailable("no GPU"), zones=[Zone("package-0", None, 1e9)])
    assert found.cpu_energy_j == pytest.approx(80 * 50)
    assert_null(found, "no GPU")


def test_a_packages_counter_that_stands_still_is_no_joules():
    seen = trace(rapl0_uj=np.arange(4001) * 0.025 * 50e6, rapl1_uj=np.full(4001, 7e6))
    found = energy(seen, zones=[Zone("package-0", None, 1e12), Zone("package-1", None, 1e12)])
    assert (found.cpu_energy_j, found.reasons["cpu_energy_j"]) == (None, "package-1: the counter did not move")


def test_without_rapl_the_processors_have_a_reason():
    assert energy().cpu_energy_j is None
    assert energy().reasons["cpu_energy_j"] == "no RAPL here"


def test_a_package_that_cannot_be_read_any_more_has_a_reason():
    seen = trace(errors={"rapl0_uj": (9, "Permission denied")})
    found = energy(seen, zones=[Zone("package-0", None, 1e9)])
    assert found.reasons["cpu_energy_j"] == "package-0 was not read: Permission denied"


def test_a_package_that_was_not_read_to_the_end_of_the_window_gives_no_number():
    counter = np.arange(4001) * 0.025 * 50e6
    counter[2000:] = np.nan
    seen = trace(rapl0_uj=counter, errors={"rapl0_uj": (2001, "Permission denied")})
    found = energy(seen, zones=[Zone("package-0", None, 1e12)])
    assert found.reasons["cpu_energy_j"] == "package-0 was not read for 35.0 s: Permission denied"


def test_processor_joules_are_those_of_one_training_inside_its_windows():
    joules = np.interp(np.arange(4001) * 0.025, [0, 5, 25, 30, 50, 100], [0, 0, 1000, 9000, 10_000, 90_000])
    repeats = [segment("train", 1, 4), segment("train", 5, 25, 1), segment("train", 30, 50, 2)]
    found = energy(trace(rapl0_uj=1e6 * joules), repeats, zones=[Zone("package-0", None, 1e12)])
    assert found.cpu_energy_j == pytest.approx(1000)


def test_where_nothing_was_sampled_every_null_has_its_reason():
    found = unmeasured(Unavailable("the cell ran on the CPU"), NO_RAPL, TRAINING, ["not-repeatable"])
    assert_null(found, "the cell ran on the CPU")
    assert found.reasons["cpu_energy_j"] == "no RAPL here"
    assert (found.window_s, found.repeats, found.trace_sha256) == (80, 1, None)
    assert found.flags == ["not-repeatable"]
