"""DepGraph: the norm of everything that goes with a neuron is its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dtcbench.dtc.selection import Group, Scores
from dtcbench.errors import CompressionError, NonFiniteError
from dtcbench.methods.one_ranking import OneRanking
from dtcbench.registry import register_method


@register_method("depgraph")
@dataclass(frozen=True, kw_only=True)
class DepGraph(OneRanking):
    """Drops the smallest norms over all parameters of a coupled group (Fang et al., CVPR 2023, arXiv 2301.12900).

    Their importance I[j] = Σ_w ‖w[j]‖² over the group's parameters w, ranked among all groups as m · I[j] / Σ I: their
    relative score with all m neurons as the N largest, as in their code. This is their method without sparse learning,
    meant for `groups: coupled`. One threshold decides at the inference FLOPs of the cell's uniform widths.
    """

    uses_parameters: ClassVar[bool] = True

    def scores(self, group: Group) -> Scores:
        """m · I[j] / Σ I per neuron j, in float64."""
        if not group.parts:
            raise CompressionError("nothing is known of the group's parameters; compress with dtcbench's Compressor")
        importance = (np.hstack(group.parts).astype(np.float64) ** 2).sum(axis=1)
        if not np.isfinite(importance).all():
            raise NonFiniteError("weights are NaN or infinite; lower the learning rate")
        return Scores(importance / (importance.mean() or 1.0))
