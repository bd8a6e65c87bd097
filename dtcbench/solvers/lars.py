"""Least-angle regression (scikit-learn): follows the LASSO path down to λ, exact zeros included."""

from __future__ import annotations

import warnings
from typing import Annotated

import numpy as np
from pydantic import Field

from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.errors import SolverError
from dtcbench.registry import register_solver

OPTIMALITY = 1e-6
"""Largest violation of the subgradient condition |2 Θᵀ(Θ s − y)| ≤ λ accepted, relative to λ."""


@register_solver("lars")
@checked_solver(Tolerance(gap=1e-9))
def lars(theta: Array, y: Array, lam: float, *, max_iterations: Annotated[int, Field(gt=0)] = 10_000) -> Array:
    """Homotopy method, exact to rounding; at most n coefficients are not exactly zero.

    Theta [n, m], y [n, k] → s [m, k]. SolverError if the path ends before λ or the end of it
    violates the optimality condition. Efron et al., Annals of Statistics 32 (2004).
    """
    return np.column_stack([_path_end(theta, column, lam, max_iterations) for column in y.T])


def _path_end(theta: Array, y: Array, lam: float, max_iterations: int) -> Array:
    from sklearn.linear_model import lars_path

    # scikit-learn minimises ‖Θ s − y‖² / 2n + α ‖s‖₁.
    alpha = lam / (2 * len(y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a path given up early is found out below
        _, _, s = lars_path(theta, y, method="lasso", alpha_min=alpha, max_iter=max_iterations, return_path=False)
    slope = np.abs(2 * theta.T @ (theta @ s - y)).max()
    if slope > lam * (1 + OPTIMALITY):
        raise SolverError(f"LARS did not converge: |2 Θᵀ(Θ s − y)| reaches {slope:.6g}, more than λ = {lam:g}")
    return np.asarray(s, dtype=np.float64)
