"""The arithmetic of energy: joules from sampled power, or from a polled counter, and how well sampled they are.

Samples are pairs of arrays of one length: times in seconds, in any order, and values, in which NaN
stands for a reading that failed.
"""

from __future__ import annotations

import numpy as np
import scipy.integrate
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REFRESH_S = 0.1
"""The driver refreshes its figures, power and counter alike, about so often (arXiv 2312.02741)."""


def integral_j(t_s: Floats, power_w: Floats, begin_s: float, end_s: float) -> float:
    """Joules between `begin_s` and `end_s` by the trapezoidal rule.

    The power at the two edges is interpolated between the samples round them; before the first
    sample and after the last one it is held. Samples of one time stamp count as their mean.

    Parameters
    ----------
    t_s, power_w : [n], seconds and watts

    Returns
    -------
    0 over an empty interval, NaN where no sample is finite. ValueError where `end_s` < `begin_s`.
    """
    _check_interval(begin_s, end_s)
    begin, end = integrated_j(t_s, power_w, np.array([begin_s, end_s]))
    return float(end - begin)


def integrated_j(t_s: Floats, power_w: Floats, edges_s: Floats) -> Floats:
    """Joules from the earliest sample or edge to each of `edges_s`, as `integral_j` has them.

    Parameters
    ----------
    t_s, power_w : [n], seconds and watts
    edges_s : [m], seconds

    Returns
    -------
    [m], NaN throughout where no sample is finite
    """
    t, p = _finite(t_s, power_w)
    if t.size == 0:
        return np.full(np.shape(edges_s), np.nan)
    t, first, count = np.unique(t, return_index=True, return_counts=True)
    p = np.add.reduceat(p, first) / count
    knots = np.union1d(t, edges_s)
    joules = scipy.integrate.cumulative_trapezoid(np.interp(knots, t, p), knots, initial=0)
    stands: Floats = np.interp(edges_s, knots, joules)
    return stands


def longest_gap_s(t_s: Floats, values: Floats, begin_s: float, end_s: float) -> float:
    """The longest time between `begin_s` and `end_s` without a finite value, in seconds.

    Gaps lie between neighbouring samples of the interval [begin, end] and between its edges and the
    samples nearest to them inside; without any sample inside, the gap is the interval.

    Parameters
    ----------
    t_s, values : [n], seconds and any unit

    ValueError where `end_s` < `begin_s`.
    """
    _check_interval(begin_s, end_s)
    t, _ = _finite(t_s, values)
    inside = t[(begin_s <= t) & (t <= end_s)]
    return float(np.diff(inside, prepend=begin_s, append=end_s).max())


def samples_in(t_s: Floats, values: Floats, begin_s: float, end_s: float) -> int:
    """How many finite values of `values` [n] have their time in [`begin_s`, `end_s`].

    ValueError where `end_s` < `begin_s`.
    """
    _check_interval(begin_s, end_s)
    t, _ = _finite(t_s, values)
    return int(np.count_nonzero((begin_s <= t) & (t <= end_s)))


def refreshes(t_s: Floats, counter: Floats) -> tuple[Floats, Floats]:
    """The samples at which a polled figure was first seen with a new value; the first sample is one.

    A refresh that leaves the value as it was cannot be seen.

    Parameters
    ----------
    t_s, counter : [n], seconds and any unit

    Returns
    -------
    t, value : [k], k <= n, in the order of time
    """
    t, value = _finite(t_s, counter)
    new = np.concatenate((np.ones(min(t.size, 1), bool), np.diff(value) != 0))  # [n]
    return t[new], value[new]


def counter_j(t_s: Floats, counter_mj: Floats, edges_s: Floats) -> Floats:
    """Joules at which an energy counter stands at each of `edges_s`; differences of them are energies.

    Between two refreshes the counter is taken to rise evenly, before the first and after the last to
    stand still. An energy is then off, at constant power, by no more than the power times the longest
    time between two polls, if the counter was seen to move before and after each of its edges; by up
    to the power times `REFRESH_S`, if it was only polled at them.

    Parameters
    ----------
    t_s, counter_mj : [n], seconds and millijoules
    edges_s : [m], seconds

    Returns
    -------
    [m], NaN throughout where fewer than two refreshes were seen
    """
    t, value = refreshes(t_s, counter_mj)
    if t.size < 2:
        return np.full(np.shape(edges_s), np.nan)
    return np.interp(edges_s, t, value) / 1000


def backwards(counter: Floats) -> tuple[float, float] | None:
    """The first two successive finite values of `counter` [n] of which the second is smaller."""
    value = counter[np.isfinite(counter)]
    falls = np.flatnonzero(np.diff(value) < 0)
    if falls.size == 0:
        return None
    return float(value[falls[0]]), float(value[falls[0] + 1])


def unwrapped(counter: Floats, modulus: float) -> Floats:
    """A counter [n] that starts again from zero at `modulus`, as one that only rises.

    True as long as it rises by less than `modulus` from one finite value to the next. NaN stays NaN.
    RAPL's counter wraps so, at its `max_energy_range_uj`.
    """
    finite = np.isfinite(counter)
    value = counter[finite]
    wraps = np.cumsum(np.diff(value, prepend=value[:1]) < 0)
    rising = np.full(counter.shape, np.nan)
    rising[finite] = value + modulus * wraps
    return rising


def _finite(t_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The samples with a finite value, in the order of time; those of one time keep theirs."""
    finite = np.isfinite(values)
    t, value = t_s[finite], values[finite]
    order = np.argsort(t, kind="stable")
    return t[order], value[order]


def _check_interval(begin_s: float, end_s: float) -> None:
    if end_s < begin_s:
        raise ValueError(f"the interval ends at {end_s} s, before it begins at {begin_s} s")
