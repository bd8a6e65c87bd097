"""Statistics over seeds: what is claimed of means, intervals and the Pareto front."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from dtcbench.analysis import stats

ACCURACIES = st.lists(st.floats(0, 1), min_size=3, max_size=8)


def test_the_mean_leaves_out_what_is_not_finite_and_is_nan_without_values():
    assert stats.mean([0.25, math.nan, 0.75]) == 0.5
    assert math.isnan(stats.mean([math.nan]))
    assert math.isnan(stats.mean([]))


@given(ACCURACIES)
def test_the_interval_holds_the_mean_and_stays_within_the_seeds(values):
    estimate = stats.mean_estimate(values)
    assert min(values) <= estimate.low <= estimate.mean <= estimate.high <= max(values)


@given(ACCURACIES, st.randoms())
def test_the_order_of_the_seeds_does_not_change_a_bit(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert stats.mean_estimate(shuffled) == stats.mean_estimate(values)


def test_three_seeds_give_their_range():
    estimate = stats.mean_estimate([0.90, 0.91, 0.95])
    assert estimate.interval == pytest.approx((0.90, 0.95))


def test_more_seeds_give_less_than_their_range():
    values = np.random.default_rng(1).normal(0.9, 0.01, size=20)
    estimate = stats.mean_estimate(values)
    error = values.std() / math.sqrt(len(values))
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "0 seeds: no interval"),
        ([0.9], "1 seed: no interval"),
        ([0.9, 0.8], "2 seeds: no interval"),
        ([0.9, 0.8, math.nan], "2 seeds: no interval"),
    ],
)
def test_fewer_than_three_seeds_have_no_interval_but_a_reason(values, reason):
    estimate = stats.mean_estimate(values)
    assert estimate.interval is None
    assert estimate.reason == reason
    assert math.isnan(estimate.low) and math.isnan(estimate.high)


def test_equal_values_have_an_interval_of_no_width_and_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate = stats.mean_estimate([0.1, 0.1, 0.1])
    assert (estimate.mean, estimate.low, estimate.high) == (0.1, 0.1, 0.1)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=6))
def test_the_interval_is_the_percentile_bootstrap_of_scipy(values):
    ours = stats.mean_estimate(values)
    scipys = scipy.stats.bootstrap(
        (np.sort(values),),
        np.mean,
        n_resamples=stats.RESAMPLES,
        method="percentile",
        rng=stats.generator("bootstrap over seeds"),
    ).confidence_interval
    assert ours.interval == pytest.approx((scipys.low, scipys.high), abs=1e-12)


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one():
    estimate = stats.geometric_mean_estimate([0.25, 4.0, 1.0])
    assert estimate.mean == pytest.approx(1)
    assert estimate.interval == pytest.approx((0.25, 4.0))


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=8))
def test_inverting_every_ratio_inverts_their_geometric_mean(ratios):
    inverse = stats.geometric_mean_estimate([1 / ratio for ratio in ratios])
    assert inverse.mean == pytest.approx(1 / stats.geometric_mean_estimate(ratios).mean)


def test_a_ratio_of_zero_is_refused():
    with pytest.raises(ValueError, match="must be positive, got 0"):
        stats.geometric_mean_estimate([1.0, 0.0, 2.0])


COORDINATE = st.integers(0, 5).map(float) | st.just(math.nan)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), max_size=12))
def test_a_point_is_on_the_front_exactly_when_no_known_point_beats_it(points):
    def beats(one, other):
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    known = [p for p in points if not any(map(math.isnan, p))]
    expected = [p in known and not any(beats(q, p) for q in known) for p in points]
    costs, accuracies = [p[0] for p in points], [p[1] for p in points]
    assert stats.pareto_front(costs, accuracies).tolist() == expected
