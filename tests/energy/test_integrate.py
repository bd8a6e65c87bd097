"""The arithmetic of energy: what the integral and the counter make of samples whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtcbench.energy.integrate import (
    REFRESH_S,
    backwards,
    counter_j,
    integral_j,
    longest_gap_s,
    refreshes,
    samples_in,
    unwrapped,
)

NAN = float("nan")


def times(least=0, most=10_000):
    """Seconds on a grid of milliseconds, as a clock gives them: samples may share one."""
    return st.integers(least, most).map(lambda ms: ms / 1000)


watts = st.floats(0, 1000)
failed = st.just(NAN)


@st.composite
def traces(draw, power=watts):
    """Times and powers [n >= 1], in any order, some of them failed, but not all."""
    samples = draw(st.lists(st.tuples(times(), power | failed), max_size=30))
    samples.insert(draw(st.integers(0, len(samples))), (draw(times()), draw(power)))
    t, p = zip(*samples, strict=True)
    return np.array(t), np.array(p)


intervals = st.tuples(times(), times()).map(sorted)
three_times = st.tuples(times(), times(), times()).map(sorted)


@given(traces(power=st.just(250.0)), intervals)
def test_constant_power_gives_power_times_time(trace, interval):
    begin, end = interval
    assert integral_j(*trace, begin, end) == pytest.approx(250 * (end - begin))


@given(st.lists(times(), min_size=2, unique=True), st.floats(-5, 5), intervals)
def test_a_ramp_is_exact_however_it_is_sampled(inner, slope, interval):
    begin, end = interval
    t = np.array([0.0, *inner, 10.0])
    exact = 500 * (end - begin) + slope * (end**2 - begin**2) / 2
    assert integral_j(t, 500 + slope * t, begin, end) == pytest.approx(exact)


@given(st.sets(st.integers(1, 99)), intervals)
def test_failed_readings_on_a_ramp_cost_nothing(lost, interval):
    begin, end = interval
    t = np.linspace(0, 10, 101)
    p = 30 * t
    p[list(lost)] = NAN
    assert integral_j(t, p, begin, end) == pytest.approx(15 * (end**2 - begin**2))


@given(st.floats(0.05, 0.5), st.floats(0.1, 0.9), intervals)
def test_a_square_wave_is_off_by_half_a_sample_of_its_height_at_each_flank(period, duty, interval):
    begin, end = interval
    step, low, high = 0.001, 60.0, 200.0
    t = np.arange(0, 10 + step / 2, step)
    p = np.where(t % period < duty * period, high, low)

    def on_s(until):
        return until // period * duty * period + min(until % period, duty * period)

    exact = low * (end - begin) + (high - low) * (on_s(end) - on_s(begin))
    flanks = 2 * ((end - begin) / period + 2)
    assert integral_j(t, p, begin, end) == pytest.approx(exact, abs=flanks * (high - low) * step / 2)


def test_samples_of_one_time_count_as_their_mean():
    t, p = np.array([0.0, 1.0, 1.0, 1.0, 2.0]), np.array([100.0, 0.0, 200.0, 400.0, 100.0])
    assert integral_j(t, p, 0, 2) == 300.0


@given(traces(), intervals)
def test_samples_taken_twice_change_nothing(trace, interval):
    t, p = trace
    assert integral_j(np.tile(t, 2), np.tile(p, 2), *interval) == pytest.approx(integral_j(t, p, *interval))


@given(traces(), intervals)
def test_the_order_of_the_samples_does_not_matter(trace, interval):
    t, p = trace
    order = np.argsort(t, kind="stable")
    assert integral_j(t, p, *interval) == integral_j(t[order], p[order], *interval)


@given(traces(), three_times)
def test_adjoining_intervals_add_up(trace, edges):
    a, b, c = edges
    assert integral_j(*trace, a, b) + integral_j(*trace, b, c) == pytest.approx(integral_j(*trace, a, c))


@given(traces(), intervals, st.floats(0, 100))
def test_energy_is_proportional_to_power(trace, interval, factor):
    t, p = trace
    assert integral_j(t, factor * p, *interval) == pytest.approx(factor * integral_j(t, p, *interval))


@given(traces(), intervals, st.integers(-(2**20), 2**20))
def test_only_differences_of_time_matter(trace, interval, shift):
    t, p = trace
    t, (begin, end) = np.round(1024 * t) / 1024, np.round(1024 * np.array(interval)) / 1024  # shifts without rounding
    assert integral_j(t + shift, p, begin + shift, end + shift) == pytest.approx(integral_j(t, p, begin, end))


def test_power_is_held_outside_the_samples_and_interpolated_between_them():
    t, p = np.array([2.0, 4.0]), np.array([100.0, 300.0])
    assert integral_j(t, p, 0, 2) == 200.0
    assert integral_j(t, p, 4, 7) == 900.0
    assert integral_j(t, p, 8, 9) == 300.0
    assert integral_j(t, p, 2.5, 3.5) == 200.0
    assert integral_j(t, p, 0, 7) == 200.0 + 400.0 + 900.0


@given(traces(), intervals)
def test_one_finite_sample_is_enough_for_an_energy_within_the_powers_seen(trace, interval):
    t, p = trace
    begin, end = interval
    least, most = np.nanmin(p) * (end - begin), np.nanmax(p) * (end - begin)
    assert least - 1e-6 <= integral_j(t, p, begin, end) <= most + 1e-6


@pytest.mark.parametrize("power", [[], [NAN], [NAN, NAN]])
def test_without_a_finite_sample_there_is_no_energy(power):
    assert math.isnan(integral_j(np.arange(float(len(power))), np.array(power), 0, 1))


@given(traces(), times())
def test_an_empty_interval_holds_no_energy(trace, t):
    assert integral_j(*trace, t, t) == 0.0


@pytest.mark.parametrize("function", [integral_j, longest_gap_s, samples_in])
def test_an_interval_that_ends_before_it_begins_is_refused(function):
    with pytest.raises(ValueError, match=r"ends at 1\.0 s, before it begins at 2\.0 s"):
        function(np.array([0.0]), np.array([1.0]), 2.0, 1.0)


@pytest.mark.parametrize(
    ("t", "begin", "end", "gap"),
    [
        ([0.0, 1.0, 3.0, 4.0], 0.0, 4.0, 2.0),  # between samples
        ([4.0, 0.0, 3.0, 1.0], 0.0, 4.0, 2.0),
        ([3.0, 4.0, 5.0], 0.0, 5.0, 3.0),  # before the first
        ([0.0, 1.0, 2.0], 0.0, 6.0, 4.0),  # after the last
        ([0.0, 5.0, 9.0], 3.0, 6.0, 2.0),  # the gap from 0 to 5 counts from 3 only
        ([0.0, 9.0], 3.0, 6.0, 3.0),  # none inside
        ([], 3.0, 6.0, 3.0),
        ([1.0], 1.0, 1.0, 0.0),
    ],
)
def test_the_longest_gap_is_the_longest_part_of_the_interval_without_a_sample(t, begin, end, gap):
    assert longest_gap_s(np.array(t), np.ones(len(t)), begin, end) == gap


def test_a_failed_reading_does_not_end_a_gap():
    t, values = np.array([0.0, 1.0, 2.0, 3.0]), np.array([5.0, NAN, NAN, 5.0])
    assert longest_gap_s(t, values, 0, 3) == 3.0
    assert longest_gap_s(t, np.ones(4), 0, 3) == 1.0


@given(traces(), three_times)
def test_a_part_of_an_interval_has_no_longer_gap_and_no_more_samples(trace, edges):
    a, b, c = edges
    for part in ((a, b), (b, c)):
        assert longest_gap_s(*trace, *part) <= longest_gap_s(*trace, a, c) <= c - a
        assert samples_in(*trace, *part) <= samples_in(*trace, a, c)


def test_samples_count_where_they_are_finite_and_inside_or_on_the_edge():
    t = np.array([3.0, 0.9, 1.0, 2.0, 1.5, 3.1])
    assert samples_in(t, np.array([1.0, 1.0, 1.0, NAN, 0.0, 1.0]), 1.0, 3.0) == 3
    assert samples_in(t, np.full(6, NAN), 1.0, 3.0) == 0
    assert samples_in(np.array([]), np.array([]), 1.0, 3.0) == 0


def test_refreshes_are_where_a_new_value_is_first_seen():
    t = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    seen, value = refreshes(t, np.array([NAN, 7.0, 7.0, NAN, 7.0, 9.0, 9.0]))
    assert seen.tolist() == [0.1, 0.5]
    assert value.tolist() == [7.0, 9.0]


@given(traces(power=st.sampled_from([1.0, 2.0, 3.0])))
def test_a_reading_is_that_of_the_last_refresh(trace):
    t, value = (samples[np.argsort(trace[0], kind="stable")] for samples in trace)
    finite = np.isfinite(value)
    seen, new = refreshes(*trace)
    assert (seen[0], new[0]) == (t[finite][0], value[finite][0])
    assert np.all(np.diff(new) != 0)
    steps = np.count_nonzero(np.diff(value[finite]))
    assert len(seen) == len(new) == 1 + steps


POLL_S = 0.025


@st.composite
def counters(draw, powers):
    """Poll times and a polled counter that refreshes every `period` <= REFRESH_S, with its true energy.

    The power is `powers` in turn, each for some time, over at least 5 s from t = 0.
    """
    power = np.array(draw(powers))
    lasting = np.array(draw(st.lists(st.floats(0.01, 1.0), min_size=len(power), max_size=len(power))))
    changes = np.concatenate(([0.0], np.cumsum(lasting * max(1.0, 5 / lasting.sum()))))
    joules = np.concatenate(([0.0], np.cumsum(power * np.diff(changes))))

    def true_j(t):
        return np.interp(t, changes, joules)

    period = draw(st.floats(0.08, REFRESH_S))
    start, refresh = draw(st.floats(0.5, 0.6)), draw(st.floats(0, 0.1))
    t = np.arange(start, changes[-1], POLL_S)
    refreshed = refresh + period * np.floor((t - refresh) / period)
    return t, np.floor(1000 * true_j(refreshed)), true_j


constant = st.floats(20, 1000).map(lambda power: [power])
varying = st.lists(st.floats(20, 1000), min_size=1, max_size=40)
fractions = st.floats(0, 1)
MARGIN_S = REFRESH_S + POLL_S
MILLIJOULE = 0.001 + 1e-9


def window(t, first, second, margin):
    """A window of at least 1 s that the polls surround by `margin` seconds."""
    earliest, latest = t[0] + margin, t[-1] - margin
    begin = earliest + first * (latest - 1 - earliest)
    return np.array([begin, begin + 1 + second * (latest - 1 - begin)])


def error_j(counter, edges):
    t, counter_mj, true_j = counter
    return abs(np.diff(counter_j(t, counter_mj, edges)) - np.diff(true_j(edges))).item()


@given(counters(constant), fractions, fractions)
def test_a_counter_polled_only_in_the_window_is_off_by_less_than_a_refresh_of_power(counter, first, second):
    power = counter[2](1.0)
    assert error_j(counter, window(counter[0], first, second, margin=0)) <= REFRESH_S * power + MILLIJOULE


@given(counters(constant), fractions, fractions)
def test_a_counter_polled_round_the_window_is_off_by_less_than_a_poll_of_power(counter, first, second):
    power = counter[2](1.0)
    assert error_j(counter, window(counter[0], first, second, MARGIN_S)) <= POLL_S * power + MILLIJOULE


@given(counters(varying), fractions, fractions)
def test_a_counter_polled_around_the_window_is_off_by_less_than_a_refresh_for_any_power(counter, first, second):
    t, _, true_j = counter
    most = np.diff(true_j(np.arange(0, t[-1], 0.001))).max() / 0.001
    assert error_j(counter, window(t, first, second, MARGIN_S)) <= REFRESH_S * most + MILLIJOULE


@given(st.floats(20, 1000), st.integers(1, 24), st.integers(0, 900), st.integers(1000, 3000))
def test_a_counter_polled_in_step_with_its_refresh_is_exact_to_its_quantum(power, phase_ms, begin_ms, length_ms):
    poll_ms = np.arange(0, 4500, 25)
    refreshed_ms = phase_ms + 100 * ((poll_ms - phase_ms) // 100)
    edges = (np.array([0, length_ms]) + begin_ms + 200) / 1000
    joules = np.diff(counter_j(poll_ms / 1000, np.floor(power * refreshed_ms), edges))
    assert joules == pytest.approx(power * length_ms / 1000, abs=MILLIJOULE)


def test_interpolating_between_refreshes_is_three_times_better_than_the_nearest_readings():
    power, period = 400.0, 0.0997
    t = np.arange(0, 12, POLL_S)
    counter_mj = np.floor(1000 * power * period * np.floor(t / period))
    begin = np.arange(0.2, 9.8, 0.001)
    ours = counter_j(t, counter_mj, begin + 2) - counter_j(t, counter_mj, begin)
    last = np.searchsorted(t, [begin, begin + 2], side="right") - 1
    nearest = np.diff(counter_mj[last], axis=0)[0] / 1000
    worst = abs(ours - 2 * power).max()
    assert POLL_S * power / 2 < worst <= POLL_S * power
    assert abs(nearest - 2 * power).max() > 3 * worst


def test_a_counter_is_held_before_its_first_and_after_its_last_refresh():
    t, counter_mj = np.array([0.0, 1.0, 2.0, 3.0]), np.array([5_000.0, 5_000.0, 9_000.0, 9_000.0])
    joules = counter_j(t, counter_mj, np.array([-1.0, 0.0, 0.5, 2.0, 2.5, 9.0]))
    assert joules.tolist() == [5.0, 5.0, 6.0, 9.0, 9.0, 9.0]


@pytest.mark.parametrize("counter_mj", [[], [7.0], [7.0, 7.0, 7.0], [NAN, NAN, 7.0], [NAN, NAN, NAN]])
def test_a_counter_that_was_not_seen_to_move_gives_no_joules(counter_mj):
    joules = counter_j(np.arange(float(len(counter_mj))), np.array(counter_mj), np.array([0.0, 1.0]))
    assert joules.shape == (2,)
    assert np.isnan(joules).all()


@pytest.mark.parametrize(
    ("counter", "fall"),
    [
        ([], None),
        ([NAN], None),
        ([1.0, 1.0, 2.0], None),
        ([1.0, NAN, 2.0], None),
        ([1.0, 5.0, 4.0, 9.0, 2.0], (5.0, 4.0)),
        ([1.0, 5.0, NAN, NAN, 4.0], (5.0, 4.0)),
    ],
)
def test_the_first_fall_of_a_counter_is_found(counter, fall):
    assert backwards(np.array(counter)) == fall


MODULUS = 262_143_328_850.0


@given(
    st.integers(0, int(MODULUS) - 1),
    st.lists(st.integers(0, int(MODULUS) - 1) | failed, max_size=50),
)
def test_a_wrapped_counter_unwrapped_rises_as_the_counter_did(start, steps):
    steps = np.array([0.0, *steps])
    counter = np.where(np.isnan(steps), NAN, start + np.nancumsum(steps))
    rising = unwrapped(counter % MODULUS, MODULUS)
    assert np.array_equal(rising - rising[0], counter - counter[0], equal_nan=True)
    assert rising[0] == start
    assert backwards(rising) is None


@pytest.mark.parametrize("counter", [[], [NAN], [NAN, 3.0, 3.0, NAN, 4.0]])
def test_a_counter_that_does_not_wrap_stays_as_it_is(counter):
    assert np.array_equal(unwrapped(np.array(counter), 10.0), np.array(counter), equal_nan=True)
