"""Interior point with an exact finish (torch): this package's own solver, where Θ is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.lasso import DualPoint, Lasso, not_converged
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.dtc.signs import Columns, likely_signs
from dtcbench.registry import register_solver

if TYPE_CHECKING:
    from torch import Tensor

FEW_ROWS = 96
"""Of Θ: so small a problem is solved on the host even if it lies on a GPU."""
SURE = 1e-3
"""Of the tolerance: where only ξ shows a gap within it, a coefficient may still be missing, and a step finds it."""
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
    (Kim et al., IEEE J. Sel. Top. Signal Process. 1, 2007). On the host, and with few rows everywhere,
    the signs come from NumPy (`dtcbench.dtc.signs`), whose calls cost less; on a GPU from torch. An answer is given
    when its duality gap is at most `tolerance`, relative to the objective; SolverError if `max_iterations` do not
    reach that.
    """
    import torch

    with torch.inference_mode():
        lasso = Lasso.scaled(theta, y, lam)
        found, gap = lasso.zero(), torch.full_like(lasso.b[:, 0], torch.inf)
        if lasso.at.device.type == "cpu" or lasso.at.shape[1] <= FEW_ROWS:
            _on_host(lasso, tolerance, max_iterations, found, gap)
        if len(open_ := (~(gap <= tolerance)).nonzero()[:, 0]):
            found[open_], gap[open_] = _at_once(lasso.rows(open_), tolerance, max_iterations)
        if not bool((gap <= tolerance).all()):
            raise not_converged("the interior-point method", gap, tolerance, "raise max_iterations or lam")
        return lasso.answer(found)


def _on_host(lasso: Lasso, tolerance: float, max_iterations: int, found: Tensor, gap: Tensor) -> None:
    """Fill in x [k, m] and the gaps [k] by NumPy, one right-hand side after the other."""
    import torch

    columns = Columns(lasso.at.cpu().numpy())
    for row, (b, kappa) in enumerate(zip(lasso.b.cpu().numpy(), lasso.kappa[:, 0].tolist(), strict=True)):
        one, tried = lasso.rows([row]), None
        for signs, xi in likely_signs(columns, b, kappa, max_iterations):
            if tried is None or (signs != tried).any():
                x, residual = one.on_support(torch.as_tensor(signs, device=found.device))
                found[row], gap[row], tried = x[0], one.gap(x, residual, residual)[0], signs
                if gap[row] <= tolerance:
                    break
            bound = one.gap(x, residual, torch.as_tensor(xi[None], device=found.device))[0]
            gap[row] = gap[row].minimum(bound)
            if gap[row] <= SURE * tolerance:
                break


def _at_once(lasso: Lasso, tolerance: float, max_iterations: int) -> tuple[Tensor, Tensor]:
    """x [k, m] and the gaps [k] by torch, for all right-hand sides at once, where Θ is."""
    import torch

    found, gaps = lasso.zero(), torch.full_like(lasso.b[:, 0], torch.inf)
    waiting = torch.arange(len(gaps), device=gaps.device)
    still, point = lasso, DualPoint.start(lasso)
    near = min(NEAR[0], NEAR[1] / lasso.b.shape[1] ** 2)
    for _ in range(max_iterations):
        gap = torch.full_like(still.b[:, 0], torch.inf)
        for row in (point.complementarity(still) <= near).nonzero()[:, 0].tolist():
            there = point.signs(still)[row], point.xi[[row]]
            found[waiting[row]], gap[row] = _finished(still.rows([row]), *there, tolerance)
        gaps[waiting] = gap
        unfinished = (~(gap <= tolerance)).nonzero()[:, 0]
        if not len(unfinished):
            break
        if len(unfinished) < len(waiting):
            waiting, still, point = waiting[unfinished], still.rows(unfinished), point.rows(unfinished)
        point = point.step(still)
    return found, gaps


def _finished(lasso: Lasso, signs: Tensor, xi: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """The closed form on the support of one right-hand side [m], and its gap, by its residual or by ξ [1, n]."""
    x, residual = lasso.on_support(signs)
    gap = lasso.gap(x, residual, residual)
    return x[0], (gap if gap <= tolerance else gap.minimum(lasso.gap(x, residual, xi)))[0]
