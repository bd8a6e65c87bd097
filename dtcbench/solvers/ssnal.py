"""Semismooth Newton augmented Lagrangian (torch), where Θ is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.lasso import Lasso, not_converged, soft
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.registry import register_solver

if TYPE_CHECKING:
    from torch import Tensor

GROWTH = 10
"""Factor on the penalty σ after each subproblem."""
INEXACT = 0.1
"""A subproblem's gradient may be this share of the outer step ‖x₊ − x‖ / σ."""
LINE_SEARCH = 30
"""Evaluations of the derivative along a Newton direction, which is piecewise linear."""


@register_solver("ssnal")
@checked_solver(Tolerance(gap=1e-9), on="device")
def ssnal(
    theta: Array | DeviceMatrix,
    y: Array,
    lam: float,
    *,
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-9,
    max_iterations: Annotated[int, Field(gt=0)] = 2_000,
) -> Array:
    """Semismooth Newton inside an augmented Lagrangian of the dual; leaves exact zeros.

    Theta [n, m], y [n, k] → s [m, k]. Li, Sun and Toh, SIAM J. Optim. 28 (2018); each Newton system takes only
    the columns of Θ that are active. Right-hand sides are solved one after another, as each has its own active
    columns. Ends at a duality gap of at most `tolerance`, relative to the objective; SolverError if
    `max_iterations` Newton steps do not reach that.
    """
    import torch

    with torch.inference_mode():
        lasso = Lasso.scaled(theta, y, lam)
        rows = [_solved(lasso.rows([row]), tolerance, max_iterations) for row in range(len(lasso.b))]
        return lasso.answer(torch.cat(rows))


def _solved(lasso: Lasso, tolerance: float, max_iterations: int) -> Tensor:
    """x [1, m] of the only right-hand side."""
    x, xi, sigma = lasso.zero(), lasso.b * 0, 1.0
    slope = xi @ lasso.at.mT
    for _ in range(max_iterations):
        new = soft(x + sigma * slope, sigma * lasso.kappa)
        gradient = xi - lasso.residual(new)
        # Tried after every Newton step: at a large σ, rounding keeps the gradient above what ends the subproblem.
        if int(new.count_nonzero()) <= lasso.b.shape[1]:
            candidate, residual = lasso.on_support(new[0].sign())
            exact = lasso.gap(candidate, residual, residual).minimum(lasso.gap(candidate, residual, xi))
            if bool(exact <= tolerance):
                return candidate
        if float(gradient.norm()) > INEXACT * float((new - x).norm()) / sigma + _ROUNDING:
            xi, slope = _newton_step(lasso, x + sigma * slope, new, xi, slope, gradient, sigma)
            continue
        x, sigma = new, sigma * GROWTH
        gap = lasso.gap(x, lasso.residual(x), xi)
        if bool(gap <= tolerance):
            return x
    gap = lasso.gap(x, lasso.residual(x), xi)
    raise not_converged("SSNAL", gap, tolerance, "raise max_iterations or lam, or take solver interior-point")


_ROUNDING = 1e-15


def _newton_step(
    lasso: Lasso, v: Tensor, new: Tensor, xi: Tensor, slope: Tensor, gradient: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    """ξ and Aᵀ ξ after one step of the system (I + σ A_J A_Jᵀ) d = −gradient, J the active columns."""
    import torch

    active = lasso.at[new[0].nonzero()[:, 0]]
    matrix = sigma * (active.mT @ active)
    matrix.diagonal().add_(1)
    d = -torch.cholesky_solve(gradient.mT, torch.linalg.cholesky_ex(matrix).L).mT
    d_slope = d @ lasso.at.mT
    t = _minimum_along(lasso, v, sigma * d_slope, float((gradient * d).sum()), new, float(d.square().sum()), sigma)
    return xi + t * d, slope + t * d_slope


def _minimum_along(lasso: Lasso, v: Tensor, w: Tensor, steep: float, new: Tensor, curved: float, sigma: float) -> float:
    """Where the derivative along the direction, which only grows, has all but vanished."""
    low, high, t = 0.0, float("inf"), 1.0
    flat = steep - float((new * w).sum()) / sigma
    for _ in range(LINE_SEARCH):
        there = soft(v + t * w, sigma * lasso.kappa)
        derivative = flat + t * curved + float((there * w).sum()) / sigma
        if abs(derivative) <= 0.01 * abs(steep):
            break
        low, high = (low, t) if derivative > 0 else (t, high)
        t -= derivative / (curved + float((w * (there != 0)).square().sum()) / sigma)
        if not low < t < high:
            t = (low + high) / 2 if high < float("inf") else 2 * low
    return t
