"""Global magnitude: the size of a neuron's weights is its score, in one ranking of all groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dtcbench.dtc.selection import Group, Scores
from dtcbench.errors import CompressionError
from dtcbench.methods.magnitude import Norm
from dtcbench.methods.one_ranking import OneRanking
from dtcbench.registry import register_method


@register_method("global-magnitude")
@dataclass(frozen=True, kw_only=True)
class GlobalMagnitude(OneRanking, Norm):
    """Drops the smallest norms of all groups together ("global magnitude", Blalock et al., arXiv 2003.03033, §7.2).

    One threshold decides at the inference FLOPs of the cell's uniform widths. Theirs is on single weights.
    """

    per: Literal["neuron", "flop"] = "neuron"
    """The norm itself, or divided by the FLOPs that go with the neuron."""

    @property
    def uses_cost(self) -> bool:  # type: ignore[override]
        """For norms per FLOP."""
        return self.per == "flop"

    def scores(self, group: Group) -> Scores:
        """The norm per neuron, or that per FLOP."""
        scores = super().scores(group)
        if self.per == "neuron":
            return scores
        if group.cost is None:
            raise CompressionError("nothing is known of the group's FLOPs; use per: neuron")
        return Scores(scores.values / max(group.cost, 1.0))
