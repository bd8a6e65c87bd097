"""Which window is the shortest at which repeats agree."""

import pytest

from dtcbench.energy.calibration import Calibration, Load, Repeats, candidates, shortest
from dtcbench.unavailable import Unavailable


def repeats(window_s, cool_down_s, *joules):
    return Repeats(window_s=window_s, cool_down_s=cool_down_s, joules=list(joules))


APART, CLOSE = (100.0, 101.0, 100.5, 99.5), (100.0, 100.4, 99.9, 99.7)


NOT_MEASURED = Repeats.of(window_s=5, cool_down_s=0, joules=Unavailable("a foreign process ran on the GPU"))


def test_candidates_begin_with_the_least_time_and_prefer_a_window_to_a_pause():
    assert candidates()[:6] == [(5, 0), (10, 0), (5, 10), (20, 0), (10, 10), (20, 10)]
    assert len(candidates()) == 18


def test_the_spread_is_the_largest_less_the_smallest():
    assert repeats(5, 0, *APART).spread_pct == pytest.approx(100 * 1.5 / 100.25)


def test_the_shortest_are_those_that_agree_in_the_least_time():
    tried = [repeats(5, 0, *APART), repeats(10, 0, *APART), repeats(20, 0, *CLOSE), repeats(5, 10, *CLOSE)]
    assert shortest(tried) == tried[3]
    assert shortest(tried[:3]) == tried[2]


def test_exactly_one_per_cent_is_not_less():
    assert isinstance(shortest([repeats(5, 0, 99.5, 100.5, 100, 100)]), Unavailable)


def test_where_none_agree_the_nearest_is_told():
    told = shortest([NOT_MEASURED, repeats(5, 0, 98, 102, 100, 100), repeats(10, 30, *APART)]).reason
    assert told.endswith("by 1.50 % at 10 s after a pause of 30 s")
    assert shortest([]) == Unavailable("nothing was repeated")
    nothing = "no window could be measured: a foreign process ran on the GPU"
    assert shortest([NOT_MEASURED]).reason == f"1 of 18 windows so far: {nothing}"
    assert shortest([NOT_MEASURED] * 18).reason == nothing


def test_a_window_that_could_not_be_measured_loses_no_other():
    assert shortest([repeats(5, 0, *APART), NOT_MEASURED, repeats(20, 0, *CLOSE)]).window_s == 20


def calibration(**changes):
    fields = {
        **{"gpu_uuid": "GPU-aaaa", "device": "NVIDIA H200", "simulated": False, "driver": "570.1", "suite": "watts"},
        **{"key": "0" * 64, "dtcbench": "0.1.0", "taken_at": "2026-11-28T00:00:00+00:00", "loads": []},
        **{"tried": [repeats(5, 0, *APART), repeats(10, 0, *CLOSE)], "window_s": 10.0, "cool_down_s": 0.0},
    }
    return Calibration.of(**{**fields, **changes})


def test_a_calibration_whose_window_its_repeats_do_not_give_is_refused():
    assert calibration().window_s == 10
    none = Unavailable("they differ")
    assert (
        calibration(tried=[repeats(5, 0, *APART)], window_s=none, cool_down_s=none).reasons["window_s"] == "they differ"
    )
    with pytest.raises(ValueError, match="not those that its repeats give"):
        calibration(window_s=5.0)


def test_a_calibration_has_ended_once_repeats_agree_or_every_window_was_tried():
    none = Unavailable("they differ")
    apart = [repeats(*pair, *APART) for pair in candidates()]
    so_far = {number: {"tried": apart[:number], "window_s": none, "cool_down_s": none} for number in (1, 17, 18)}
    assert calibration().has_ended
    assert [calibration(**changes).has_ended for changes in so_far.values()] == [False, False, True]


def test_the_power_of_a_known_load_is_held_against_the_counter():
    load = {"name": "steady", "seconds": 10.0, "counter_j": 3000.0}
    assert Load.of(**load, integral_j=2970.0).deviation_pct == pytest.approx(-1)
    assert Load.of(**load, integral_j=Unavailable("no power was read")).deviation_pct is None
