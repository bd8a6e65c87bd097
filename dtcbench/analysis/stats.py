"""Statistics over seeds: paired differences and ratios, bootstrap intervals, the Pareto front.

Nothing here imputes: a value that is not finite is left out, and what is then too little for an
interval gets none, with the reason. Every result is independent of the order of its input.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
MIN_SEEDS = 3
"""Fewer seeds than this get no interval."""
RESAMPLES = 9999


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and how far the seeds leave it open."""

    mean: float
    """NaN where there is no value at all."""
    interval: tuple[float, float] | None
    """Lower and upper end of the 95 % percentile bootstrap interval."""
    reason: str | None
    """Why there is no interval; None where there is one."""

    @property
    def low(self) -> float:
        """Lower end, NaN without an interval."""
        return self.interval[0] if self.interval else math.nan

    @property
    def high(self) -> float:
        """Upper end, NaN without an interval."""
        return self.interval[1] if self.interval else math.nan


def generator(purpose: str) -> np.random.Generator:
    """The generator of one purpose: the same values always give the same figures."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big"))


def mean(values: Iterable[float]) -> float:
    """Mean of the finite `values`, correctly rounded; NaN when there are none."""
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
        plural = "" if finite.size == 1 else "s"
        return Estimate(mean(finite), None, f"{finite.size} {of}{plural}: no interval")
    return Estimate(mean(finite), _bootstrap(finite), None)


def geometric_mean(ratios: Iterable[float]) -> float:
    """Geometric mean of the finite `ratios`; NaN when there are none. ValueError for one that is not positive."""
    return math.exp(mean(_logarithms(ratios)))


def geometric_mean_estimate(ratios: Iterable[float], *, of: str = "seed") -> Estimate:
    """Geometric mean of `ratios`, one per pair, with the bootstrap interval of the mean log ratio.

    ValueError for a ratio that is not positive.
    """
    logs = mean_estimate(_logarithms(ratios), of=of)
    interval = (math.exp(logs.low), math.exp(logs.high)) if logs.interval else None
    return Estimate(math.exp(logs.mean), interval, logs.reason)


def pareto_front(cost: ArrayLike, accuracy: ArrayLike) -> NDArray[np.bool_]:
    """Which of the points `[n]` no other point beats: none is at most as costly and at least as accurate,
    and better in one of the two. Equal points stand or fall together; a NaN is never on the front.
    """
    c, a = np.asarray(cost, dtype=float), np.asarray(accuracy, dtype=float)
    no_worse = (c[None, :] <= c[:, None]) & (a[None, :] >= a[:, None])  # [n, n]: column against row
    better = (c[None, :] < c[:, None]) | (a[None, :] > a[:, None])
    known = np.isfinite(c) & np.isfinite(a)
    front: NDArray[np.bool_] = known & ~(no_worse & better & known[None, :]).any(axis=1)
    return front


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
