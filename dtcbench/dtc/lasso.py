"""The LASSO as the torch solvers see it, scaled to unit size, and the duality gap that certifies an answer.

Several right-hand sides are solved at once. Tensors are float64 and lie where Θ is; each right-hand side is a row, so
that its vectors lie together in memory. torch is imported when a function runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.sensing import Array
from dtcbench.errors import SolverError

if TYPE_CHECKING:
    from torch import Tensor

HEAVIEST = 1.5
"""So many columns for every row of Θ, the heaviest, make a Newton matrix; the others count by their length alone."""
SHORT = 0.3
"""A step below this share of the Newton step is a sign that something was neglected that matters."""
BOUNDS = 50
"""Dual points that may be tried to bound another solver's objective from below; 8 to 25 bring it to 1e-9."""
TO_BOUNDARY = 0.995
"""Share of the way to the nearest bound that a step may go."""
WELL_CENTRED = 10
"""Products of slack and multiplier within this factor of the aim need no correction."""


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
    def scaled(cls, theta: Array | DeviceMatrix, y: Array, lam: float) -> Lasso:
        """The problem min ‖Θ s − y‖² + λ ‖s‖₁ divided by powers of two, which rounds nothing.

        Θ's longest column and every y become about 1 long. Where n > m, Θ's QR factor R replaces Θ.
        """
        import torch

        a = theta.tensor if isinstance(theta, DeviceMatrix) else torch.as_tensor(theta, dtype=torch.float64)
        b = torch.as_tensor(y, dtype=torch.float64, device=a.device)
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

    @cached_property
    def mean_square(self) -> Tensor:
        """Of the n entries of each column of A [m]."""
        return self.at.square().mean(dim=1)

    def zero(self) -> Tensor:
        """x = 0 [k, m]."""
        import torch

        return torch.zeros_like(self.b[:, :1]).repeat(1, len(self.at))

    def residual(self, x: Tensor) -> Tensor:
        """b − A x [k, n]."""
        return self.b - x @ self.at

    def image(self, x: Tensor) -> Tensor:
        """A x [k, n], one right-hand side after the other: BLAS is faster at a vector than at a few."""
        import torch

        return torch.stack([row @ self.at for row in x])

    def slopes(self, xi: Tensor) -> Tensor:
        """Aᵀ ξ [k, m], likewise."""
        import torch

        return torch.stack([self.at @ row for row in xi])

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

        x [1, m] with A_Jᵀ A_J x_J = A_Jᵀ b − κ sign_J, the smallest if A_J does not have full rank, and
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


def certified_gap(theta: Array | DeviceMatrix, y: Array, lam: float, s: Array, enough: float) -> Array:
    """The relative duality gap [k] of a finite answer s [m, k], whichever solver it comes from.

    The first dual point is the answer's own residual. Where λ is small, that says little: a residual that is
    right to rounding, or to what a first-order method reaches, may be far from feasible. Then the bound comes from the
    points of the interior-point method, until a column's gap is at most `enough`. Relative to ½‖A x − b‖² + κ ‖x‖₁ of
    the scaled problem, which leaves out, if n > m, the part of y that no s can reach.
    """
    gap = np.ones(y.shape[1])  # of a problem with n > m, whose objective is another
    if len(theta) <= theta.shape[1]:
        for column in range(len(gap)):
            gap[column] = _gap_of_residual(theta, y[:, column], lam, s[:, column])
    open_ = np.flatnonzero(~(gap <= enough))
    if len(open_):
        gap[open_] = np.fmin(gap[open_], _bounded_gap(theta, y[:, open_], lam, s[:, open_], enough))
    return gap


def _gap_of_residual(theta: Array | DeviceMatrix, y: Array, lam: float, s: Array) -> float:
    """The relative gap of one s [m] with the dual point its residual points to; NaN where that points nowhere."""
    residual = y - theta @ s
    squared, along = residual @ residual, y @ residual
    with np.errstate(all="ignore"):
        longest = lam / 2 / np.abs(residual @ theta).max()
        t = np.clip(along / squared, -longest, longest)
        primal = squared + lam * np.abs(s).sum()
        return float(1 - t * (2 * along - t * squared) / primal)


def _bounded_gap(theta: Array | DeviceMatrix, y: Array, lam: float, s: Array, enough: float) -> Array:
    """The gap [k] with dual points of the interior-point method; 1 where none bounds it."""
    import torch

    with torch.inference_mode():
        lasso = Lasso.scaled(theta, y, lam)
        x = torch.as_tensor(s, dtype=torch.float64, device=lasso.unit.device).mT / lasso.unit
        residual = lasso.residual(x)
        gap = lasso.gap(x, residual, residual)
        gap = gap.nan_to_num(nan=1)  # a residual of zero points nowhere
        open_ = (gap > enough).nonzero()[:, 0]
        still, point = lasso.rows(open_), None
        for _ in range(BOUNDS):
            if not len(open_):
                break
            point = DualPoint.start(still) if point is None else point.step(still)
            gap[open_] = gap[open_].fmin(still.gap(x[open_], residual[open_], point.xi))
            left = (gap[open_] > enough).nonzero()[:, 0]
            open_, still, point = open_[left], still.rows(left), point.rows(left)
        return gap.cpu().numpy()


@dataclass(frozen=True)
class DualPoint:
    """ξ, and for both bounds ±Aᵀξ ≤ κ the slacks and their multipliers, all positive."""

    xi: Tensor
    """[k, n]"""
    positive: Tensor
    """[2, 2, k, m]: slacks, multipliers; of the upper bound, of the lower."""
    wary: Tensor
    """[k, 1]: whether a step was short, after which no column of Θ is neglected."""

    @classmethod
    def start(cls, lasso: Lasso) -> DualPoint:
        """ξ = 0; multipliers around the best multiple of Aᵀ b."""
        import torch

        x = lasso.b @ lasso.at.mT
        through = x @ lasso.at
        x = x * ((lasso.b * through).sum(dim=1) / through.square().sum(dim=1))[:, None]
        multiplier = torch.stack((x, -x)).clamp(min=0) + x.abs().amax(dim=1, keepdim=True) / 30
        positive = torch.stack((lasso.kappa.expand_as(multiplier), multiplier))
        return cls(torch.zeros_like(lasso.b), positive, lasso.kappa < 0)

    def rows(self, index: Tensor) -> DualPoint:
        """The points of some of the right-hand sides."""
        return DualPoint(self.xi[index], self.positive[:, :, index], self.wary[index])

    def complementarity(self, lasso: Lasso) -> Tensor:
        """Σ slack · multiplier, relative to the objective's ℓ₁ term [k]."""
        products = self.positive.prod(dim=0).sum(dim=(0, 2))
        upper, lower = self.positive[1]
        relative: Tensor = products / (lasso.kappa[:, 0] * (upper - lower).abs().sum(dim=1) + products)
        return relative

    def signs(self, lasso: Lasso) -> Tensor:
        """Signs [k, m] of the coefficients that are large compared with their slack, n at most; 0 for the others."""
        slack, (upper, lower) = self.positive
        x = upper - lower
        size = x.abs() / x.abs().amax(dim=1, keepdim=True) / (slack.amin(dim=0) / lasso.kappa)
        chosen = size >= size.topk(lasso.b.shape[1], dim=1).values[:, -1:].clamp(min=1)
        signs: Tensor = x.sign() * chosen
        return signs

    def step(self, lasso: Lasso) -> DualPoint:
        """One predictor, one corrector (Mehrotra), and one correction of what would be off centre (Gondzio)."""
        import torch

        slack, multiplier = self.positive
        ratio = multiplier / slack
        m, n = lasso.at.shape
        count = m if bool(self.wary.any()) else min(m, int(HEAVIEST * n) + 1)
        factor = torch.linalg.cholesky_ex(_newton_matrix(lasso, ratio.sum(dim=0), count)).L

        def direction(aim: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """To slack · multiplier = slack · aim: of ξ, of the positive numbers, and how far each kind may go."""
            d_xi = torch.cholesky_solve(right[..., None], factor)[..., 0]
            change = lasso.slopes(d_xi)
            d_slack = torch.stack((-change, change))
            ahead = torch.stack((d_slack, (aim - multiplier).addcmul_(ratio, d_slack, value=-1)))
            return d_xi, ahead, -1 / (ahead / self.positive).amin(dim=(1, 3)).clamp(max=-1e-3)

        rest = lasso.b - self.xi
        _, affine, longest = direction(torch.zeros_like(ratio), rest)
        there = self.positive.addcmul(_lengths(longest.clamp(max=1)), affine)
        before, after = (pair.prod(dim=0).mean(dim=(0, 2))[:, None] for pair in (self.positive, there))
        centre = after * (after / before) ** 2
        aim = (centre - affine.prod(dim=0)) / slack
        d_xi, ahead, longest = direction(aim, rest - lasso.image(aim[0] - aim[1]))
        products = self.positive.addcmul(_lengths((1.1 * longest + 0.1).clamp(max=1)), ahead).prod(dim=0)
        inside = products.maximum(centre / WELL_CENTRED).minimum(centre * WELL_CENTRED)
        aim = aim + (inside - products).maximum(-WELL_CENTRED * centre) / slack
        corrected = direction(aim, rest - lasso.image(aim[0] - aim[1]))
        farther = corrected[2].amin(dim=0) > longest.amin(dim=0)
        d_xi = corrected[0].where(farther[:, None], d_xi)
        ahead = corrected[1].where(farther[:, None], ahead)
        t = (TO_BOUNDARY * corrected[2].where(farther, longest)).clamp(max=1)
        return DualPoint(
            self.xi.addcmul(t[0, :, None], d_xi),
            self.positive.addcmul(_lengths(t), ahead),
            self.wary | (t.amin(dim=0)[:, None] < SHORT),
        )


def _lengths(t: Tensor) -> Tensor:
    """Step lengths [2, k] of slacks and of multipliers, shaped to multiply [2, 2, k, m]."""
    return t[:, None, :, None]


def _newton_matrix(lasso: Lasso, weight: Tensor, count: int) -> Tensor:
    """I + A D Aᵀ [k, n, n] of the weights D [k, m]; all but the `count` heaviest columns only through their trace."""
    heaviest = weight.topk(count, dim=1)
    light = weight.scatter(1, heaviest.indices, 0) @ lasso.mean_square
    matrix = _gram(lasso.at[heaviest.indices] * heaviest.values.sqrt()[..., None])
    matrix.diagonal(dim1=1, dim2=2).add_(1 + light[:, None])
    return matrix


def _gram(a: Tensor) -> Tensor:
    """aᵀ a [k, n, n] of a [k, h, n]; on the CPU by NumPy, which has BLAS compute half of it and mirror that."""
    import torch

    if a.device.type != "cpu":
        return a.mT @ a
    array = a.numpy()
    with np.errstate(all="ignore"):  # torch says nothing of what is not finite, either
        return torch.from_numpy(array.transpose(0, 2, 1) @ array)
