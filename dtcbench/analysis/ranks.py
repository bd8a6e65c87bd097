"""Methods against each other over several problems: mean ranks, performance profiles, and the Pareto front.

docs/statistics.md has every formula with its source.
"""

from __future__ import annotations

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from dtcbench.analysis.stats import ROUNDING, mean

TAU = 1.1
"""A performance profile counts the problems on which a method's error is at most this times the least."""


def mean_ranks(losses: ArrayLike) -> NDArray[np.float64]:
    """Mean over problems of each method's rank, 1 the least loss, of `losses` [problems, methods]; ties share the
    mean of their ranks. Source: Demšar, JMLR 7, 1-30, 2006, section 3.2.2; `scipy.stats.rankdata`.

    ValueError for a loss that is not finite: ranks are of methods that share all problems.
    """
    table = np.asarray(losses, dtype=float)
    if not np.isfinite(table).all():
        raise ValueError("a loss is not finite; rank only methods that share all problems")
    ranks = scipy.stats.rankdata(np.round(table / ROUNDING), method="average", axis=1)
    return np.array([mean(column) for column in ranks.T])


def performance_profile(losses: ArrayLike, tau: float = TAU) -> NDArray[np.float64]:
    """Share of problems on which each method's loss is at most `tau` times the least, of `losses` [problems, methods].

    NaN is a problem that was not solved: it is never within `tau`, and still counted. Source: Dolan and Moré,
    Mathematical Programming 91, 201-213, 2002, ρ(τ). ValueError for τ below 1, and for a negative loss.
    """
    table = np.asarray(losses, dtype=float)
    if not tau >= 1:
        raise ValueError(f"tau must be 1 or more, got {tau:g}")
    if (table < 0).any():
        raise ValueError("losses must not be negative")
    least = np.min(np.where(np.isnan(table), np.inf, table), axis=1, keepdims=True)  # [problems, 1]
    shares: NDArray[np.float64] = (table <= tau * least + ROUNDING).mean(axis=0)
    return shares


def pareto_front(cost: ArrayLike, accuracy: ArrayLike) -> NDArray[np.bool_]:
    """Which of the points `[n]` are on the front. A point is not if another one is at most as costly and at least as
    accurate, and better in one of the two. Equal points are treated alike; a NaN is never on the front.
    """
    c, a = np.asarray(cost, dtype=float), np.asarray(accuracy, dtype=float)
    no_worse = (c[None, :] <= c[:, None]) & (a[None, :] >= a[:, None])  # [n, n]: column against row
    better = (c[None, :] < c[:, None]) | (a[None, :] > a[:, None])
    known = np.isfinite(c) & np.isfinite(a)
    front: NDArray[np.bool_] = known & ~(no_worse & better & known[None, :]).any(axis=1)
    return front
