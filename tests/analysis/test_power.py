"""Power: what a test could have shown, and the seeds that a difference takes."""

from __future__ import annotations

import itertools
import math

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dtcbench.analysis.power import MOST_SEEDS, detectable, seeds_to_detect
from dtcbench.analysis.stats import generator

FEW = settings(max_examples=25)


@pytest.mark.parametrize(("n", "effect"), [(5, 1.6820), (10, 0.9960), (40, 0.4543), (1000, 0.0887)])
def test_what_a_test_can_detect_is_what_statsmodels_solves_for(n, effect):
    assert detectable(0.02, n) == pytest.approx(0.02 * effect, rel=3e-4)


@pytest.mark.parametrize("n", [3, 5, 17])
def test_a_test_finds_the_detectable_difference_in_four_of_five_draws(n):
    draws = generator("power").normal(detectable(2.0, n), 2.0, (4000, n))
    assert (scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("alpha", [0.05, 0.001, 1e-5])
def test_more_pairs_or_a_laxer_level_always_detect_less(alpha):
    by_size = [detectable(1.0, n, alpha=alpha) for n in range(3, 60)]
    assert all(more < fewer for fewer, more in itertools.pairwise(by_size))
    assert by_size[10] > detectable(1.0, 13, alpha=2 * alpha)


@FEW
@given(st.floats(0.001, 0.1), st.sampled_from([0.005, 0.01, 0.03]))
def test_the_seeds_to_detect_a_difference_are_the_fewest_that_do(sd, difference):
    n = seeds_to_detect(sd, difference)
    assert detectable(sd, n) <= difference
    assert n == 3 or detectable(sd, n - 1) > difference


def test_power_without_a_spread_or_without_a_difference():
    assert math.isnan(detectable(math.nan, 5)) and math.isnan(detectable(1.0, 2))
    assert seeds_to_detect(0.0, 0.01) == 3
    for sd, difference in ((math.nan, 0.01), (0.1, 0.0), (0.1, math.nan)):
        assert seeds_to_detect(sd, difference) is None


def test_no_more_seeds_are_asked_for_than_anyone_would_run():
    assert 9_000 < seeds_to_detect(1.0, 0.029) <= MOST_SEEDS
    assert seeds_to_detect(1.0, 0.028) is None
    assert seeds_to_detect(1e-6, 0.01, images_error=0.01) is None  # other images differ by more
