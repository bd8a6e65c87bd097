"""The rank test of curves: exact levels by enumeration, alike for all curves, and departures that it can find."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtcbench.analysis.rank_test import detectable_departure, maximal_departures, rank_p_values

ACCURACIES = st.lists(st.lists(st.integers(0, 1000), min_size=6, max_size=6), min_size=1, max_size=5)


def normal_curves(seed: int, levels: int = 8, n: int = 20) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.9 + 0.01 * rng.normal(size=(levels, n)) * np.linspace(0.1, 2, levels)[:, None]


@given(ACCURACIES, st.permutations(range(6)))
def test_departures_do_not_know_which_curve_is_the_published_one(table, order):
    curves = np.array(table) / 1000
    assert maximal_departures(curves)[list(order)] == pytest.approx(maximal_departures(curves[:, list(order)]))


def test_a_level_at_which_all_are_equal_counts_for_none():
    curves = normal_curves(1)
    beside = np.vstack([curves, np.full(curves.shape[1], 0.3)])
    assert (maximal_departures(beside) == maximal_departures(curves)).all()
    assert (maximal_departures(np.full((3, 5), 0.7)) == 0).all()


@given(ACCURACIES)
@settings(max_examples=50)
def test_if_each_in_turn_is_the_first_at_most_a_share_alpha_is_significant_at_alpha(table):
    """The error rate is exact for any numbers, ties included: that is what exchangeable means."""
    departures = maximal_departures(np.array(table) / 1000)[None]
    p = np.array([rank_p_values(np.roll(departures, -place, axis=1))[0] for place in range(6)])
    for alpha in (1 / 6, 2 / 6, 0.5):
        assert (p <= alpha + 1e-9).mean() <= alpha + 1e-9


@given(st.lists(st.lists(st.integers(0, 9), min_size=7, max_size=7), min_size=3, max_size=3))
@settings(max_examples=50)
def test_with_several_curves_the_first_column_is_wrongly_significant_anywhere_at_most_a_share_alpha(table):
    departures = np.array(table, dtype=float)
    p = np.array([rank_p_values(np.roll(departures, -place, axis=1)).min() for place in range(7)])
    for alpha in (1 / 7, 2 / 7):
        assert (p <= alpha + 1e-9).mean() <= alpha + 1e-9


def test_the_adjustment_never_lowers_a_p_and_costs_nothing_for_curves_that_depart_together():
    rng = np.random.default_rng(3)
    for departures in rng.exponential(size=(50, 3, 20)):
        plain = np.array([rank_p_values(row[None])[0] for row in departures])
        assert (rank_p_values(departures) >= plain - 1e-12).all()
        assert rank_p_values(np.repeat(departures[:1], 3, axis=0)) == pytest.approx(plain[[0, 0, 0]])


def test_a_tie_counts_against_a_departure():
    assert rank_p_values(np.array([[2.0, 2.0, 1.0, 1.0]])) == [0.5]


def test_a_detectable_departure_is_found_in_four_of_five_replays_and_a_much_smaller_one_is_not():
    curves = normal_curves(5)
    level = np.arange(8) == 3
    shift = detectable_departure(curves, level)

    def found(by: float) -> float:
        hits = []
        for seed, sign in itertools.product(range(20), (1, -1)):
            moved = curves.copy()
            moved[3, seed] += sign * by
            departures = maximal_departures(moved)
            hits.append(departures[seed] > np.delete(departures, seed).max())
        return float(np.mean(hits))

    assert found(shift) >= 0.8 > found(0.7 * shift)


def test_a_shift_of_all_levels_is_found_before_one_of_the_level_that_spreads_most():
    curves = normal_curves(6)
    everywhere = detectable_departure(curves, np.ones(8, dtype=bool))
    assert everywhere < detectable_departure(curves, np.arange(8) == 7)


def test_what_no_shift_can_show_is_not_detectable():
    assert np.isnan(detectable_departure(normal_curves(7), np.arange(8) == 0, others=np.full(20, 99.0)))
