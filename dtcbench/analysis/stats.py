"""Statistics over seeds: means, intervals, paired tests, corrections for many of them, ranks and fronts.

Nothing here imputes: a value that is not finite is left out. If too few values remain for an interval or
a test, the reason says so. Every result is independent of the order of its input.
docs/statistics.md has every formula with its source.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
MIN_SEEDS = 3
"""Fewer seeds than this get no interval and no test."""
RESAMPLES = 9999
SIGNIFICANCE = 0.05
"""A p-value of at most this is significant."""
MARGIN = 0.01
"""Accuracies this close, one percentage point, are called equivalent."""
TAU = 1.1
"""A performance profile counts the problems on which a method's error is at most this times the least."""
ROUNDING = 1e-9
"""Accuracies are fractions of counts: values that differ by less are equal up to rounding."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and how far the seeds leave it open."""

    mean: float
    """NaN without any value."""
    interval: tuple[float, float] | None
    """Lower and upper end, of 95 % unless asked otherwise, by the bootstrap or by Student's t."""
    reason: str | None
    """Why the interval is missing; None with an interval."""

    @property
    def low(self) -> float:
        """Lower end, NaN without an interval."""
        return self.interval[0] if self.interval else math.nan

    @property
    def high(self) -> float:
        """Upper end, NaN without an interval."""
        return self.interval[1] if self.interval else math.nan


def generator(purpose: str) -> np.random.Generator:
    """The generator of one purpose: the same values always give the same numbers."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big"))


def mean(values: Iterable[float]) -> float:
    """Mean of the finite `values`, correctly rounded; NaN without any."""
    finite = _finite(values)
    if not finite.size:
        return math.nan
    # Dividing can round the mean of equal values just past them.
    return float(np.clip(math.fsum(finite) / finite.size, finite[0], finite[-1]))


def mean_estimate(values: Iterable[float], *, of: str = "seed") -> Estimate:
    """Mean of `values`, one per seed, and its percentile bootstrap interval.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    `of` is what one value stands for, in the reason given when there are fewer than three.
    """
    finite = _finite(values)
    if finite.size < MIN_SEEDS:
        return Estimate(mean(finite), None, f"{_count(finite.size, of)}: no interval")
    return Estimate(mean(finite), _bootstrap(finite), None)


def t_estimate(values: Iterable[float], *, confidence: float = CONFIDENCE, of: str = "seed") -> Estimate:
    """Mean of `values`, one per seed, and Student's t interval: that of the t-tests below, and so of verdicts.

    With five seeds it is wider than the percentile bootstrap, which then covers too little (docs/statistics.md).
    Source: `scipy.stats.ttest_1samp(…).confidence_interval`.
    """
    finite = _finite(values)
    if (why := untested(finite, of=of)) is not None:
        return Estimate(mean(finite), None, why)
    low, high = scipy.stats.ttest_1samp(finite, 0.0).confidence_interval(confidence)
    return Estimate(mean(finite), (float(low), float(high)), None)


def untested(values: Iterable[float], *, of: str = "seed") -> str | None:
    """Why a t-test cannot take `values`, one per seed: too few, or all equal. None if it can."""
    finite = _finite(values)
    if finite.size < MIN_SEEDS:
        return f"{_count(finite.size, of)}: no test"
    # If all are equal up to rounding, t would divide by a spread of 0 and call any difference certain.
    return "equal in all seeds: no test" if finite[-1] - finite[0] < ROUNDING else None


def p_values(
    samples: Sequence[Iterable[float]],
    *,
    null: float = 0.0,
    alternative: Literal["two-sided", "less", "greater"] = "two-sided",
) -> NDArray[np.float64]:
    """Per sample of paired differences, one per seed, the p-value of "their mean is `null`".

    NaN where `untested` says why. Source: Student's t-test, `scipy.stats.ttest_1samp`.
    """
    finite = [_finite(sample) for sample in samples]
    found = np.full(len(finite), np.nan)
    takes = np.array([untested(sample) is None for sample in finite], dtype=bool)
    sizes = np.array([sample.size for sample in finite], dtype=int)
    for size in np.unique(sizes[takes]):  # one call a size: a call costs far more than its arithmetic
        rows = np.flatnonzero(takes & (sizes == size))
        stacked = np.stack([finite[row] for row in rows])  # [rows, size]
        found[rows] = scipy.stats.ttest_1samp(stacked, null, axis=1, alternative=alternative).pvalue
    return found


def equivalence_p_values(samples: Sequence[Iterable[float]], margin: float = MARGIN) -> NDArray[np.float64]:
    """Per sample of paired differences, the p-value of "their mean is `margin` or more away from 0".

    A small one shows equivalence. The larger of two one-sided t-tests: Schuirmann, J. Pharmacokinet. Biopharm. 15,
    657-680, 1987. ValueError for a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f"an equivalence margin must be positive, got {margin:g}")
    above = p_values(samples, null=-margin, alternative="greater")
    below = p_values(samples, null=margin, alternative="less")
    return np.maximum(above, below)


def adjusted(p: ArrayLike) -> NDArray[np.float64]:
    """The p-values of a table's comparisons, adjusted for their number; NaN is not a comparison and stays NaN.

    Benjamini and Yekutieli, Annals of Statistics 29, 1165-1188, 2001, by `scipy.stats.false_discovery_control`: it
    controls the false discovery rate however the comparisons depend on each other; these share dense cells and seeds.
    """
    values = np.array(p, dtype=float)
    known = np.isfinite(values)
    if known.any():
        values[known] = scipy.stats.false_discovery_control(values[known], method="by")
    return values


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


def geometric_mean(ratios: Iterable[float]) -> float:
    """Geometric mean of the finite `ratios`; NaN without any. ValueError for one that is not positive."""
    return math.exp(mean(_logarithms(ratios)))


def geometric_mean_estimate(ratios: Iterable[float], *, of: str = "seed") -> Estimate:
    """Geometric mean of `ratios`, one per pair, with the bootstrap interval of the mean log ratio.

    ValueError for a ratio that is not positive.
    """
    logs = mean_estimate(_logarithms(ratios), of=of)
    interval = (math.exp(logs.low), math.exp(logs.high)) if logs.interval else None
    return Estimate(math.exp(logs.mean), interval, logs.reason)


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


def _count(number: int, of: str) -> str:
    return f"{number} {of}" + ("" if number == 1 else "s")


def _logarithms(ratios: Iterable[float]) -> NDArray[np.float64]:
    finite = _finite(ratios)
    if (finite <= 0).any():
        raise ValueError(f"ratios must be positive, got {finite[0]:g}")
    return np.log(finite)


def _finite(values: Iterable[float]) -> NDArray[np.float64]:
    """The finite values, sorted."""
    array = np.asarray(list(values), dtype=float)
    return np.sort(array[np.isfinite(array)])


def _bootstrap(values: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of sorted, finite `values`."""
    tail = (1 - CONFIDENCE) / 2
    # One product after another, where a matrix product would round as this machine's BLAS does.
    means = sum(share * value for share, value in zip(_resamples(values.size), values, strict=True))  # [RESAMPLES]
    # A resampled mean can round just past the values it is the mean of.
    low, high = np.clip(np.quantile(means, [tail, 1 - tail]), values[0], values[-1])
    return float(low), float(high)


@functools.cache
def _resamples(n: int) -> NDArray[np.float64]:
    """The share of each of `n` values in each resample, `[n, RESAMPLES]`: drawn once, the same for all of this size."""
    drawn = generator("bootstrap over seeds").integers(0, n, (RESAMPLES, n))
    return np.stack([(drawn == value).mean(axis=1) for value in range(n)])
