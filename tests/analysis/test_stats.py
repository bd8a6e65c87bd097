"""Statistics over seeds: what is claimed of means, intervals, tests and corrections."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from dtcbench.analysis import stats

ACCURACIES = st.lists(st.floats(0, 1), min_size=3, max_size=8)


def test_the_mean_leaves_out_what_is_not_finite_and_is_nan_without_values():
    assert stats.mean([0.25, math.nan, 0.75]) == 0.5
    assert math.isnan(stats.mean([math.nan]))
    assert math.isnan(stats.mean([]))


@given(
    st.lists(st.integers(0, 1000).map(lambda hits: hits / 1000), min_size=3, max_size=8).filter(
        lambda values: spread(values)
    )
)
def test_the_interval_is_students_of_scipy(values):
    estimate = stats.mean_estimate(values)
    expected = scipy.stats.ttest_1samp(values, 0.0)
    assert estimate.interval == pytest.approx(expected.confidence_interval(0.95), rel=1e-9, abs=1e-12)
    assert estimate.low < estimate.mean < estimate.high
    narrow = stats.mean_estimate(values, confidence=0.9)
    assert narrow.interval == pytest.approx(expected.confidence_interval(0.9), rel=1e-9, abs=1e-12)


@given(ACCURACIES, st.randoms())
def test_the_order_of_the_seeds_does_not_change_a_bit(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert stats.mean_estimate(shuffled) == stats.mean_estimate(values)


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


def test_equal_values_have_no_interval_but_a_reason_and_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate = stats.mean_estimate([0.1, 0.1, 0.1])
    assert (estimate.mean, estimate.interval, estimate.reason) == (0.1, None, "equal in all seeds: no interval")


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one():
    estimate = stats.geometric_mean_estimate([0.25, 4.0, 1.0])
    assert estimate.mean == pytest.approx(1)
    # The logs are ±log 4 and 0: their standard deviation is log 4, and t(0.975, 2) = 4.302653.
    half = 4.302653 * math.log(4) / math.sqrt(3)
    assert estimate.interval == pytest.approx((math.exp(-half), math.exp(half)), rel=1e-6)


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=8))
def test_inverting_every_ratio_inverts_their_geometric_mean(ratios):
    inverse = stats.geometric_mean_estimate([1 / ratio for ratio in ratios])
    assert inverse.mean == pytest.approx(1 / stats.geometric_mean_estimate(ratios).mean)


def test_a_ratio_of_zero_is_refused():
    with pytest.raises(ValueError, match="must be positive, got 0"):
        stats.geometric_mean_estimate([1.0, 0.0, 2.0])


# tests of paired differences

FEW = settings(max_examples=25)
"""A test of scipy's takes milliseconds."""
DIFFERENCES = st.lists(st.integers(-40, 40).map(lambda points: points / 1000), min_size=3, max_size=9)


def equivalence_p_values(samples, margin=0.01) -> np.ndarray:
    """Of samples of paired differences, one per seed."""
    return stats.equivalence_p_of([stats.mean_estimate(sample) for sample in samples], margin)


def spread(values) -> bool:
    return max(values) > min(values)


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, 0.2, math.nan], [], [0.3, 0.3, 0.3], [0.1 + 0.2, 0.3, 0.3]])
def test_too_few_or_equal_differences_get_no_p_value_but_a_reason(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(stats.p_values([values])[0])
        assert math.isnan(equivalence_p_values([values])[0])
        assert stats.mean_estimate(values).interval is None
    assert stats.untested(values).removesuffix(": no test") + ": no interval" == stats.mean_estimate(values).reason


def test_a_p_value_is_that_of_the_textbook():
    values = [0.01, 0.02, 0.03, 0.04, 0.05]  # t = 0.03 / (0.0158114 / √5) = 4.2426, 4 degrees of freedom
    assert stats.p_values([values])[0] == pytest.approx(0.0132356, abs=1e-6)


@FEW
@given(st.lists(DIFFERENCES.filter(spread), min_size=1, max_size=4), st.sampled_from(["two-sided", "less", "greater"]))
def test_p_values_are_those_of_scipy(samples, alternative):
    ours = stats.p_values(samples, null=0.005, alternative=alternative)
    scipys = [scipy.stats.ttest_1samp(sample, 0.005, alternative=alternative).pvalue for sample in samples]
    assert ours == pytest.approx(scipys, rel=1e-6, abs=1e-12)


@FEW
@given(st.lists(DIFFERENCES, max_size=6), st.randoms())
def test_tests_depend_on_no_order_of_seeds_and_on_no_other_row(samples, random):
    shuffled = [random.sample(sample, len(sample)) for sample in samples]
    for test in (stats.p_values, equivalence_p_values):
        alone = [test([sample])[0] for sample in samples]
        np.testing.assert_array_equal(test(shuffled), alone)


@FEW
@given(DIFFERENCES.filter(spread))
def test_the_t_interval_holds_zero_exactly_when_the_test_does_not_reject(values):
    estimate, p = stats.mean_estimate(values), stats.p_values([values])[0]
    assert (estimate.low <= 0 <= estimate.high) == (p >= 0.05) or p == pytest.approx(0.05, abs=1e-9)


@FEW
@given(DIFFERENCES)
def test_equivalence_is_symmetric(values):
    """A is equivalent to B exactly when B is to A."""
    forth, back = equivalence_p_values([values, [-value for value in values]])
    assert forth == pytest.approx(back, nan_ok=True)


@FEW
@given(DIFFERENCES.filter(spread))
def test_a_wider_margin_never_makes_equivalence_harder(values):
    narrow, wide = (equivalence_p_values([values], margin)[0] for margin in (0.01, 0.02))
    assert wide <= narrow


@FEW
@given(DIFFERENCES.filter(spread))
def test_equivalence_is_the_interval_at_ninety_per_cent_within_the_margin(values):
    estimate = stats.mean_estimate(values, confidence=0.9)
    inside = estimate.low > -0.01 and estimate.high < 0.01
    p = equivalence_p_values([values], 0.01)[0]
    assert inside == (p < 0.05) or p == pytest.approx(0.05, abs=1e-9)


def test_no_difference_seen_is_not_equivalence():
    noisy = [-0.05, 0.04, -0.03, 0.05, -0.01]
    assert stats.p_values([noisy])[0] > 0.9
    assert equivalence_p_values([noisy], 0.01)[0] > 0.05


def test_each_difference_can_have_a_margin_of_its_own_and_without_one_no_test():
    values = [0.004, 0.005, 0.006, 0.005]
    p = equivalence_p_values([values, values, values], [0.01, 0.002, math.nan])
    alone = [equivalence_p_values([values], margin)[0] for margin in (0.01, 0.002)]
    assert p[:2].tolist() == alone
    assert alone[0] < 0.01 < 0.99 < alone[1]
    assert math.isnan(p[2])


@pytest.mark.parametrize("margin", [0.0, -0.01, math.nan])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ValueError, match="margin must be positive"):
        equivalence_p_values([[0.1, 0.2, 0.3]], margin)


# many comparisons

P_VALUES = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=10)


CORRECTIONS = pytest.mark.parametrize("correct", [stats.holm, stats.benjamini_hochberg])


@CORRECTIONS
@given(p=P_VALUES)
def test_adjusting_never_lowers_a_p_value_and_keeps_their_order(correct, p):
    known = [(raw, new) for raw, new in zip(p, correct(p), strict=True) if not math.isnan(raw)]
    assert all(raw <= new * (1 + 1e-12) for raw, new in known)
    assert [new for _, new in sorted(known)] == sorted(new for _, new in known)


@CORRECTIONS
@given(p=P_VALUES)
def test_what_is_no_comparison_weighs_on_none(correct, p):
    known = [value for value in p if not math.isnan(value)]
    np.testing.assert_array_equal(correct(known), [new for new in correct(p) if not math.isnan(new)])


def test_holm_multiplies_by_the_comparisons_that_are_left():
    # 0.01 · 3, 0.02 · 2, 0.04 · 1, never below the one before
    assert stats.holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


def test_holm_is_that_of_statsmodels():
    p = np.random.default_rng(2).random(40) ** 3
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_nulls_that_exclude_each_other_count_as_one():
    # Two units at first; still two, as one null of "a" is left; then "a" alone.
    found = stats.holm([0.01, 0.3, 0.02, math.nan], ["a", "a", "b", "b"])
    assert found == pytest.approx([0.02, 0.3, 0.04, math.nan], nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(P_VALUES)
def test_without_exclusion_every_null_is_a_unit(p):
    assert stats.holm(p) == pytest.approx(stats.holm(p, range(len(p))), nan_ok=True)


def test_benjamini_and_hochberg_multiply_by_comparisons_over_place():
    # 0.01 · 3/1, 0.03 · 3/2 = 0.045 but the one after has 0.04 · 3/3
    assert stats.benjamini_hochberg([0.04, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])


@given(P_VALUES)
def test_a_claims_correction_is_at_least_as_strict_as_a_tables(p):
    assert np.all((stats.holm(p) >= stats.benjamini_hochberg(p) * (1 - 1e-12)) | np.isnan(stats.holm(p)))


# error rates, each in a world whose truth is known


def rows_that_share_dense(rng, true: np.ndarray) -> np.ndarray:
    """P-values over five seeds of rows with `true` differences; half of their variance comes from the dense cells."""
    return stats.p_values(true[:, None] + rng.normal(0, 1, (len(true), 5)) - rng.normal(0, 1, 5))


@pytest.mark.parametrize("effects", [0, 6])
def test_a_table_and_a_claim_keep_their_error_rates_though_rows_share_dense_cells(effects):
    rng, true = stats.generator("error rates"), np.where(np.arange(18) < effects, 3.5, 0.0)
    false_share, any_false = [], []
    for _ in range(500):
        p = rows_that_share_dense(rng, true)
        found, claimed = stats.benjamini_hochberg(p) <= 0.05, stats.holm(p) <= 0.05
        false_share.append((found & (true == 0)).sum() / max(found.sum(), 1))
        any_false.append((claimed & (true == 0)).any())
    assert np.mean(false_share) <= 0.065  # 0.05 and the error of 500 draws
    assert np.mean(any_false) <= 0.065


@pytest.mark.parametrize("seeds", [3, 5, 6])
def test_the_t_interval_holds_the_mean_in_95_of_100_draws(seeds):
    draws = stats.generator("coverage of t").normal(0, 1, (3000, seeds))
    estimates = [stats.mean_estimate(values) for values in draws]
    assert np.mean([e.low <= 0 <= e.high for e in estimates]) == pytest.approx(0.95, abs=0.012)


# seeds and test images


def hits_differ(rng, seeds: int, images: int) -> np.ndarray:
    return rng.integers(-1, 2, (seeds, images)) * (rng.random((seeds, images)) < 0.3)


def test_crossed_variances_are_those_of_the_two_way_analysis():
    differences = hits_differ(np.random.default_rng(3), 4, 50).astype(float)
    seeds, images = differences.shape
    grand = differences.mean()
    of_seeds, of_images = differences.mean(axis=1), differences.mean(axis=0)
    rest = differences - of_seeds[:, None] - of_images[None, :] + grand
    m_seeds = images * of_seeds.var(ddof=1)
    m_images = seeds * of_images.var(ddof=1)
    m_rest = (rest**2).sum() / (seeds - 1) / (images - 1)
    variance = max(m_seeds + m_images - m_rest, m_seeds, m_images) / (seeds * images)
    estimate = stats.crossed_estimate(differences)
    assert (estimate.mean, estimate.error) == pytest.approx((grand, math.sqrt(variance)))


def test_images_that_all_differ_alike_leave_the_seeds_t_interval():
    by_seed = np.array([0.0, 1.0, 1.0, -1.0])
    estimate = stats.crossed_estimate(np.repeat(by_seed[:, None], 30, axis=1))
    assert estimate.interval == pytest.approx(stats.mean_estimate(by_seed).interval)


@FEW
@given(st.integers(0, 10**6), st.integers(3, 6), st.integers(3, 40))
def test_test_images_never_make_the_error_less_than_that_of_the_seeds(purpose, seeds, images):
    differences = hits_differ(np.random.default_rng(purpose), seeds, images)
    crossed, alone = stats.crossed_estimate(differences), stats.mean_estimate(differences.mean(axis=1))
    if alone.interval is None:
        assert crossed.reason == alone.reason
    else:
        assert crossed.mean == pytest.approx(alone.mean)
        assert crossed.error >= alone.error * (1 - 1e-9)


def test_the_order_of_seeds_and_images_does_not_change_a_bit():
    rng = np.random.default_rng(5)
    differences = hits_differ(rng, 5, 200)
    shuffled = rng.permutation(rng.permutation(differences, axis=1), axis=0)
    assert stats.crossed_estimate(shuffled) == stats.crossed_estimate(differences)


def test_an_interval_over_seeds_and_images_holds_the_mean_of_both_in_95_of_100_draws():
    rng, seeds, images, held = stats.generator("crossed coverage"), 5, 120, []
    for _ in range(1500):
        of_seed, of_image = rng.normal(0, 0.15, (seeds, 1)), rng.normal(0, 0.5, (1, images))
        estimate = stats.crossed_estimate(of_seed + of_image + rng.normal(0, 0.5, (seeds, images)))
        held.append(estimate.low <= 0 <= estimate.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("differences", [[0.0, 1.0], [[]], [[0.0, math.nan]]])
def test_what_is_no_table_of_differences_is_refused(differences):
    with pytest.raises(ValueError, match="finite table"):
        stats.crossed_estimate(differences)


@pytest.mark.parametrize(("shape", "reason"), [((2, 9), "2 seeds: no interval"), ((4, 2), "2 images: no interval")])
def test_too_few_seeds_or_images_give_no_interval_but_a_reason(shape, reason):
    assert stats.crossed_estimate(hits_differ(np.random.default_rng(0), *shape)).reason == reason


def test_an_estimate_tests_itself():
    values = [0.01, 0.02, 0.03, 0.04, 0.05]
    assert stats.p_of([stats.mean_estimate(values)]).tolist() == stats.p_values([values]).tolist()
    assert math.isnan(stats.p_of([stats.mean_estimate([0.1, 0.2])])[0])
