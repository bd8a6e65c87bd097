"""Points inside the LASSO's dual, which an interior-point method goes through, and the duality gap they certify."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dtcbench.dtc.lasso import Lasso
from dtcbench.dtc.sensing import Array

if TYPE_CHECKING:
    from torch import Tensor

NEGLIGIBLE = 0.1
"""Columns of Θ that weigh less than this share of the n-th heaviest are left out of a Newton matrix."""
SHORT = 0.3
"""A step below this share of the Newton step is a sign that something was neglected that matters."""
BOUNDS = 50
"""Dual points that may be tried to bound another solver's objective from below; 8 to 25 bring it to 1e-9."""
TO_BOUNDARY = 0.995
"""Share of the way to the nearest bound that a step may go."""


def certified_gap(theta: Array, y: Array, lam: float, s: Array, enough: float) -> Array:
    """The relative duality gap [k] of a finite answer s [m, k], whichever solver it comes from.

    The first dual point is the answer's own residual. Where λ is small, that says little: a residual that is
    right to rounding, or to what a first-order method reaches, may be far from feasible. Then the bound comes from the
    points of the interior-point method, until a column's gap is at most `enough`. Relative to ½‖A x − b‖² + κ ‖x‖₁ of
    the scaled problem, which where n > m leaves out the part of y that no s can reach.
    """
    import torch

    with torch.inference_mode():
        lasso = Lasso.scaled(theta, y, lam)
        x = torch.as_tensor(s, dtype=torch.float64).mT / lasso.unit
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
        multiplier = _both(x).clamp(min=0) + x.abs().amax(dim=1, keepdim=True) / 30
        positive = torch.stack((lasso.kappa.expand_as(multiplier), multiplier))
        return cls(torch.zeros_like(lasso.b), positive, lasso.kappa < 0)

    def rows(self, index: Tensor) -> DualPoint:
        """The points of some of the right-hand sides."""
        return DualPoint(self.xi[index], self.positive[:, :, index], self.wary[index])

    def complementarity(self, lasso: Lasso) -> Tensor:
        """Σ slack · multiplier, relative to the objective's ℓ₁ term [k]."""
        products = self.positive.prod(dim=0).sum(dim=(0, 2))
        return products / (lasso.kappa[:, 0] * _difference(self.positive[1]).abs().sum(dim=1) + products)

    def signs(self, lasso: Lasso) -> Tensor:
        """Signs [k, m] of the coefficients that are large beside their slack; 0 for the others."""
        slack, multiplier = self.positive
        x = _difference(multiplier)
        large = x.abs() / x.abs().amax(dim=1, keepdim=True) > slack.amin(dim=0) / lasso.kappa
        signs: Tensor = x.sign() * large
        return signs

    def step(self, lasso: Lasso) -> DualPoint:
        """One predictor and corrector."""
        import torch

        slack, multiplier = self.positive
        ratio = multiplier / slack
        factor = torch.linalg.cholesky_ex(_newton_matrix(lasso.at, ratio.sum(dim=0), self.wary)).L
        rest = lasso.b - self.xi

        def direction(right: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
            d_xi = torch.cholesky_solve(right[..., None], factor)[..., 0]
            d_slack = _both(d_xi @ lasso.at.mT).neg_()
            return d_xi, torch.stack((d_slack, (aim - multiplier).addcmul_(ratio, d_slack, value=-1)))

        _, affine = direction(rest, torch.zeros_like(ratio))
        there = self.positive.addcmul(self.longest(affine).clamp(max=1), affine)
        before, after = (pair.prod(dim=0).mean(dim=(0, 2))[:, None] for pair in (self.positive, there))
        aim = (after**3 / before**2 - affine.prod(dim=0)) / slack
        d_xi, ahead = direction(rest - _difference(aim) @ lasso.at, aim)
        t = (TO_BOUNDARY * self.longest(ahead)).clamp(max=1)
        return DualPoint(self.xi.addcmul(t, d_xi), self.positive.addcmul(t, ahead), self.wary | (t < SHORT))

    def longest(self, ahead: Tensor) -> Tensor:
        """How far each right-hand side may move before a slack or a multiplier is zero [k, 1]."""
        length: Tensor = -1 / (ahead / self.positive).amin(dim=(0, 1, 3)).clamp(max=-1e-3)[:, None]
        return length


def _both(c: Tensor) -> Tensor:
    """(c, −c) [2, k, m]."""
    import torch

    return torch.stack((c, -c))


def _difference(pair: Tensor) -> Tensor:
    upper, lower = pair
    difference: Tensor = upper - lower
    return difference


def _newton_matrix(at: Tensor, weight: Tensor, wary: Tensor) -> Tensor:
    """I + A D Aᵀ [k, n, n] of the weights D [k, m]; the light columns only through their trace."""
    import torch

    heavy = (weight > NEGLIGIBLE * weight.topk(at.shape[1], dim=1).values[:, -1:]) | wary
    light = (weight * ~heavy) @ at.square().mean(dim=1)
    matrix = torch.stack([_gram(at, w, chosen.nonzero()[:, 0]) for w, chosen in zip(weight, heavy, strict=True)])
    matrix.diagonal(dim1=1, dim2=2).add_(1 + light[:, None])
    return matrix


def _gram(at: Tensor, weight: Tensor, chosen: Tensor) -> Tensor:
    """A D Aᵀ [n, n] of the chosen columns."""
    if len(chosen) < len(at):
        at, weight = at[chosen], weight[chosen]
    return at.mT @ (at * weight[:, None])
