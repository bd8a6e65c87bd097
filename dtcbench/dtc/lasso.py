"""The LASSO as the torch solvers see it: scaled to unit size, several right-hand sides at once.

Tensors are float64 on the device of the caller's `torch.device` context; a right-hand side is a row, so that its
vectors lie together in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dtcbench.dtc.errors import SolverError
from dtcbench.dtc.sensing import Array

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Lasso:
    """Per row b: argmin ½‖A x − b‖² + κ ‖x‖₁, and the unit that turns x [k, m] into s."""

    at: Tensor
    """Aᵀ [m, n], n ≤ m."""
    b: Tensor
    """[k, n]"""
    kappa: Tensor
    """[k, 1]"""
    unit: Tensor
    """[k, 1]"""

    @classmethod
    def scaled(cls, theta: Array, y: Array, lam: float) -> Lasso:
        """The problem min ‖Θ s − y‖² + λ ‖s‖₁ divided by powers of two, which rounds nothing.

        Θ's longest column and every y become about 1 long. Where n > m, Θ's QR factor R replaces Θ.
        """
        import torch

        a, b = torch.as_tensor(theta, dtype=torch.float64), torch.as_tensor(y, dtype=torch.float64)
        at, b = a.mT.contiguous(), b.mT.contiguous()
        column, row = _power_of_two(at.norm(dim=1).amax()), _power_of_two(b.norm(dim=1, keepdim=True))
        at, b = at / column, b / row
        if at.shape[1] > at.shape[0]:
            q, r = torch.linalg.qr(at.mT)
            at, b = r.mT.contiguous(), b @ q
        return cls(at, b, lam / 2 / (column * row), row / column)

    def rows(self, index: Tensor | list[int]) -> Lasso:
        """The problem of some of the right-hand sides."""
        return Lasso(self.at, self.b[index], self.kappa[index], self.unit[index])

    def zero(self) -> Tensor:
        """x = 0 [k, m]."""
        import torch

        return torch.zeros_like(self.b[:, :1]).repeat(1, len(self.at))

    def residual(self, x: Tensor) -> Tensor:
        """b − A x [k, n]."""
        return self.b - x @ self.at

    def gap(self, x: Tensor, residual: Tensor, xi: Tensor) -> Tensor:
        """(primal − dual) / primal [k] of x [k, m], b − A x, and a dual direction ξ [k, n].

        The dual is max bᵀξ − ½‖ξ‖² subject to ‖Aᵀ ξ‖∞ ≤ κ; ξ is scaled to the best feasible length,
        which is negative where ξ points away from b.
        """
        steepest = (xi @ self.at.mT).abs().amax(dim=1)
        along, squared = (self.b * xi).sum(dim=1), xi.square().sum(dim=1)
        longest = self.kappa[:, 0] / steepest
        t = (along / squared).minimum(longest).maximum(-longest)
        primal = residual.square().sum(dim=1) / 2 + self.kappa[:, 0] * x.abs().sum(dim=1)
        return 1 - t * (along - t * squared / 2) / primal

    def gap_of(self, x: Tensor) -> Tensor:
        """The gap [k] of x [k, m] with the dual point its own residual points to."""
        residual = self.residual(x)
        return self.gap(x, residual, residual)

    def on_support(self, sign: Tensor) -> tuple[Tensor, Tensor]:
        """The stationary point of one right-hand side with these signs [m], 0 off its support.

        x [1, m] with A_Jᵀ A_J x_J = A_Jᵀ b − κ sign_J, the smallest where A_J has not full rank, and
        its residual [1, n].
        """
        import torch

        support = sign.nonzero()[:, 0]
        columns, signs = self.at[support], sign[support, None] * self.kappa
        gram = columns @ columns.mT
        # The ridge only keeps the factorisation going; the refinement takes its effect out again.
        gram.diagonal().add_(_RIDGE * gram.diagonal().sum())
        factor = torch.linalg.cholesky_ex(gram).L
        part, residual = torch.zeros_like(signs), self.b.mT
        for _ in range(_REFINEMENTS):
            part = part + torch.cholesky_solve(columns @ residual - signs, factor)
            residual = self.b.mT - columns.mT @ part
        x = torch.zeros_like(sign)
        x[support] = part[:, 0]
        return x[None], residual.mT

    def answer(self, x: Tensor) -> Array:
        """s [m, k] of the solutions x [k, m]."""
        s: Array = (x * self.unit).mT.cpu().numpy()
        return s


_RIDGE = 1e-13
_REFINEMENTS = 3


def soft(x: Tensor, threshold: Tensor) -> Tensor:
    """Soft thresholding: x moved towards 0 by `threshold`, and no further."""
    return x - x.minimum(threshold).maximum(-threshold)


def not_converged(solver: str, gap: Tensor, tolerance: float, remedy: str) -> SolverError:
    """What to raise when the worst of the relative gaps [k] is still above the tolerance."""
    worst = float(np.nan_to_num(gap.max().cpu().numpy(), nan=np.inf))
    return SolverError(f"{solver} did not converge: relative duality gap {worst:.3g}, not {tolerance:g}; {remedy}")


def _power_of_two(x: Tensor) -> Tensor:
    return x.log2().round().exp2()
