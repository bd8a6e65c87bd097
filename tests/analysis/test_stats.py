"""Statistics over seeds: what is claimed of means, intervals, tests, corrections, ranks and fronts."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
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


# tests of paired differences

FEW = settings(max_examples=25)
"""A test of scipy's takes milliseconds."""
DIFFERENCES = st.lists(st.integers(-40, 40).map(lambda points: points / 1000), min_size=3, max_size=9)
LOSSES = st.integers(1, 4).flatmap(
    lambda methods: st.lists(
        st.lists(st.integers(0, 6).map(float), min_size=methods, max_size=methods), min_size=1, max_size=6
    )
)


def spread(values) -> bool:
    return max(values) > min(values)


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, 0.2, math.nan], [], [0.3, 0.3, 0.3], [0.1 + 0.2, 0.3, 0.3]])
def test_too_few_or_equal_differences_get_no_p_value_but_a_reason(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(stats.p_values([values])[0])
        assert math.isnan(stats.equivalence_p_values([values])[0])
        assert stats.t_estimate(values).interval is None
    assert stats.untested(values) == stats.t_estimate(values).reason
    assert stats.untested(values).endswith(": no test")


def test_a_p_value_is_that_of_the_textbook():
    values = [0.01, 0.02, 0.03, 0.04, 0.05]  # t = 0.03 / (0.0158114 / √5) = 4.2426, 4 degrees of freedom
    assert stats.p_values([values])[0] == pytest.approx(0.0132356, abs=1e-6)


@FEW
@given(st.lists(DIFFERENCES, max_size=6), st.randoms())
def test_tests_depend_on_no_order_of_seeds_and_on_no_other_row(samples, random):
    shuffled = [random.sample(sample, len(sample)) for sample in samples]
    for test in (stats.p_values, stats.equivalence_p_values):
        alone = [test([sample])[0] for sample in samples]
        np.testing.assert_array_equal(test(shuffled), alone)


@FEW
@given(DIFFERENCES.filter(spread))
def test_the_t_interval_holds_zero_exactly_when_the_test_does_not_reject(values):
    estimate, p = stats.t_estimate(values), stats.p_values([values])[0]
    assert (estimate.low <= 0 <= estimate.high) == (p >= 0.05) or p == pytest.approx(0.05, abs=1e-9)


@FEW
@given(DIFFERENCES)
def test_equivalence_is_symmetric(values):
    """A is equivalent to B exactly when B is to A."""
    forth, back = stats.equivalence_p_values([values, [-value for value in values]])
    assert forth == pytest.approx(back, nan_ok=True)


@FEW
@given(DIFFERENCES.filter(spread))
def test_a_wider_margin_never_makes_equivalence_harder(values):
    narrow, wide = (stats.equivalence_p_values([values], margin)[0] for margin in (0.01, 0.02))
    assert wide <= narrow


@FEW
@given(DIFFERENCES.filter(spread))
def test_equivalence_is_the_interval_at_ninety_per_cent_within_the_margin(values):
    estimate = stats.t_estimate(values, confidence=0.9)
    inside = estimate.low > -0.01 and estimate.high < 0.01
    p = stats.equivalence_p_values([values], 0.01)[0]
    assert inside == (p < 0.05) or p == pytest.approx(0.05, abs=1e-9)


def test_no_difference_seen_is_not_equivalence():
    noisy = [-0.05, 0.04, -0.03, 0.05, -0.01]
    assert stats.p_values([noisy])[0] > 0.9
    assert stats.equivalence_p_values([noisy], 0.01)[0] > 0.05


@pytest.mark.parametrize("margin", [0.0, -0.01, math.nan])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ValueError, match="margin must be positive"):
        stats.equivalence_p_values([[0.1, 0.2, 0.3]], margin)


# many comparisons

P_VALUES = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=10)


@given(P_VALUES)
def test_adjusting_never_lowers_a_p_value_and_keeps_their_order(p):
    known = [(raw, new) for raw, new in zip(p, stats.adjusted(p), strict=True) if not math.isnan(raw)]
    assert all(raw <= new * (1 + 1e-12) for raw, new in known)
    assert [new for _, new in sorted(known)] == sorted(new for _, new in known)


@given(P_VALUES)
def test_what_is_no_comparison_weighs_on_none(p):
    known = [value for value in p if not math.isnan(value)]
    np.testing.assert_array_equal(stats.adjusted(known), [new for new in stats.adjusted(p) if not math.isnan(new)])


def test_adjusting_is_benjamini_and_yekutieli():
    # m = 3, 1 + 1/2 + 1/3 = 11/6: 0.01 · 3 · 11/6, 0.03 · 3/2 · 11/6, 0.04 · 11/6, made monotone from above
    assert stats.adjusted([0.04, 0.01, 0.03]) == pytest.approx([0.04 * 11 / 6, 0.055, 0.04 * 11 / 6])


# ranks and profiles


def test_ties_share_the_mean_of_their_ranks_whatever_the_last_bit_says():
    assert stats.mean_ranks([[0.1 + 0.2, 0.3, 0.5], [0.2, 0.1, 0.3]]).tolist() == [1.75, 1.25, 3.0]


@given(LOSSES)
def test_ranks_sum_to_what_the_number_of_methods_makes_them(losses):
    methods = len(losses[0])
    assert stats.mean_ranks(losses).sum() == pytest.approx(methods * (methods + 1) / 2)


def test_a_method_that_misses_a_problem_is_refused_a_rank_rather_than_imputed():
    with pytest.raises(ValueError, match="share all problems"):
        stats.mean_ranks([[0.1, math.nan]])


def test_a_profile_counts_the_problems_within_tau_of_the_best():
    losses = [[0.10, 0.11, 0.30], [0.20, 0.10, math.nan], [0.0, 0.1, 0.0]]
    assert stats.performance_profile(losses, 1.1).tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert stats.performance_profile(losses, 2.0).tolist() == pytest.approx([1, 2 / 3, 1 / 3])


@given(LOSSES)
def test_a_profile_never_falls_as_tau_grows_and_at_one_somebody_is_best_everywhere(losses):
    tight, loose = (stats.performance_profile(losses, tau) for tau in (1.0, 1.5))
    assert (tight <= loose).all()
    assert tight.sum() >= 1 - 1e-12


@pytest.mark.parametrize(("losses", "tau", "match"), [([[1.0]], 0.9, "tau"), ([[-1.0]], 1.1, "negative")])
def test_a_profile_of_what_is_no_loss_or_no_ratio_is_refused(losses, tau, match):
    with pytest.raises(ValueError, match=match):
        stats.performance_profile(losses, tau)
