"""Normalised iterative hard thresholding (torch), where Θ is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.lasso import Lasso
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.dtc.sensing import Array
from dtcbench.errors import SolverError
from dtcbench.registry import register_solver
from dtcbench.solvers.omp import SPARSEST, nonzeros

if TYPE_CHECKING:
    from torch import Tensor

SAFETY = 0.99
"""Share of the longest step that is sure to lower the residual when the support changes."""


@register_solver("iht")
@checked_solver(Tolerance(gap=1e-6, other_objective=SPARSEST), on="device")
def iht(
    theta: Array | DeviceMatrix,
    y: Array,
    lam: float,
    *,
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.25,
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-8,
    max_iterations: Annotated[int, Field(gt=0)] = 100_000,
) -> Array:
    """Iterative hard thresholding with round(fraction · n) non-zeros; does not use λ.

    Theta [n, m], y [n, k] → s [m, k]: the least squares on the support it settles on, which need not be the best.
    Blumensath and Davies, IEEE J. Sel. Top. Signal Process. 4 (2010). Ends when no chosen coefficient's
    gradient |Θⱼᵀ(Θ s − y)| is above about `tolerance` ‖Θⱼ‖max ‖y‖ (both lengths to the nearest power of two);
    SolverError if `max_iterations` do not reach that.
    """
    import torch

    with torch.inference_mode():
        lasso, count = Lasso.scaled(theta, y, lam), nonzeros(fraction, theta)
        x = lasso.zero()
        chosen = _largest(lasso.b @ lasso.at.mT, count)
        for _ in range(max_iterations):
            gradient = lasso.residual(x) @ lasso.at.mT
            rest = (gradient * chosen).abs().amax(dim=1, keepdim=True)
            done = rest <= tolerance
            if bool(done.all()):
                return lasso.answer(x)
            new, support = _thresholded(lasso, x, chosen, gradient, count)
            x, chosen = x.where(done, new), chosen.where(done, support)  # a finished column stays as it is
    raise SolverError(
        f"IHT did not converge: a chosen coefficient's gradient is {float(rest.max()):.3g}, not {tolerance:g}, of "
        "‖Θⱼ‖max ‖y‖; lower fraction or raise max_iterations"
    )


def _thresholded(lasso: Lasso, x: Tensor, chosen: Tensor, gradient: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The next x and its support: the longest step along the gradient that lowers the residual for sure."""
    downhill = gradient * chosen
    step = _square(downhill) / _square(downhill @ lasso.at).clamp(min=_TINY)
    while True:
        moved = x + step * gradient
        support = _largest(moved, count)
        new = moved * support
        change = new - x
        longest = SAFETY * _square(change) / _square(change @ lasso.at).clamp(min=_TINY)
        too_far = (support != chosen).any(dim=1, keepdim=True) & (step > longest)
        if not bool(too_far.any()):
            return new, support
        step = step.where(~too_far, step / 2)


_TINY = 1e-300


def _square(x: Tensor) -> Tensor:
    return x.square().sum(dim=1, keepdim=True)


def _largest(x: Tensor, count: int) -> Tensor:
    """1 where x [k, m] is among the `count` largest of its row, else 0."""
    import torch

    return torch.zeros_like(x).scatter(1, x.abs().topk(count, dim=1).indices, 1)
