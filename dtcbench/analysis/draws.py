"""How much of an arm's variance over seeds comes from what another arm keeps fixed, such as DTC's Φ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.rivals import all_series
from dtcbench.analysis.rules import Case
from dtcbench.analysis.verdicts import Effect, Side
from dtcbench.plan.claim import Variance, plain_label


def beside(case: Case, cells: pd.DataFrame) -> Case:
    """The case, with the shares of variance that its claim wants shown beside the comparisons of those arms."""
    effects = {side: effect for wanted in case.claim.shown for side, effect in _shares(wanted, cells).items()}
    deciding, others = (
        tuple(
            replace(one, shown=replace(one.shown, effects=(*one.shown.effects, effects[one.shown.sides[0]])))
            if one.shown.sides and one.shown.sides[0] in effects
            else one
            for one in part
        )
        for part in (case.deciding, case.beside)
    )
    return replace(case, deciding=deciding, beside=others)


def share_of_variance(varied: NDArray[np.float64], fixed: NDArray[np.float64]) -> stats.Estimate:
    """1 − s²(fixed) / s²(varied), of two samples [seeds], with the interval of the F distribution.

    The two share their seeds, so they correlate, and the interval covers more than its 95 %. Below 0 the fixed arm
    varied more. Source: the ratio of two variances, Fisher 1924.
    """
    if min(len(varied), len(fixed)) < stats.MIN_SEEDS or not np.var(varied):
        return stats.Estimate(np.nan, None, "too few seeds, or equal ones: no share")
    ratio = float(np.var(fixed, ddof=1) / np.var(varied, ddof=1))
    tail = (1 - stats.CONFIDENCE) / 2
    low, high = scipy.stats.f.ppf([tail, 1 - tail], len(fixed) - 1, len(varied) - 1)
    return stats.Estimate(1 - ratio, (float(1 - ratio / low), float(1 - ratio / high)), None)


def _shares(wanted: Variance, cells: pd.DataFrame) -> dict[Side, Effect]:
    series = all_series(cells)
    varied = [one for one in series if plain_label(one.method) == wanted.of]
    fixed = {one.side: one for one in series if plain_label(one.method) == wanted.without}
    found: dict[Side, Effect] = {}
    for one in varied:
        other = next((fixed[side] for side in fixed if _place(side) == _place(one.side)), None)
        if other is not None:
            share = share_of_variance(*(np.asarray(side.ok["accuracy"], dtype=float) for side in (one, other)))
            found[one.side] = Effect.of(f"share of the variance that {wanted.draws} has", share, "percent")
    return found


def _place(side: Side) -> tuple[object, ...]:
    return side.pool, side.sparsity, side.solver
