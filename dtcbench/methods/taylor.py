"""Taylor: a neuron is worth what the loss would change without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from dtcbench.dtc.errors import NonFiniteError
from dtcbench.dtc.selection import Group, Method, Scores
from dtcbench.registry import methods


@methods.register("taylor")
@dataclass(frozen=True, kw_only=True)
class Taylor(Method):
    """Drops the smallest first-order changes of the loss (Molchanov et al., CVPR 2019, arXiv 1906.10771, eq. 8)."""

    drop = "smallest"
    samples: Annotated[int, Field(gt=0)] = 1024
    """Training samples over which the gradient is averaged."""

    @property
    def gradient_samples(self) -> int:  # type: ignore[override]
        """As many as the option says."""
        return self.samples

    def scores(self, group: Group) -> Scores:
        """(Σ g · w)² per neuron over its incoming weights, in float64."""
        if group.gradients is None:
            raise NonFiniteError("no gradient reached the group; is one of its layers frozen?")
        products = group.gradients[0].astype(np.float64) * group.w_in
        scores = products.sum(axis=tuple(range(1, products.ndim))) ** 2
        if not np.isfinite(scores).all():
            raise NonFiniteError("weights or gradients are NaN or infinite; lower the learning rate")
        return Scores(scores)
