"""Random effects: the mean over pairs of network and data of an effect that differs between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dtcbench.analysis import stats
from dtcbench.text import count_of

MIN_PAIRS = 3
"""Fewer pairs of network and data have no pooled interval."""


@dataclass(frozen=True)
class Pooled:
    """The mean effect over pairs of network and data, and how much the effect differs between them."""

    mean: float
    """NaN without any pair."""
    interval: tuple[float, float] | None
    """None with `reason`."""
    p: float
    """Of "the mean over all such pairs is `null`"; NaN without an interval."""
    between_sd: float
    """Standard deviation of the true effects between pairs; NaN without an interval."""
    pairs: int
    reason: str | None
    """Why there is no interval; None with one."""


def pooled(
    means: ArrayLike, variances: ArrayLike, *, null: float = 0.0, confidence: float = stats.CONFIDENCE
) -> Pooled:
    """The mean effect over pairs of network and data, from each pair's mean and the variance of that mean, [pairs].

    A random-effects model: the true effect of a pair varies around the mean over all such pairs, and each pair's own
    mean around that. Variance between pairs by Paule and Mandel, J. Res. NBS 87, 377-385, 1982; standard error by
    Hartung and Knapp, Statistics in Medicine 20, 3875-3889, 2001, never less than with the scale 1; both by
    `statsmodels.stats.meta_analysis.combine_effects`. t has one degree of freedom less than the effective number of
    pairs, (Σ w)² / Σ w² of the weights w (Kish, Survey Sampling, 1965), not than the pairs: one with a small spread can
    weigh as much as all others, and then the interval held the mean in 92 of 100 cases. Fewer than three pairs, or a
    pair whose variance is 0 (equal in all seeds), give no interval. ValueError for what are no means and variances.
    """
    table = np.array([np.ravel(means), np.ravel(variances)], dtype=float)  # [2, pairs]; ValueError for two lengths
    if not np.isfinite(table).all() or (table[1] < 0).any():
        raise ValueError("a pair's mean and variance must be finite, and the variance not negative")
    table = table[:, np.lexsort(table[::-1])]
    pairs = table.shape[1]
    centre = stats.mean(table[0])
    if pairs < MIN_PAIRS:
        return Pooled(centre, None, math.nan, math.nan, pairs, f"{count_of(pairs, 'pair')}: no pooled interval")
    if (table[1] < stats.ROUNDING**2).any():
        return Pooled(centre, None, math.nan, math.nan, pairs, "a pair is equal in all seeds: no pooled interval")
    from statsmodels.stats.meta_analysis import combine_effects  # takes seconds to import

    fit = combine_effects(table[0], table[1], method_re="pm")
    error = _rounded(fit.sd_eff_w_re * math.sqrt(max(1.0, fit.scale_hksj_re)))
    effective = _rounded(1 / np.square(fit.weights_rel_re).sum())
    centre = _rounded(fit.mean_effect_re)
    estimate = stats.t_interval(centre, error, max(effective - 1, 1.0), confidence)
    p = float(stats.p_of([estimate], null)[0])
    return Pooled(centre, estimate.interval, p, math.sqrt(_rounded(fit.tau2)), pairs, None)


def _rounded(value: float) -> float:
    """To twelve digits: the sums of a library round as the machine's linear algebra does."""
    return float(f"{value:.12g}")
