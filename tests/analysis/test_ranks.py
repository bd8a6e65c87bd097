"""Methods over several problems: ranks, profiles and fronts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtcbench.analysis import ranks

LOSSES = st.integers(1, 4).flatmap(
    lambda methods: st.lists(
        st.lists(st.integers(0, 6).map(float), min_size=methods, max_size=methods), min_size=1, max_size=6
    )
)


def test_ties_share_the_mean_of_their_ranks_whatever_the_last_bit_says():
    assert ranks.mean_ranks([[0.1 + 0.2, 0.3, 0.5], [0.2, 0.1, 0.3]]).tolist() == [1.75, 1.25, 3.0]


@given(LOSSES)
def test_ranks_sum_to_what_the_number_of_methods_makes_them(losses):
    methods = len(losses[0])
    assert ranks.mean_ranks(losses).sum() == pytest.approx(methods * (methods + 1) / 2)


def test_a_method_that_misses_a_problem_is_refused_a_rank_rather_than_imputed():
    with pytest.raises(ValueError, match="share all problems"):
        ranks.mean_ranks([[0.1, math.nan]])


def test_a_profile_counts_the_problems_within_tau_of_the_best():
    losses = [[0.10, 0.11, 0.30], [0.20, 0.10, math.nan], [0.0, 0.1, 0.0]]
    assert ranks.performance_profile(losses, 1.1).tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert ranks.performance_profile(losses, 2.0).tolist() == pytest.approx([1, 2 / 3, 1 / 3])


@given(LOSSES)
def test_a_profile_never_falls_as_tau_grows_and_at_one_somebody_is_best_everywhere(losses):
    tight, loose = (ranks.performance_profile(losses, tau) for tau in (1.0, 1.5))
    assert (tight <= loose).all()
    assert tight.sum() >= 1 - 1e-12


@pytest.mark.parametrize(("losses", "tau", "match"), [([[1.0]], 0.9, "tau"), ([[-1.0]], 1.1, "negative")])
def test_a_profile_of_what_is_no_loss_or_no_ratio_is_refused(losses, tau, match):
    with pytest.raises(ValueError, match=match):
        ranks.performance_profile(losses, tau)


COORDINATE = st.integers(0, 5).map(float) | st.just(math.nan)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), max_size=12))
def test_a_point_is_on_the_front_exactly_when_no_known_point_beats_it(points):
    def beats(one, other):
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    known = [p for p in points if not any(map(math.isnan, p))]
    expected = [p in known and not any(beats(q, p) for q in known) for p in points]
    costs, accuracies = [p[0] for p in points], [p[1] for p in points]
    assert ranks.pareto_front(costs, accuracies).tolist() == expected
