"""Magnitude: a neuron is worth what its weights are large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dtcbench.dtc.errors import NonFiniteError
from dtcbench.dtc.projections import project
from dtcbench.dtc.selection import Cut, Group, Kept, Method, Scores, below_quantile, left_below_quantile
from dtcbench.registry import register_method


@dataclass(frozen=True, kw_only=True)
class Norm(Method):
    """Scores by the norm of a neuron's incoming and outgoing weights."""

    norm: Literal["l1", "l2"] = "l2"
    of: Literal["in", "out", "both"] = "both"
    """Which weights; `both` is the norm of all of them together."""

    def scores(self, group: Group) -> Scores:
        """Σ |W| or √(Σ W²) per neuron, in float64."""
        power = 1 if self.norm == "l1" else 2
        incoming, outgoing = _power_sums(group.w_in, group.w_out, power)
        total = {"in": incoming, "out": outgoing, "both": incoming + outgoing}[self.of]
        if not np.isfinite(total).all():
            raise NonFiniteError("weights are NaN or infinite; lower the learning rate")
        return Scores(total if power == 1 else np.sqrt(total))


@register_method("magnitude")
@dataclass(frozen=True, kw_only=True)
class Magnitude(Norm):
    """Drops the smallest norms of a neuron's weights (L1 of the incoming ones: Li et al., arXiv 1608.08710)."""

    drop = "smallest"


@register_method("anti-magnitude")
@dataclass(frozen=True, kw_only=True)
class AntiMagnitude(Norm):
    """Drops the largest norms: magnitude's opposite, which a method that chooses well must beat."""

    drop = "largest"


@register_method("magnitude-published")
class PublishedMagnitude(Method):
    """The published code's magnitude baseline: |a_in + a_out|, the largest dropped."""

    drop = "largest"

    def scores(self, group: Group) -> Scores:
        """|a_in + a_out| per neuron, in the weights' precision."""
        projections = project(group.w_in, group.w_out)
        return Scores(np.abs(projections.incoming + projections.outgoing))

    def left(self, width: int, cut: Cut) -> int:
        """By the strict quantile, unless an exact count is asked for."""
        return left_below_quantile(width, cut)

    def select(self, scores: Scores, group: Group) -> Kept:
        """Strictly below the quantile, unless an exact count is asked for."""
        if group.cut.count is not None:
            return super().select(scores, group)
        return below_quantile(scores.values, group.cut.keep)


def _power_sums(
    w_in: NDArray[np.floating], w_out: NDArray[np.floating], power: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per neuron Σ |W|^power of the incoming and of the outgoing weights."""
    incoming = np.abs(w_in.astype(np.float64)) ** power
    outgoing = np.abs(w_out.astype(np.float64)) ** power
    return incoming.sum(axis=tuple(range(1, w_in.ndim))), outgoing.sum(axis=(0, *range(2, w_out.ndim)))
