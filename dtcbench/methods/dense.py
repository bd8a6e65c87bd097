"""No compression: the baseline every cell is paired with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dtcbench.dtc.selection import Group, Indices, Method, Scores
from dtcbench.registry import register_method


@register_method("dense")
class Dense(Method):
    """Keeps every neuron."""

    removal = "never"
    drop = "smallest"

    def scores(self, group: Group) -> Scores:
        """All alike."""
        return Scores(np.zeros(group.width))

    def select(self, scores: Scores, group: Group) -> Indices:
        """All of them."""
        return np.arange(group.width, dtype=np.int64)


@register_method("dense-matched")
@dataclass(frozen=True, kw_only=True)
class DenseMatched(Dense):
    """Keeps every neuron and stops when the compressed cells of its sparsity have used up their budget."""

    budget: Literal["flops", "joules"] = "flops"
    """Their training FLOPs; or the joules that the first `dtc` of that sparsity and seed was measured to use."""
