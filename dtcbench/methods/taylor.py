"""Taylor: the change of the loss without a neuron is its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from dtcbench.dtc.selection import Group, Method, Scores
from dtcbench.errors import CompressionError, NonFiniteError
from dtcbench.registry import register_method


@register_method("taylor")
@dataclass(frozen=True, kw_only=True)
class Taylor(Method):
    """Drops the smallest squared first-order changes of the loss (Molchanov et al., CVPR 2019, arXiv 1906.10771).

    Their gate on a neuron's output: its gradient is Σ g · w over the outgoing weights. As in their code the
    square is taken for each mini-batch, then averaged over mini-batches; `momentum` averages over compressions too.
    """

    drop = "smallest"
    samples: Annotated[int, Field(gt=0)] = 1024
    """Number of training samples used in each compression."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Weight of a neuron's scores of the compressions before (0.9 in their code)."""

    @property
    def sensitivity_samples(self) -> int:  # type: ignore[override]
        """The option `samples`."""
        return self.samples

    def scores(self, group: Group) -> Scores:
        """Mean over mini-batches of the squared sensitivity per neuron, in float64."""
        if group.sensitivities is None:
            raise CompressionError("no gradient reached the group's outgoing weights; is their layer frozen?")
        scores = (group.sensitivities.astype(np.float64) ** 2).mean(axis=0)
        if self.momentum:
            before = group.state.get("scores", scores)
            scores = group.state["scores"] = self.momentum * before + (1 - self.momentum) * scores
        if not np.isfinite(scores).all():
            raise NonFiniteError("weights or gradients are NaN or infinite; lower the learning rate")
        return Scores(scores)
