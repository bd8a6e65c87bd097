"""Cyclic coordinate descent (scikit-learn's Lasso)."""

from __future__ import annotations

import warnings
from typing import Annotated

import numpy as np
from pydantic import Field

from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.errors import SolverError
from dtcbench.registry import register_solver


@register_solver("lasso-cd")
@checked_solver(Tolerance(gap=1e-6))
def lasso_cd(
    theta: Array,
    y: Array,
    lam: float,
    *,
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-6,
    max_iterations: Annotated[int, Field(gt=0)] = 1_000_000,
) -> Array:
    """Coordinate descent; slow if λ is small compared with 2 ‖Θᵀ y‖∞, as in this bench.

    Theta [n, m], y [n, k] → s [m, k]. Friedman et al., J. Stat. Softw. 33 (2010). Ends at a duality gap of at
    most `tolerance`, relative to the objective; SolverError if `max_iterations` sweeps do not reach that.
    """
    return np.column_stack([_descended(theta, column, lam, tolerance, max_iterations) for column in y.T])


def _descended(theta: Array, y: Array, lam: float, tolerance: float, max_iterations: int) -> Array:
    from sklearn.linear_model import Lasso

    # scikit-learn minimises ‖Θ s − y‖² / 2n + α ‖s‖₁, from a duality gap relative to ‖y‖², which the smallest
    # objective may lie far below: the tolerance is brought down until the gap is small compared with that, too.
    n, relative = len(y), tolerance
    model = Lasso(alpha=lam / (2 * n), fit_intercept=False, max_iter=max_iterations, warm_start=True)
    while True:
        model.tol = relative
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a descent given up early is found out below
            model.fit(theta, y)
        s = np.asarray(model.coef_, dtype=np.float64)
        objective = ((theta @ s - y) ** 2).sum() + lam * np.abs(s).sum()
        gap = 2 * n * float(model.dual_gap_) / objective
        if gap <= tolerance:
            return s
        if np.max(model.n_iter_) >= max_iterations or relative < np.finfo(float).eps:
            raise SolverError(
                f"coordinate descent did not converge: relative duality gap {gap:.3g}, not {tolerance:g}; raise "
                "max_iterations or lam, or take solver interior-point"
            )
        relative = min(relative / 2, relative * tolerance / gap)
