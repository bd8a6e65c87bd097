"""The signs of a LASSO's solution, found on the host: for few rows by non-negative least squares, else by an
interior-point method in NumPy, whose calls cost less than torch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from dtcbench.dtc import least_distance
from dtcbench.dtc.lasso import HEAVIEST, SHORT, TO_BOUNDARY
from dtcbench.dtc.sensing import Array

NEAR = 1e-4, 3.0
"""Signs are worth trying at a relative complementarity of at most the first, and of the second over n²."""
SINGLE_FROM = 2**17
"""Entries of Θ from which on single precision pays; narrower layers have no use for it."""
SINGLE_UNTIL = 1e-3
"""Relative complementarity at which single precision ends."""
_SINGLE_KAPPA = 1e-9
_SINGLE_ROUNDING = 1e-6

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Columns:
    """The columns of A on the host, for every right-hand side."""

    at: Floats
    """Aᵀ [m, n], n ≤ m; the longest column is about 1 long."""

    @cached_property
    def single(self) -> Columns:
        """In single precision."""
        return Columns(self.at.astype(np.float32))

    @cached_property
    def mean_square(self) -> Floats:
        """Of the n entries of each column of A [m]."""
        mean: Floats = np.einsum("ij,ij->i", self.at, self.at) / self.at.shape[1]
        return mean

    @cached_property
    def cholesky(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """LAPACK's factorisation of a positive definite matrix and its solution, in this precision."""
        potrf, potrs = get_lapack_funcs(("potrf", "potrs"), (self.at,))
        return potrf, potrs

    def newton_matrix(self, weight: Floats, count: int) -> Floats:
        """I + A D Aᵀ [n, n] of the weights D [m]; all but the `count` heaviest columns only through their trace."""
        columns, diagonal = self.at, 1.0
        if count < len(weight):
            order = np.argpartition(weight, -count)
            light, heavy = order[:-count], order[-count:]
            diagonal += float(weight[light] @ self.mean_square[light])
            columns, weight = columns[heavy], weight[heavy]
        weighted = columns * np.sqrt(weight)[:, None]
        matrix: Floats = weighted.T @ weighted
        matrix.flat[:: len(matrix) + 1] += diagonal
        return matrix


def likely_signs(columns: Columns, b: Array, kappa: float, steps: int) -> Iterator[tuple[Array, Floats]]:
    """The signs [m] of argmin ½‖A x − b‖² + κ ‖x‖₁ for one b [n] of a length of about 1, ever more surely.

    With them comes a dual direction ξ [n] that may bound the objective. Nothing here is certified: that is for the
    caller, who takes no more signs once they are right.
    """
    if len(b) <= least_distance.MOST_ROWS:
        signs = least_distance.signs_of_solution(columns.at.T, b, 2 * kappa)
        if signs is not None:
            yield signs, b
    dual, near = Dual(columns, b, kappa), min(NEAR[0], NEAR[1] / len(b) ** 2)
    with np.errstate(all="ignore"):  # what is not finite ends in no signs
        point = Point.approached(dual, steps)
        for _ in range(steps):
            now = point.complementarity(dual)
            if now <= near:
                yield point.signs(dual), point.xi
            if not now > 0:
                return
            point = point.step(dual)


@dataclass(frozen=True)
class Dual:
    """max bᵀξ − ½‖ξ‖² subject to |Aᵀ ξ| ≤ κ, in double or in single precision."""

    columns: Columns
    b: Floats
    """[n]"""
    kappa: float

    @property
    def at(self) -> Floats:
        """Aᵀ [m, n]."""
        return self.columns.at

    def single(self) -> Dual:
        """The problem in single precision."""
        return Dual(self.columns.single, self.b.astype(np.float32), self.kappa)


@dataclass(frozen=True)
class Point:
    """ξ [n], and of the bounds Aᵀξ ≤ κ and −Aᵀξ ≤ κ the slacks and multipliers [2, m], all positive."""

    xi: Floats
    slack: Floats
    multiplier: Floats
    wary: bool = False
    """Whether a step was short, after which no column is neglected."""

    @classmethod
    def start(cls, dual: Dual) -> Point:
        """ξ = 0; multipliers around the best multiple of Aᵀ b."""
        x = dual.at @ dual.b
        through = x @ dual.at
        x = x * ((dual.b @ through) / (through @ through))
        multiplier = np.maximum(np.stack((x, -x)), 0) + np.abs(x).max() / 30
        return cls(np.zeros_like(dual.b), np.full_like(multiplier, dual.kappa), multiplier)

    @classmethod
    def approached(cls, dual: Dual, steps: int) -> Point:
        """The start; of a large problem a point near the solution, which single precision reaches in half the time."""
        if dual.at.size < SINGLE_FROM or dual.kappa < _SINGLE_KAPPA:
            return cls.start(dual)
        single = dual.single()
        point = cls.start(single)
        for _ in range(steps):
            if point.complementarity(single) <= SINGLE_UNTIL:
                break
            point = point.step(single)
        xi = point.xi.astype(np.float64) * (1 - _SINGLE_ROUNDING)  # so that rounding leaves it within its bounds
        change = dual.at @ xi
        near = cls(xi, dual.kappa + np.stack((-change, change)), point.multiplier.astype(np.float64))
        return near if (near.slack > 0).all() and (near.multiplier > 0).all() else cls.start(dual)

    def coefficients(self) -> Floats:
        """x [m]: the difference of the multipliers."""
        x: Floats = self.multiplier[0] - self.multiplier[1]
        return x

    def complementarity(self, dual: Dual) -> float:
        """Σ slack · multiplier, relative to the objective's ℓ₁ term."""
        return float(np.vdot(self.slack, self.multiplier) / (dual.kappa * np.abs(self.coefficients()).sum()))

    def signs(self, dual: Dual) -> Array:
        """Signs [m] of the coefficients that are large compared with their slack, n at most; 0 for the others."""
        x, n = self.coefficients(), len(self.xi)
        size = np.abs(x)
        size = size / size.max() / (self.slack.min(axis=0) / dual.kappa)
        signs: Array = np.sign(x) * (size >= max(1.0, np.partition(size, -n)[-n]))
        return signs

    def step(self, dual: Dual) -> Point:
        """One predictor and one corrector (Mehrotra, SIAM J. Optim. 2, 1992)."""
        slack, multiplier = self.slack, self.multiplier
        ratio = multiplier / slack
        m, n = dual.at.shape
        matrix = dual.columns.newton_matrix(ratio[0] + ratio[1], m if self.wary else min(m, int(HEAVIEST * n) + 1))
        potrf, potrs = dual.columns.cholesky
        factor, _ = potrf(matrix, lower=1, overwrite_a=1, clean=0)

        def direction(aim: Floats | float, right: Floats) -> tuple[Floats, Floats, Floats, float, float]:
            """To slack · multiplier = slack · aim: of ξ, slacks and multipliers, and how far the latter two may go."""
            d_xi, _ = potrs(factor, right, lower=1)
            change = dual.at @ d_xi
            d_slack = np.stack((-change, change))
            d_multiplier = aim - multiplier - ratio * d_slack
            return d_xi, d_slack, d_multiplier, _farthest(d_slack, slack), _farthest(d_multiplier, multiplier)

        rest = dual.b - self.xi
        _, d_slack, d_multiplier, far, far_multiplier = direction(0.0, rest)
        before = np.vdot(slack, multiplier)
        after = np.vdot(slack + min(far, 1) * d_slack, multiplier + min(far_multiplier, 1) * d_multiplier)
        centre = float(after / slack.size * (after / before) ** 2)
        aim = (centre - d_slack * d_multiplier) / slack
        d_xi, d_slack, d_multiplier, far, far_multiplier = direction(aim, rest - (aim[0] - aim[1]) @ dual.at)
        t, t_multiplier = min(TO_BOUNDARY * far, 1), min(TO_BOUNDARY * far_multiplier, 1)
        return Point(
            self.xi + t * d_xi,
            slack + t * d_slack,
            multiplier + t_multiplier * d_multiplier,
            self.wary or min(t, t_multiplier) < SHORT,
        )


def _farthest(change: Floats, positive: Floats) -> float:
    """How many times `change` may be added before one of the positive numbers is zero; 1000 at most."""
    return float(-1 / min((change / positive).min(), -1e-3))
