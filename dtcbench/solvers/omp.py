"""Orthogonal matching pursuit (scikit-learn)."""

from __future__ import annotations

import warnings
from typing import Annotated

import numpy as np
from pydantic import Field

from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.errors import SolverError
from dtcbench.registry import register_solver

SPARSEST = (
    "It looks for a small ‖Θ s − y‖² with at most round(fraction · n) non-zeros, at least 1, "
    "where n is the number of measurements; it does not use λ."
)
"""What `omp` and `iht` minimise instead of the LASSO."""
ORTHOGONALITY = 1e-8
"""Largest |Θⱼᵀ(Θ s − y)| accepted for a chosen j, relative to ‖Θⱼ‖ ‖y‖."""


@register_solver("omp")
@checked_solver(Tolerance(gap=1e-6, other_objective=SPARSEST))
def omp(theta: Array, y: Array, lam: float, *, fraction: Annotated[float, Field(gt=0, le=1)] = 0.25) -> Array:
    """Orthogonal matching pursuit with round(fraction · n) non-zeros; does not use λ.

    Theta [n, m], y [n, k] → s [m, k]. Greedy: takes the column of largest |Θⱼᵀ residual|, then solves the
    least squares on all it has; fewer columns if they already give y or depend on each other. Pati et
    al., Asilomar 1993. SolverError if the least squares is not solved to `ORTHOGONALITY`.
    """
    return np.column_stack([_pursued(theta, column, nonzeros(fraction, theta)) for column in y.T])


def nonzeros(fraction: float, theta: Array | DeviceMatrix) -> int:
    """round(fraction · n), at least 1 and at most the number of columns."""
    count: int = round(fraction * len(theta))
    return max(1, min(count, int(theta.shape[1])))


def _pursued(theta: Array, y: Array, count: int) -> Array:
    from sklearn.linear_model import orthogonal_mp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an early end is not an error: y is reached, or no column is left that helps
        # scikit-learn drops every axis of length 1.
        s = np.asarray(orthogonal_mp(theta, y, n_nonzero_coefs=count), dtype=np.float64).reshape(theta.shape[1])
    chosen = theta[:, s != 0]
    slope = np.abs(chosen.T @ (theta @ s - y)) / (np.linalg.norm(chosen, axis=0) * np.linalg.norm(y))
    if not slope.max(initial=0) <= ORTHOGONALITY:
        raise SolverError(
            f"OMP's least squares is solved to {slope.max():.3g} only, not {ORTHOGONALITY:g}; lower fraction"
        )
    return s
