"""Accelerated proximal gradient (torch), where Θ is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.lasso import Lasso, not_converged, soft
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.registry import register_solver

CHECK_EVERY = 50
"""Iterations between two looks at the duality gap, which cost two more products with Θ."""


@register_solver("fista")
@checked_solver(Tolerance(gap=1e-6), on="device")
def fista(
    theta: Array | DeviceMatrix,
    y: Array,
    lam: float,
    *,
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-6,
    max_iterations: Annotated[int, Field(gt=0)] = 200_000,
) -> Array:
    """FISTA with adaptive restart; slow if λ is small compared with 2 ‖Θᵀ y‖∞.

    Theta [n, m], y [n, k] → s [m, k]. Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009), restarted by the
    gradient rule of O'Donoghue and Candès, Found. Comput. Math. 15 (2015). Ends at a duality gap of at
    most `tolerance`, relative to the objective; SolverError if `max_iterations` do not reach that.
    """
    import torch

    with torch.inference_mode():
        lasso = Lasso.scaled(theta, y, lam)
        step = 1 / torch.linalg.eigvalsh(lasso.at.mT @ lasso.at)[-1]
        x = lasso.zero()
        ahead, momentum = x, torch.ones_like(lasso.kappa)
        for iteration in range(1, max_iterations + 1):
            new = soft(ahead + step * (lasso.residual(ahead) @ lasso.at.mT), step * lasso.kappa)
            uphill = ((ahead - new) * (new - x)).sum(dim=1, keepdim=True) > 0
            momentum = momentum.masked_fill(uphill, 1)
            following = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
            ahead = new + (momentum - 1) / following * (new - x)
            x, momentum = new, following
            if iteration % CHECK_EVERY == 0 or iteration == max_iterations:
                gap = lasso.gap_of(x)
                if bool((gap <= tolerance).all()):
                    return lasso.answer(x)
    raise not_converged("FISTA", gap, tolerance, "raise max_iterations or lam, or take solver interior-point")
