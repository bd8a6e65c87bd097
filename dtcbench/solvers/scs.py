"""SCS through CVXPY: the published code's solver."""

from __future__ import annotations

import numpy as np

from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.errors import SolverError
from dtcbench.registry import register_solver


@register_solver("scs")
@checked_solver(Tolerance(gap=2e-3))
def scs(theta: Array, y: Array, lam: float) -> Array:
    """First-order conic solver, CVXPY's defaults as published (about 1e-4; leaves no exact zeros).

    Theta [n, m], y [n, k] → s [m, k]. SolverError unless every column ends `optimal`.
    """
    return np.column_stack([conic(theta, column, lam, "SCS") for column in y.T])


def conic(theta: Array, y: Array, lam: float, solver: str) -> Array:
    """argmin ‖Θ s − y‖² + λ ‖s‖₁ for one y [n], written as the published code writes it → s [m]."""
    import cvxpy

    s = cvxpy.Variable(theta.shape[1])
    loss = cvxpy.sum_squares(theta @ s - y) + lam * cvxpy.norm(s, 1)
    problem = cvxpy.Problem(cvxpy.Minimize(loss))
    try:
        problem.solve(solver=solver)
    except (cvxpy.SolverError, ValueError) as error:  # ValueError: data that CVXPY will not pass on
        raise SolverError(f"{solver} failed: {error}") from error
    if problem.status != cvxpy.OPTIMAL or s.value is None:
        raise SolverError(f"{solver} did not converge: status {problem.status}")
    return np.asarray(s.value, dtype=np.float64)
