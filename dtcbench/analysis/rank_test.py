"""A rank test of whole curves: whether one of n + 1 could be any of them, by its largest departure from their mean."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.power import POWER

_HALVINGS = 10
"""Of an accuracy of 1: a detectable departure is known to 0.1 points."""
Array = NDArray[np.float64]


def maximal_departures(curves: Array) -> Array:
    """How far each of several curves [levels, n] departs, at most over levels, from the mean of them all, in standard
    deviations of them all: [n]. A level at which all are equal counts for none.

    Every curve is treated alike: if they are exchangeable, so are their departures.
    """
    found: Array = _departures(curves).max(axis=-2)
    return found


def rank_p_values(departures: Array) -> Array:
    """Per row of `departures` [curves, n + 1], the p-value of "the first is one of n + 1 exchangeable ones", adjusted
    for the number of rows: the share of the n + 1 that depart at least as far. Ties count against a departure.

    The columns are joint draws, such as seeds. The adjustment is Holm's step down, which takes the largest departure
    of a column over the rows that are left and thereby the rows' dependence into account: Westfall and Young,
    Resampling-Based Multiple Testing, 1993, section 2.6, algorithm 2.8. With one row it changes nothing.
    """
    p = np.empty(len(departures))
    so_far, left = 0.0, np.argsort(-departures[:, 0], kind="stable")
    for place, row in enumerate(left):
        largest = departures[left[place:]].max(axis=0)
        so_far = max(so_far, float((largest >= departures[row, 0] - stats.ROUNDING).mean()))
        p[row] = so_far
    return p


def detectable_departure(ours: Array, levels: NDArray[np.bool_], others: Array | None = None) -> float:
    """The smallest shift of a curve at `levels` that the rank test finds with 80 %, as a fraction of 1.

    Each of our curves `ours` [levels, n] in turn, shifted up and then down, is held against the rest; a shift is found
    if no other curve departs as far. NaN if not even one of 1 is found.

    Parameters
    ----------
    others : [n], the largest departure of each of the n seeds in the other curves of the family
    """
    n = ours.shape[1]
    rest = _departures(ours[~levels]).max(axis=0, initial=0.0)  # [n]
    rest = rest if others is None else np.maximum(rest, others)
    signs = np.repeat([1.0, -1.0], n)
    shifted = np.tile(np.arange(n), 2)

    def found(shift: float) -> float:
        moved = np.repeat(ours[None, levels], 2 * n, axis=0)  # [2 n, levels, n]
        moved[np.arange(2 * n), :, shifted] += shift * signs[:, None]
        largest = np.maximum(_departures(moved).max(axis=-2), rest)  # [2 n, n]
        of_shifted = largest[np.arange(2 * n), shifted].copy()
        largest[np.arange(2 * n), shifted] = -1.0
        return float((of_shifted > largest.max(axis=1) + stats.ROUNDING).mean())

    if found(1.0) < POWER:
        return math.nan
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= POWER else (middle, high)
    return high


def _departures(curves: Array) -> Array:
    """Standardised absolute departures of curves [..., levels, n] from their mean."""
    centred = curves - curves.mean(axis=-1, keepdims=True)
    spread = curves.std(axis=-1, ddof=1, keepdims=True)
    equal = spread < stats.ROUNDING
    found: Array = np.where(equal, 0.0, np.abs(centred) / np.where(equal, 1.0, spread))
    return found
