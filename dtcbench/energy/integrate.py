"""The arithmetic of energy: joules from sampled power or from a polled counter, and gaps between samples.

Samples are two arrays of equal length: times in seconds, in any order, and values, NaN where a reading failed.
"""

from __future__ import annotations

import numpy as np
import scipy.integrate
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REFRESH_S = 0.1
"""Seconds between two refreshes of power and counter by the driver, roughly (arXiv 2312.02741)."""


def integral_j(t_s: Floats, power_w: Floats, begin_s: float, end_s: float) -> float:
    """Joules between `begin_s` and `end_s` by the trapezoidal rule.

    At an edge between two samples the power is interpolated; before the first sample and after the last one it
    is held constant. Samples with equal times are replaced by their mean.

    Parameters
    ----------
    t_s, power_w : [n], seconds and watts

    Returns
    -------
    float : 0 for an empty interval, NaN if no sample is finite

    Raises
    ------
    ValueError : `end_s` < `begin_s`
    """
    _check_interval(begin_s, end_s)
    begin, end = integrated_j(t_s, power_w, np.array([begin_s, end_s]))
    return float(end - begin)


def integrated_j(t_s: Floats, power_w: Floats, edges_s: Floats) -> Floats:
    """Joules from the earliest sample or edge to each of `edges_s`, by the rules of `integral_j`.

    Parameters
    ----------
    t_s, power_w : [n], seconds and watts
    edges_s : [m], seconds

    Returns
    -------
    [m], all NaN if no sample is finite
    """
    t, p = _finite(t_s, power_w)
    if t.size == 0:
        return np.full(np.shape(edges_s), np.nan)
    t, first, count = np.unique(t, return_index=True, return_counts=True)
    p = np.add.reduceat(p, first) / count
    knots = np.union1d(t, edges_s)
    joules = scipy.integrate.cumulative_trapezoid(np.interp(knots, t, p), knots, initial=0)
    at_edges: Floats = np.interp(edges_s, knots, joules)
    return at_edges


def longest_gap_s(t_s: Floats, values: Floats, begin_s: float, end_s: float) -> float:
    """The longest time between `begin_s` and `end_s` without a finite value, in seconds.

    A gap lies between two neighbouring samples of the interval, or between one of its edges and the nearest sample
    inside. Without any sample inside, the gap is the interval.

    Parameters
    ----------
    t_s, values : [n], seconds and any unit

    Raises
    ------
    ValueError : `end_s` < `begin_s`
    """
    _check_interval(begin_s, end_s)
    t, _ = _finite(t_s, values)
    inside = t[(begin_s <= t) & (t <= end_s)]
    return float(np.diff(inside, prepend=begin_s, append=end_s).max())


def samples_in(t_s: Floats, values: Floats, begin_s: float, end_s: float) -> int:
    """The number of finite `values` [n] whose time lies in [`begin_s`, `end_s`].

    Raises
    ------
    ValueError : `end_s` < `begin_s`
    """
    _check_interval(begin_s, end_s)
    t, _ = _finite(t_s, values)
    return int(np.count_nonzero((begin_s <= t) & (t <= end_s)))


def refreshes(t_s: Floats, counter: Floats) -> tuple[Floats, Floats]:
    """The samples at which a polled quantity first showed a new value, the first sample included.

    A refresh that does not change the value cannot be seen.

    Parameters
    ----------
    t_s, counter : [n], seconds and any unit

    Returns
    -------
    t, value : [k], k <= n, sorted by time
    """
    t, value = _finite(t_s, counter)
    new = np.concatenate((np.ones(min(t.size, 1), bool), np.diff(value) != 0))  # [n]
    return t[new], value[new]


def counter_j(t_s: Floats, counter_mj: Floats, edges_s: Floats) -> Floats:
    """The energy counter's value at each of `edges_s`, in joules; differences of two values are energies.

    The counter is assumed to rise evenly between two refreshes, and to stand still before the first and after the
    last. At constant power, the error of an energy is at most the power times the longest time between two polls
    if the counter was seen to move before and after each edge. If it was only polled at the edges, the error is up
    to the power times `REFRESH_S`.

    Parameters
    ----------
    t_s, counter_mj : [n], seconds and millijoules
    edges_s : [m], seconds

    Returns
    -------
    [m], all NaN if fewer than two refreshes were seen
    """
    t, value = refreshes(t_s, counter_mj)
    if t.size < 2:
        return np.full(np.shape(edges_s), np.nan)
    return np.interp(edges_s, t, value) / 1000


def rise_of_a_refresh(counter: Floats) -> float:
    """By how much one refresh raises a polled `counter` [n], the median; 0 if it never rises."""
    steps = np.diff(counter[np.isfinite(counter)])
    rises = steps[steps > 0]
    return float(np.median(rises)) if rises.size else 0.0


def backwards(counter: Floats, tolerance: float = 0.0) -> tuple[float, float] | None:
    """The first two successive finite values of `counter` [n] that fall by more than `tolerance`; None if none do."""
    value = counter[np.isfinite(counter)]
    falls = np.flatnonzero(np.diff(value) < -tolerance)
    if falls.size == 0:
        return None
    return float(value[falls[0]]), float(value[falls[0] + 1])


def unwrapped(counter: Floats, modulus: float) -> Floats:
    """A counter [n] that wraps to zero at `modulus`, as RAPL's does at `max_energy_range_uj`, made to only rise.

    This is exact as long as the counter rises by less than `modulus` between two finite values. NaN stays NaN.
    """
    finite = np.isfinite(counter)
    value = counter[finite]
    wraps = np.cumsum(np.diff(value, prepend=value[:1]) < 0)
    rising = np.full(counter.shape, np.nan)
    rising[finite] = value + modulus * wraps
    return rising


def _finite(t_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The samples with a finite value, sorted by time; samples with equal times keep their order."""
    finite = np.isfinite(values)
    t, value = t_s[finite], values[finite]
    order = np.argsort(t, kind="stable")
    return t[order], value[order]


def _check_interval(begin_s: float, end_s: float) -> None:
    if end_s < begin_s:
        raise ValueError(f"the interval ends at {end_s} s, before it begins at {begin_s} s")
