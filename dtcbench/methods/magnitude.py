"""Magnitude: the size of a neuron's weights is its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dtcbench.dtc.selection import Group, Indices, Method, Scores, Target, below_quantile, left_below_quantile
from dtcbench.dtc.sensing import project
from dtcbench.errors import NonFiniteError
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
    """Drops the largest norms: the opposite of `magnitude`, which every useful method must beat."""

    drop = "largest"


@register_method("magnitude-published")
class PublishedMagnitude(Method):
    """The published code's magnitude baseline: |a_in + a_out|, the largest dropped."""

    drop = "largest"

    def scores(self, group: Group) -> Scores:
        """|a_in + a_out| per neuron, in the weights' precision."""
        a_in, a_out = project(group.w_in, group.w_out)
        return Scores(np.abs(a_in + a_out))

    def left(self, width: int, target: Target) -> int:
        """By the strict quantile, unless the target is a count."""
        return left_below_quantile(width, target)

    def select(self, scores: Scores, group: Group) -> Indices:
        """Strictly below the quantile, unless the target is a count."""
        if group.target.count is not None:
            return super().select(scores, group)
        return below_quantile(scores.values, group.target.keep)


def _power_sums(
    w_in: NDArray[np.floating], w_out: NDArray[np.floating], power: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per neuron Σ |W|^power of the incoming and of the outgoing weights."""
    incoming = np.abs(w_in.astype(np.float64)) ** power
    outgoing = np.abs(w_out.astype(np.float64)) ** power
    return incoming.sum(axis=tuple(range(1, w_in.ndim))), outgoing.sum(axis=(0, *range(2, w_out.ndim)))
