"""Energy and time of use: what the windows of a way give, and every way to have no number."""

import itertools
import math

import pytest
from energy.traces import BEGIN_S, gpu_context, segment, trace

from dtcbench.energy.joules import read, unmeasured
from dtcbench.energy.segments import Interval
from dtcbench.energy.use import Ran, Way, spread, use_of
from dtcbench.unavailable import Unavailable

NO_RAPL = Unavailable("no RAPL")


def way(count=6, seconds=2.5, passes=50):
    """Batches of 20 in windows of `passes`, one every three seconds from the 10th second of the trace on."""
    windows = tuple(Interval(BEGIN_S + 10 + 3 * n, BEGIN_S + 10 + 3 * n + seconds) for n in range(count))
    return Way("pruned", "eager", 20, 7, Ran(passes, windows, tuple(0.001 * (n + 1) for n in range(count))))


def energies(the_way, seen):
    segments = ([segment("train", w.begin_s - BEGIN_S, w.end_s - BEGIN_S, 1)] for w in the_way.ran.windows)
    return [read(seen, one, gpu_context(), NO_RAPL, [], "") for one in segments]


@pytest.mark.parametrize("count", range(6, 15))
def test_the_interval_holds_the_median_of_any_distribution_in_95_of_100_cases(count):
    found = spread([float(n) for n in range(1, count + 1)])
    below = int(found.low)  # values up to the lower end: as many as from the upper end on
    outside = 2 * sum(math.comb(count, n) for n in range(below)) / 2**count
    tighter = 2 * sum(math.comb(count, n) for n in range(below + 1)) / 2**count
    assert outside <= 0.05 < tighter
    assert found.high == count + 1 - found.low
    assert found.median == (count + 1) / 2


def test_the_order_of_the_windows_has_no_meaning_and_five_are_too_few():
    assert {spread(values).median for values in itertools.permutations([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])} == {3.5}
    with pytest.raises(ValueError, match="5 windows leave the median open; measure at least 6"):
        spread([1.0] * 5)


def test_windows_give_samples_per_second_and_the_boards_joules_per_1000_of_them():
    the_way = way()
    use = use_of(the_way, energies(the_way, trace()))
    assert use.throughput.median == pytest.approx(50 * 20 / 2.5)
    assert use.energy_j.median == pytest.approx(300 * 2.5, rel=1e-3)  # 300 W, 1,000 samples in a window
    assert use.energy_j.low <= use.energy_j.median <= use.energy_j.high
    assert (use.latency_s.low, use.latency_s.high) == (0.001, 0.006)
    assert (use.energy_method, use.energy_scope) == ("counter", "gpu")
    assert (use.flags, use.flops, use.passes) == ([], 7, 50)
    assert use.cpu_energy_j is None and use.reasons["cpu_energy_j"] == "no RAPL"


def test_short_windows_are_coarse_by_the_rule_of_all_joules():
    brisk = way(seconds=1.0)
    assert use_of(brisk, energies(brisk, trace())).flags == ["coarse"]


def test_one_window_without_joules_leaves_none_but_all_times():
    the_way = way()
    found = energies(the_way, trace())
    found[3] = unmeasured(Unavailable("the sampler died"), NO_RAPL, [], [])
    use = use_of(the_way, found)
    assert use.throughput is not None
    assert (use.energy_j, use.energy_method, use.reasons["energy_j"]) == (None, "none", "the sampler died")
    assert use.energy_scope == "none"


def test_joules_of_two_methods_are_not_mixed():
    the_way = way()
    found = energies(the_way, trace())
    found[0] = energies(the_way, trace(counter_mj=None))[0]
    assert found[0].method == "integral"
    assert "did not move in every window; lengthen use.window" in use_of(the_way, found).reasons["energy_j"]


def test_a_way_that_cannot_be_had_has_its_reason_for_every_number():
    use = use_of(Way("rounded", "cuda-graph", 64, 7, Unavailable("no graph")), [])
    assert set(use.reasons) == {"passes", "latency_s", "throughput", "energy_j", "cpu_energy_j"}
    assert set(use.reasons.values()) == {"no graph"}
    assert (use.flops, use.energy_method, use.flags) == (7, "none", [])
