"""Interior point with an exact finish (torch): this package's own solver, on the cell's device."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dtcbench.dtc.lasso import DualPoint, Lasso, not_converged
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.registry import register_solver

NEAR = 1e-3
"""Relative complementarity below which the support is worth guessing."""


@register_solver("interior-point")
@checked_solver(Tolerance(gap=1e-9))
def interior_point(
    theta: Array,
    y: Array,
    lam: float,
    *,
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-9,
    max_iterations: Annotated[int, Field(gt=0)] = 100,
) -> Array:
    """Primal-dual interior point, then the closed form on the support it finds; leaves exact zeros.

    Theta [n, m], y [n, k] → s [m, k]. Solves the dual, max bᵀξ − ½‖ξ‖² within ‖Aᵀ ξ‖∞ ≤ κ, by
    Mehrotra's predictor-corrector (SIAM J. Optim. 2, 1992); its multipliers are the coefficients
    (Kim et al., IEEE J. Sel. Top. Signal Process. 1, 2007). An answer is given when its duality gap
    is at most `tolerance`, relative to the objective; SolverError if `max_iterations` do not reach that.
    """
    import torch

    with torch.inference_mode():
        lasso = Lasso.scaled(theta, y, lam)
        found = lasso.zero()
        waiting = torch.arange(len(found))
        still, point = lasso, DualPoint.start(lasso)
        for _ in range(max_iterations):
            gap = torch.full_like(still.b[:, 0], torch.inf)
            for row in (point.complementarity(still) <= NEAR).nonzero()[:, 0].tolist():
                one = still.rows([row])
                x, residual = one.on_support(point.signs(still)[row])
                gap[row] = one.gap(x, residual, residual).minimum(one.gap(x, residual, point.xi[[row]]))[0]
                found[waiting[row]] = x[0]
            unfinished = (~(gap <= tolerance)).nonzero()[:, 0]
            if not len(unfinished):
                return lasso.answer(found)
            if len(unfinished) < len(waiting):
                waiting, still, point = waiting[unfinished], still.rows(unfinished), point.rows(unfinished)
            point = point.step(still)
    raise not_converged("the interior-point method", gap, tolerance, "raise max_iterations or lam")
