"""Seeds until decided: the levels of the looks, and the errors that they keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.sequential import Looks

LOOKS = Looks(first=5, step=5, most=40)
NO_SEQUENCE = [(5, 5, 41), (5, 0, 5), (0, 5, 5), (10, 5, 5), (5, 2, 9), (2, 5, 7)]


def nominal(differences: NDArray[np.float64], looks: Looks = LOOKS) -> NDArray[np.float64]:
    """The p-value of Student's t at each look, `[..., looks]`, of paired differences `[..., seeds]`."""
    found = [scipy.stats.ttest_1samp(differences[..., :n], 0.0, axis=-1).pvalue for n in looks.sizes]
    return np.stack(found, axis=-1)


def test_looks_are_after_the_first_seeds_and_each_step_up_to_the_most() -> None:
    assert LOOKS.sizes == (5, 10, 15, 20, 25, 30, 35, 40)
    assert [LOOKS.reached(seeds) for seeds in (4, 5, 9, 10, 41)] == [0, 1, 1, 2, 8]
    assert Looks.fixed(7).sizes == (7,)


@pytest.mark.parametrize(
    ("first", "step", "most"), [(5, 5, 41), (5, 0, 5), (0, 5, 5), (10, 5, 5), (5, 2, 9), (2, 5, 7)]
)
def test_numbers_of_seeds_that_make_no_sequence_are_refused(first: int, step: int, most: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Looks(first, step, most)


def test_one_look_has_the_whole_level_and_leaves_its_p_as_it_is() -> None:
    assert Looks.fixed(12).levels(0.05) == (0.05,)
    assert Looks.fixed(12).p_value([0.031]) == 0.031


def test_two_looks_of_many_seeds_have_the_levels_of_normal_variables() -> None:
    half, whole = Looks(400, 400, 800).levels(0.05)
    c1, c2 = scipy.stats.norm.isf([half / 2, whole / 2])
    joint = scipy.stats.multivariate_normal(cov=[[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    inside = joint.cdf([c1, c2], lower_limit=[-c1, -c2])

    assert half == pytest.approx(0.025)
    assert inside == pytest.approx(0.95, abs=2e-4)


def test_sequences_without_an_effect_are_called_decided_in_five_per_cent_whatever_the_look() -> None:
    p = nominal(stats.generator("null sequences").normal(size=(40_000, LOOKS.most)))
    crossed = p <= LOOKS.levels(0.05)
    by_look = np.logical_or.accumulate(crossed, axis=1).mean(axis=0)
    spent = 0.05 * np.array(LOOKS.sizes) / LOOKS.most

    # Within four standard errors, where 5 % at every look would make it 15 to 20 %.
    assert by_look == pytest.approx(spent, abs=4 * math.sqrt(0.05 * 0.95 / 40_000))
    assert (p <= 0.05).any(axis=1).mean() > 0.14


def test_one_sided_tests_at_the_same_levels_err_no_more() -> None:
    x = stats.generator("one-sided null sequences").normal(size=(20_000, LOOKS.most))
    above = [scipy.stats.ttest_1samp(x[:, :n], 0.0, axis=1, alternative="greater").pvalue for n in LOOKS.sizes]

    assert (np.stack(above, axis=1) <= LOOKS.levels(0.05)).any(axis=1).mean() <= 0.05


@pytest.mark.parametrize("alpha", [1e-5, 0.003, 0.0125, 0.05, 0.3])
def test_a_look_at_its_level_of_alpha_makes_the_p_of_the_sequence_alpha(alpha: float) -> None:
    for look, level in enumerate(LOOKS.levels(alpha)):
        assert LOOKS.p_value([math.nan] * look + [level]) == pytest.approx(alpha, rel=0.01)


def test_the_p_of_a_sequence_only_falls_and_is_missing_only_without_any_test() -> None:
    p = [0.2, 0.01, math.nan, 0.6, 1e-12]
    so_far = [LOOKS.p_value(p[:looks]) for looks in range(len(p) + 1)]

    assert math.isnan(so_far[0])
    assert so_far[1:] == sorted(so_far[1:], reverse=True)
    assert 0 < so_far[-1] < 1e-10
    assert LOOKS.p_value([0.9999]) == 1.0
    assert math.isnan(LOOKS.p_value([math.nan]))
    with pytest.raises(ValueError, match="9 p-values for 8 looks"):
        LOOKS.p_value([0.5] * 9)


def test_an_alpha_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, got 1"):
        LOOKS.levels(1.0)


def family(draws: int, comparisons: int, effect: float = 0.0) -> NDArray[np.float64]:
    """Differences `[draws, comparisons, seeds]` of one method minus others: correlated by 1/2, since it is in all."""
    rng = stats.generator("family of sequences")
    shared, own = (rng.normal(size=(draws, rows, LOOKS.most)) for rows in (1, comparisons))
    return (shared - own) / math.sqrt(2) + effect


def test_a_family_that_shares_a_method_has_a_false_verdict_in_at_most_five_per_cent_with_holm() -> None:
    p = nominal(family(4000, 6))
    some = (p <= LOOKS.levels(0.05 / 6)).any(axis=(1, 2))  # Holm decides one at all only if it decides at 0.05 / 6

    assert some.mean() <= 0.05
    assert (p <= LOOKS.levels(0.05)).any(axis=(1, 2)).mean() > 0.15


def test_an_effect_of_one_standard_deviation_is_decided_with_a_third_of_forty_seeds() -> None:
    crossed = nominal(family(4000, 1, effect=1.0))[:, 0] <= LOOKS.levels(0.05)
    seeds = np.array(LOOKS.sizes)[crossed.argmax(axis=1)]

    assert crossed.any(axis=1).mean() > 0.99
    assert seeds.mean() < 14.5
