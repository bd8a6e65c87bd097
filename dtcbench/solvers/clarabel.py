"""Clarabel through CVXPY: an interior-point method, the reference for accuracy."""

from __future__ import annotations

import numpy as np

from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.registry import register_solver
from dtcbench.solvers.scs import conic


@register_solver("clarabel")
@checked_solver(Tolerance(gap=1e-6))
def clarabel(theta: Array, y: Array, lam: float) -> Array:
    """Interior-point conic solver, objective to about 1e-8 relative; leaves no exact zeros.

    Theta [n, m], y [n, k] → s [m, k]. SolverError unless every column ends `optimal`.
    """
    return np.column_stack([conic(theta, column, lam, "CLARABEL") for column in y.T])
