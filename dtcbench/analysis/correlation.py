"""Correlations over the cycles of a run: plain, given powers of another quantity, with a smoothed curve, over seeds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.nonparametric.smoothers_lowess import lowess

from dtcbench.analysis import stats

FRACTION = 0.3
"""Of the cycles, what LOWESS takes into account around each: as published."""
_CERTAIN = 1 - 1e-9
"""A correlation beyond this is 1 up to rounding."""
_NOTHING = 1e-9
"""What remains of a vector once powers are taken out is nothing, if it is shorter than this share of the vector."""
Array = NDArray[np.float64]


def correlation(x: Array, y: Array) -> float:
    """Pearson's r of x and y [n]; NaN where either does not vary."""
    return partial_correlation(x, y, np.zeros_like(x), 0)


def partial_correlation(x: Array, y: Array, z: Array, powers: int) -> float:
    """Correlation of x and y [n] given z, z², … up to a power: of what remains of both once these are fitted.

    NaN where nothing remains of one of them. Source: Fisher, Metron 3, 329-332, 1924.
    """
    return float(partial_correlations(x, y[:, None], z, powers)[0])


def partial_correlations(x: Array, ys: Array, z: Array, powers: int) -> Array:
    """The same of x [n] and each column of ys [n, k]: [k]."""
    if not len(x):
        return np.full(ys.shape[1], np.nan)
    rest_x, rest_y = _rest(x[:, None], z, powers), _rest(ys, z, powers)
    lengths = np.sqrt((rest_x**2).sum(axis=0) * (rest_y**2).sum(axis=0))
    there = lengths > 0
    r = (rest_x * rest_y).sum(axis=0) / np.where(there, lengths, 1.0)
    found: Array = np.where(there, np.clip(r, -1, 1), np.nan)
    return found


def smoothed(y: Array, at: Array) -> Array:
    """y [n] by LOWESS over `at`; NaN where a neighbourhood has fewer than four points and smooths nothing.

    Source: Cleveland, JASA 74, 829-836, 1979; `statsmodels`' `lowess`, its defaults.
    """
    if FRACTION * len(y) < 4:
        return np.full(len(y), np.nan)
    if np.ptp(y) < stats.ROUNDING:
        return y
    found: Array = lowess(y, at, frac=FRACTION, return_sorted=False)
    return found


def mean_correlation(correlations: ArrayLike, *, confidence: float = stats.CONFIDENCE) -> stats.Estimate:
    """Mean over seeds by Fisher's z = artanh r, with Student's t interval of z, both taken back to r.

    Source: Fisher, Metron 1, 3-32, 1921, for z.
    """
    z = stats.mean_estimate(fisher_z(correlations), confidence=confidence)
    ends = (math.tanh(z.low), math.tanh(z.high)) if z.interval else None
    return stats.Estimate(math.tanh(z.mean), ends, z.reason)


def fisher_z(correlations: ArrayLike) -> Array:
    """artanh r, of 1 as of what is 1 up to rounding."""
    found: Array = np.arctanh(np.clip(np.asarray(correlations, dtype=float), -_CERTAIN, _CERTAIN))
    return found


def _rest(columns: Array, z: Array, powers: int) -> Array:
    """What remains of columns [n, k] once 1, z, … z^powers are fitted; exactly 0 where that is but rounding."""
    rest = columns
    directions: list[Array] = []
    for power in range(powers + 1):
        direction = (z - z.mean()) ** power if power else np.ones_like(z)
        for _ in range(2):  # Gram and Schmidt, twice: powers are nearly collinear
            for known in directions:
                direction = direction - (known * direction).sum() * known
        length = math.sqrt(float((direction**2).sum()))
        if length > _NOTHING * max(float(np.abs(z).max()), 1.0) ** power:
            directions.append(direction / length)
    for _ in range(2):
        for known in directions:
            rest = rest - known[:, None] * (known[:, None] * rest).sum(axis=0)
    scale = np.sqrt((columns**2).sum(axis=0))
    lost = np.sqrt((rest**2).sum(axis=0)) <= _NOTHING * scale
    found: Array = np.where(lost, 0.0, rest)
    return found
