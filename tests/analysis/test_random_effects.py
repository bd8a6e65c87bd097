"""The mean over pairs of network and data, by random effects."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dtcbench.analysis import stats
from dtcbench.analysis.random_effects import pooled

FEW = settings(max_examples=25)


def test_pairs_that_are_equally_precise_pool_to_their_t_interval():
    means = [0.01, -0.02, 0.03, 0.05, 0.00]
    found = pooled(means, [1e-6] * 5)
    plain = stats.mean_estimate(means)
    assert (found.mean, *found.interval) == pytest.approx((plain.mean, *plain.interval), rel=1e-4)
    assert found.p == pytest.approx(stats.p_values([means])[0], rel=1e-3)
    assert found.between_sd == pytest.approx(np.std(means, ddof=1), rel=0.01)


def test_pooling_is_paule_and_mandels():
    means, variances = np.array([0.4, 0.1, -0.2, 0.6]), np.array([0.01, 0.04, 0.02, 0.05])
    found = pooled(means, variances)
    weights = 1 / (variances + found.between_sd**2)
    assert found.mean == pytest.approx((weights * means).sum() / weights.sum())
    assert (weights * (means - found.mean) ** 2).sum() == pytest.approx(3, abs=1e-4)  # their estimating equation


def test_pairs_that_agree_better_than_their_seeds_allow_do_not_narrow_the_interval_beyond_the_seeds():
    found = pooled([0.01, 0.01, 0.0100001], [1e-4, 1e-4, 1e-4])
    assert found.between_sd == 0
    assert found.interval == pytest.approx(
        (0.01 - 4.302653 * 0.01 / math.sqrt(3), 0.01 + 4.302653 * 0.01 / math.sqrt(3)), rel=1e-4
    )


def test_a_pair_that_outweighs_the_others_leaves_fewer_degrees_of_freedom():
    variances = np.array([1e-6, 1e-2, 1e-2, 1e-2])
    found = pooled([0.0, 0.01, -0.01, 0.0], variances)
    assert found.between_sd == 0  # so the weights are 1 / variance, and nearly one pair's
    assert found.interval[1] == pytest.approx(scipy.stats.t.ppf(0.975, 1) / math.sqrt((1 / variances).sum()), rel=1e-3)


def test_a_pooled_interval_holds_the_mean_over_pairs_in_95_of_100_draws():
    rng, held, spreads = stats.generator("pooled coverage"), [], np.geomspace(0.3, 3, 8)
    for _ in range(700):
        seeds = rng.normal(0, 0.5, (8, 1)) + rng.normal(0, 1, (8, 5)) * spreads[:, None]
        found = pooled(seeds.mean(axis=1), seeds.var(axis=1, ddof=1) / 5)
        held.append(found.interval[0] <= 0 <= found.interval[1])
    assert np.mean(held) >= 0.94


@FEW
@given(st.permutations(range(5)))
def test_the_order_of_the_pairs_does_not_change_a_bit(order):
    means, variances = np.array([0.4, 0.1, -0.2, 0.6, 0.1]), np.array([0.01, 0.04, 0.02, 0.05, 0.03])
    assert pooled(means[order], variances[order]) == pooled(means, variances)


@pytest.mark.parametrize(
    ("means", "variances", "reason"),
    [
        ([], [], "0 pairs: no pooled interval"),
        ([0.1, 0.2], [0.01, 0.01], "2 pairs: no pooled interval"),
        ([0.1, 0.2, 0.0], [0.01, 0.01, 0.0], "a pair is equal in all seeds: no pooled interval"),
    ],
)
def test_too_few_pairs_or_one_without_spread_do_not_pool_but_give_a_reason(means, variances, reason):
    found = pooled(means, variances)
    assert (found.interval, found.reason) == (None, reason)
    assert math.isnan(found.p)


@pytest.mark.parametrize(("means", "variances"), [([0.1], [0.1, 0.2]), ([math.nan], [0.1]), ([0.1], [-0.1])])
def test_means_and_variances_that_do_not_match_are_refused(means, variances):
    with pytest.raises(ValueError, match=r"inhomogeneous|must be finite"):
        pooled(means, variances)
