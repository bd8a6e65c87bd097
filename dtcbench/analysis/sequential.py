"""Seeds until decided: how small a p-value must be if a comparison is looked at several times as its seeds grow.

A test at 5 % after 5, 10, …, 40 seeds errs far more often than one at 5 %. Alpha spending (Lan and DeMets, Biometrika
70, 659-663, 1983) gives each look a part of the 5 %, here in proportion to its seeds: α(t) = α t, with t the share
of the most seeds. The nominal level of a look is the one at which the first crossing of that look has just its part
of the error; it is found by integrating over the looks one by one (Armitage, McPherson and Rowe, J. R. Stat. Soc. A
132, 235-244, 1969). They did so for normal variables; this is Student's t itself, which has no normal tails after
five seeds. docs/statistics.md has the error rate, the power and the seeds saved.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

from dtcbench.analysis.stats import SIGNIFICANCE

MIN_STEP = 3
"""A look adds at least so many seeds: the levels are then right to a hundredth of themselves."""
_NODES = 48
"""Of Gauss-Legendre quadrature, over the statistic at one look and over what two looks share."""
_ALPHAS = np.append(np.geomspace(1e-6, 1e-2, 9), [0.025, 0.05, 0.1, 0.2, 0.4, 0.7, 0.99])
"""Overall errors whose levels are computed; between them, log level is interpolated over log error."""


@dataclass(frozen=True)
class Looks:
    """The numbers of seeds at which comparisons are looked at. ValueError where they make no sequence."""

    first: int
    step: int
    most: int

    def __post_init__(self) -> None:
        if min(self.first, self.step) < 1 or self.most < self.first or (self.most - self.first) % self.step:
            raise ValueError(f"{self}: most must be first plus a number of steps")
        if self.most > self.first and min(self.first, self.step) < MIN_STEP:
            raise ValueError(f"{self}: first and step must be {MIN_STEP} or more")

    @classmethod
    def fixed(cls, seeds: int) -> Self:
        """One look at all seeds."""
        return cls(seeds, 1, seeds)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of seeds at each look."""
        return tuple(range(self.first, self.most + 1, self.step))

    def reached(self, seeds: int) -> int:
        """How many looks this number of seeds is enough for."""
        return sum(size <= seeds for size in self.sizes)

    def levels(self, alpha: float = SIGNIFICANCE) -> tuple[float, ...]:
        """The nominal level of each look: p-values of at most these err in `alpha` of all sequences.

        Exact, but for quadrature, where p is of a two-sided paired t-test on normal differences; one-sided tests at
        these levels err less often. ValueError unless 0 < alpha < 1.
        """
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, got {alpha:g}")
        return _levels(self.sizes, alpha) if len(self.sizes) > 1 else (alpha,)

    def p_value(self, p: Sequence[float]) -> float:
        """The p-value of the whole sequence, from the nominal `p` at each look so far; NaN is a look without a test.

        It is the smallest alpha at which one of these looks reaches its level, so it can only fall from look to look
        (Liu and Anderson, J. Am. Stat. Assoc. 103, 1621-1630, 2008). It errs as a p-value does wherever the sequence
        is stopped: Holm's correction applies to such p-values of comparisons that have different numbers of seeds
        (Maurer and Bretz, Stat. Biopharm. Res. 5, 311-320, 2013). NaN without any test. ValueError for more p-values
        than looks.
        """
        if len(p) > len(self.sizes):
            raise ValueError(f"{len(p)} p-values for {len(self.sizes)} looks")
        if len(self.sizes) == 1:
            return next(iter(p), math.nan)
        table = _table(self.sizes)  # [alphas, looks]
        found = [_alpha(table[:, look], value) for look, value in enumerate(p) if not math.isnan(value)]
        return min(found, default=math.nan)


def _alpha(levels: NDArray[np.float64], p: float) -> float:
    """The overall error at which a look has the level `p`, from its `levels` at `_ALPHAS`."""
    if p > levels[-1]:
        return 1.0
    if p <= levels[0]:  # looks hardly overlap so far out: error and level are proportional
        return float(_ALPHAS[0] * p / levels[0])
    return float(np.exp(np.interp(math.log(p), np.log(levels), np.log(_ALPHAS))))


@functools.cache
def _table(sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """The levels of all looks at each of `_ALPHAS`, `[alphas, looks]`."""
    return np.array([_levels(sizes, alpha) for alpha in _ALPHAS])


@functools.cache
def _levels(sizes: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """The nominal levels of looks at `sizes` seeds.

    Without an effect w = Σx / √(n Σx²), a function of Student's t, has the density (1 − w²)^((n−3)/2) up to a
    constant, and is independent of Σx². So from n to n + m seeds w' = √(n/(n+m)) w cos θ + √(m/(n+m)) v sin θ, where
    v is w of the m new seeds and cos² θ ~ Beta(n/2, m/2): the looks are a Markov chain.
    """
    x, weights = np.polynomial.legendre.leggauss(_NODES)  # over [−1, 1]
    nodes = mass = np.empty(0)  # of w at the last look, where no look has crossed
    spent, levels = 0.0, list[float]()
    for before, n in zip((0, *sizes), sizes, strict=False):
        part, spent = alpha * n / sizes[-1] - spent, alpha * n / sizes[-1]
        if not before:
            level, bound = part, _bound(n, part)
            density = _density(n, x * bound)
        else:
            turn = _Turn(before, n)
            # The level is at least this look's part of the error, and at most all that is spent; 2 is for rounding.
            bracket = _bound(n, min(2 * spent, 1.0)), _bound(n, part / 2)
            crossing = functools.partial(turn.crossing, nodes=nodes, mass=mass, part=part)
            bound = float(scipy.optimize.brentq(crossing, *bracket, xtol=1e-10))
            level = float(scipy.special.betaincc(0.5, (n - 1) / 2, bound**2))
            density = turn.density(x * bound, nodes) @ mass
        nodes, mass = x * bound, weights * bound * density
        levels.append(level)
    return tuple(levels)


class _Turn:
    """From the statistic of `before` seeds to that of `n`: quadrature over θ of `_levels`."""

    def __init__(self, before: int, n: int) -> None:
        t, weights = np.polynomial.legendre.leggauss(_NODES)
        theta = (t + 1) * math.pi / 4
        self.new = n - before
        weights = weights * np.cos(theta) ** (before - 1) * np.sin(theta) ** (self.new - 1)
        self.weights = weights / weights.sum()
        self.old_part = math.sqrt(before / n) * np.cos(theta)
        self.new_part = math.sqrt(self.new / n) * np.sin(theta)

    def crossing(self, bound: float, nodes: NDArray[np.float64], mass: NDArray[np.float64], part: float) -> float:
        """How far the probability of crossing ±bound now, and not before, exceeds `part`."""
        old = nodes[:, None] * self.old_part  # [nodes, θ]
        beyond = _above(self.new, (bound - old) / self.new_part) + _above(self.new, (bound + old) / self.new_part)
        return float(mass @ (beyond @ self.weights)) - part

    def density(self, to: NDArray[np.float64], nodes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The density at `to`, given each of `nodes`: `[to, nodes]`."""
        v = (to[:, None, None] - nodes[None, :, None] * self.old_part) / self.new_part  # [to, nodes, θ]
        given: NDArray[np.float64] = (_density(self.new, v) / self.new_part) @ self.weights
        return given


def _bound(n: int, level: float) -> float:
    """The bound that |w| of n seeds exceeds with probability `level`."""
    return math.sqrt(scipy.special.betainccinv(0.5, (n - 1) / 2, level))


def _density(n: int, w: NDArray[np.float64]) -> NDArray[np.float64]:
    """The density of w of n seeds; 0 beyond ±1."""
    inside = np.maximum(1 - w**2, 0.0)
    height = np.where(inside > 0, inside ** ((n - 3) / 2), 0.0)
    scaled: NDArray[np.float64] = height / scipy.special.beta(0.5, (n - 1) / 2)
    return scaled


def _above(n: int, w: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability that w of n seeds is larger."""
    inside = np.clip(w, -1.0, 1.0)
    above: NDArray[np.float64] = 0.5 - 0.5 * np.sign(inside) * scipy.special.betainc(0.5, (n - 1) / 2, inside**2)
    return above
