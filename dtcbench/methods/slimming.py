"""Network slimming: a channel's scale in batch norm is its score, and is pressed to zero in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from dtcbench.dtc.selection import Group, InTraining, Scores
from dtcbench.errors import CompressionError, NonFiniteError
from dtcbench.methods.one_ranking import OneRanking
from dtcbench.registry import register_method


@register_method("slimming")
@dataclass(frozen=True, kw_only=True)
class Slimming(OneRanking):
    """Drops the smallest scales of batch norm, under an L1 penalty on them (Liu et al., ICCV 2017, arXiv 1708.06519).

    Their Eq. 1 adds λ Σ|γ| to the loss, and one threshold on |γ| decides in all layers. Theirs is a percentile of all
    channels; here it is the one at the inference FLOPs of the cell's uniform widths. They have no floor.
    """

    uses_parameters: ClassVar[bool] = True
    lam: Annotated[float, Field(ge=0)] = 1e-4
    """λ of the penalty: theirs for VGG. They give ResNet and DenseNet 1e-5."""

    def penalty(self, groups: Sequence[InTraining]) -> Any:
        """λ Σ|γ| over all normalisations of all groups."""
        sums = [scale.abs().sum() for group in groups for scale in group.scales]
        return self.lam * sum(sums) if sums else None

    def refuse_group(self, group: InTraining) -> None:
        """CompressionError if no normalisation of the group has scales."""
        if not group.scales:
            raise CompressionError("no normalisation of the group has scales; use a network with batch norm")

    def scores(self, group: Group) -> Scores:
        """Σ|γ| per neuron over the group's normalisations, in float64."""
        self.refuse_group(group)
        scores = np.abs(np.hstack(group.scales).astype(np.float64)).sum(axis=1)
        if not np.isfinite(scores).all():
            raise NonFiniteError("scales are NaN or infinite; lower the learning rate")
        return Scores(scores)
