"""Magnitude: a neuron is worth what its weights are large."""

from __future__ import annotations

import numpy as np

from dtcbench.dtc.errors import NonFiniteError
from dtcbench.dtc.projections import project
from dtcbench.dtc.selection import Group, Kept, Method, Scores, below_quantile
from dtcbench.registry import methods


@methods.register("magnitude")
class Magnitude(Method):
    """Drops the smallest L2 norms of a neuron's incoming and outgoing weights together."""

    drop = "smallest"

    def scores(self, group: Group) -> Scores:
        """√(Σ W_in² + Σ W_out²) per neuron, in float64."""
        w_in = group.w_in.astype(np.float64)
        w_out = group.w_out.astype(np.float64)
        squares = (w_in**2).sum(axis=tuple(range(1, w_in.ndim))) + (w_out**2).sum(axis=(0, *range(2, w_out.ndim)))
        if not np.isfinite(squares).all():
            raise NonFiniteError("weights are NaN or infinite; lower the learning rate")
        return Scores(np.sqrt(squares))


@methods.register("magnitude-published")
class PublishedMagnitude(Method):
    """The published code's magnitude baseline: |a_in + a_out|, the largest dropped."""

    drop = "largest"

    def scores(self, group: Group) -> Scores:
        """|a_in + a_out| per neuron, in the weights' precision."""
        projections = project(group.w_in, group.w_out)
        return Scores(np.abs(projections.incoming + projections.outgoing))

    def select(self, scores: Scores, group: Group) -> Kept:
        """Strictly below the quantile, unless an exact count is asked for."""
        if group.cut.count is not None:
            return super().select(scores, group)
        return below_quantile(scores.values, group.cut.keep)
