"""Scratch: the compressed network's widths from the first step on, with new weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dtcbench.dtc.selection import Group, Method, Scores
from dtcbench.registry import register_method


@register_method("scratch")
@dataclass(frozen=True, kw_only=True)
class Scratch(Method):
    """Trains the final widths from new weights (Liu et al., ICLR 2019, arXiv 1810.05270).

    With budget `steps` their scratch-E. With budget `flops` it gets the training FLOPs of the compressed cells,
    which is less than their scratch-B gets: the large network's. With budget `retraining` it is a lottery ticket's
    control (Frankle & Carbin, arXiv 1803.03635): new weights for a rewound network's widths, steps and batches.
    """

    removal = "start"
    drop = "smallest"
    budget: Literal["steps", "flops", "retraining"] = "steps"
    """As many optimiser steps as the compressed cells, as many training FLOPs, or the steps after a rewind."""

    def scores(self, group: Group) -> Scores:
        """All alike: the choice of neurons does not matter, because all weights are drawn anew."""
        return Scores(np.zeros(group.width))
