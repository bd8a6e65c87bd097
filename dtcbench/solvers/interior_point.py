"""Interior point with an exact finish (torch): this package's own solver, where Θ is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.lasso import DualPoint, Lasso, not_converged
from dtcbench.dtc.least_distance import MOST_ROWS, signs_of_solution
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.registry import register_solver

if TYPE_CHECKING:
    from torch import Tensor

NEAR = 1e-3, 3.0
"""The support is worth guessing at a relative complementarity of at most the first, and of the second over n²."""


@register_solver("interior-point")
@checked_solver(Tolerance(gap=1e-9), on="device")
def interior_point(
    theta: Array | DeviceMatrix,
    y: Array,
    lam: float,
    *,
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-9,
    max_iterations: Annotated[int, Field(gt=0)] = 100,
) -> Array:
    """Primal-dual interior point, then the closed form on the support it finds; leaves exact zeros.

    Theta [n, m], y [n, k] → s [m, k]. Solves the dual, max bᵀξ − ½‖ξ‖² within ‖Aᵀ ξ‖∞ ≤ κ, by
    Mehrotra's predictor-corrector (SIAM J. Optim. 2, 1992); its multipliers are the coefficients
    (Kim et al., IEEE J. Sel. Top. Signal Process. 1, 2007). With few rows the support comes from non-negative
    least squares instead (`dtcbench.dtc.least_distance`), which is faster there. An answer is given when its duality
    gap is at most `tolerance`, relative to the objective; SolverError if `max_iterations` do not reach that.
    """
    import torch

    with torch.inference_mode():
        lasso = Lasso.scaled(theta, y, lam)
        found = lasso.zero()
        gap = torch.full_like(lasso.b[:, 0], torch.inf)
        if len(theta) <= min(MOST_ROWS, theta.shape[1]):
            small = np.asarray(theta)
            for row, column in enumerate(y.T):
                if (signs := signs_of_solution(small, column, lam)) is not None:
                    found[row], gap[row] = _finished(lasso.rows([row]), torch.as_tensor(signs, device=gap.device))
        waiting = (~(gap <= tolerance)).nonzero()[:, 0]
        if not len(waiting):
            return lasso.answer(found)
        still = lasso.rows(waiting)
        point = DualPoint.approached(still)
        near = min(NEAR[0], NEAR[1] / lasso.b.shape[1] ** 2)
        for _ in range(max_iterations):
            gap = torch.full_like(still.b[:, 0], torch.inf)
            for row in (point.complementarity(still) <= near).nonzero()[:, 0].tolist():
                signs_there = point.signs(still)[row]
                found[waiting[row]], gap[row] = _finished(still.rows([row]), signs_there, point.xi[[row]])
            unfinished = (~(gap <= tolerance)).nonzero()[:, 0]
            if not len(unfinished):
                return lasso.answer(found)
            if len(unfinished) < len(waiting):
                waiting, still, point = waiting[unfinished], still.rows(unfinished), point.rows(unfinished)
            point = point.step(still)
    raise not_converged("the interior-point method", gap, tolerance, "raise max_iterations or lam")


def _finished(lasso: Lasso, signs: Tensor, xi: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The closed form on the support of one right-hand side [m], and its gap, by its residual or by ξ [1, n]."""
    x, residual = lasso.on_support(signs)
    gap = lasso.gap(x, residual, residual)
    return x[0], (gap if xi is None else gap.minimum(lasso.gap(x, residual, xi)))[0]
