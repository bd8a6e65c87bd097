"""Alternating direction method of multipliers (torch), where Θ is."""

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

CHECK_EVERY = 50
"""Iterations between two looks at the duality gap."""
RELAXATION = 1.6
"""Over-relaxation of the smooth step, between 1 and 2."""
PATIENCE = 1.5
"""The penalty is balanced ever more rarely, each time after this many times more iterations: then it settles."""


@register_solver("admm")
@checked_solver(Tolerance(gap=1e-6), on="device")
def admm(
    theta: Array | DeviceMatrix,
    y: Array,
    lam: float,
    *,
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-6,
    max_iterations: Annotated[int, Field(gt=0)] = 200_000,
) -> Array:
    """ADMM; factorises Θ Θᵀ once, by eigenvectors, so that the penalty may change freely.

    Theta [n, m], y [n, k] → s [m, k]. Boyd et al., Found. Trends Mach. Learn. 3 (2011), §6.4, the linear
    system by the matrix inversion lemma (§4.2.4), over-relaxed (§3.4.3), ρ balanced as in §3.4.1. Ends at a
    duality gap of at most `tolerance`, relative to the objective; SolverError if `max_iterations` do not
    reach that.
    """
    import torch

    with torch.inference_mode():
        lasso = Lasso.scaled(theta, y, lam)
        values, vectors = torch.linalg.eigh(lasso.at.mT @ lasso.at)
        turned = lasso.at @ vectors  # Aᵀ V: the system is diagonal in these columns
        x = dual = lasso.zero()
        forced = lasso.b @ lasso.at.mT
        rho = lasso.kappa * values[-1] / forced.abs().amax(dim=1, keepdim=True)
        balance = CHECK_EVERY
        for iteration in range(1, max_iterations + 1):
            right = forced + rho * (x - dual)
            smooth = (right - (right @ turned / (rho + values)) @ turned.mT) / rho
            relaxed = RELAXATION * smooth + (1 - RELAXATION) * x
            new = soft(relaxed + dual, lasso.kappa / rho)
            dual = dual + relaxed - new
            if iteration % CHECK_EVERY == 0 or iteration == max_iterations:
                gap = lasso.gap(new, lasso.residual(new), lasso.residual(smooth))
                if bool((gap <= tolerance).all()):
                    return lasso.answer(new)
            if iteration == balance:
                scale = _balance(smooth - new, new, new - x, dual)
                rho, dual, balance = rho * scale, dual / scale, int(PATIENCE * balance)
            x = new
    raise not_converged("ADMM", gap, tolerance, "raise max_iterations or lam, or take solver interior-point")


def _balance(primal_rest: Tensor, primal: Tensor, dual_rest: Tensor, dual: Tensor) -> Tensor:
    """Factor on the penalty [k, 1] that brings both residuals, relative to their variables, together."""
    ratio = primal_rest.norm(dim=1) * dual.norm(dim=1) / (primal.norm(dim=1) * dual_rest.norm(dim=1))
    scale = ratio.sqrt().clamp(1 / 5, 5).nan_to_num(nan=1)
    factor: Tensor = scale.where((scale > 2) | (scale < 1 / 2), scale * 0 + 1)[:, None]
    return factor
