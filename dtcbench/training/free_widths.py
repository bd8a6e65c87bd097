"""Free widths: one threshold on the scores of all groups, at the FLOPs of given widths."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dtcbench.dtc.selection import Drop
from dtcbench.training.flops import inference_flops_by_layer
from dtcbench.training.surgery import PrunableGroup

Widths = Mapping[str, int]
"""The width of each group, by name."""


class FlopsOfWidths:
    """FLOPs of one sample's forward pass through a network, were its groups of other widths.

    Exact without cutting: the FLOPs of a Linear or Conv2d layer are proportional to its inputs and to its outputs, and
    each side belongs to one group at most.
    """

    def __init__(self, model: nn.Module, example: torch.Tensor, groups: list[PrunableGroup]) -> None:
        of_layer = inference_flops_by_layer(model, example)
        makes = {group.producer: group for group in groups}
        reads = {group.consumer: group for group in groups}
        self._terms: list[tuple[int, tuple[str, ...]]] = []
        self._fixed = 0
        for layer, flops in of_layer.items():
            touching = [side[layer] for side in (makes, reads) if layer in side]
            if touching:
                per_neuron = flops // math.prod(group.width for group in touching)
                self._terms.append((per_neuron, tuple(group.name for group in touching)))
            else:
                self._fixed += flops

    def __call__(self, widths: Widths) -> int:
        """The FLOPs if each group had this width."""
        return self._fixed + sum(
            per_neuron * math.prod(widths[name] for name in names) for per_neuron, names in self._terms
        )


def free_widths(
    scores: Mapping[str, NDArray[np.floating]],
    drop: Drop,
    flops: Callable[[Widths], int],
    budget: int,
    generator: np.random.Generator,
) -> dict[str, int]:
    """How many neurons each group keeps if one quantile of all groups' scores decides.

    The quantile is the one at which the FLOPs come as near to `budget` as whole neurons allow; of two equally near,
    that of the smaller network. Each group's scores are divided by their mean, so that layers compare: ranking across
    layers needs some such scale (Molchanov et al., arXiv 1611.06440; Lee et al., arXiv 2010.07611). Every group keeps
    one neuron at least.

    Parameters
    ----------
    scores : per group [m], at least 0
    generator : decides between equal scores
    """
    names = list(scores)
    group_of = np.repeat(np.arange(len(names)), [len(values) for values in scores.values()])
    worth = np.concatenate([_by_mean(values) for values in scores.values()]) * (1 if drop == "smallest" else -1)
    best_first = np.lexsort((generator.permutation(len(worth)), -worth))
    _, firsts = np.unique(group_of[best_first], return_index=True)  # each group's best neuron
    queue = np.delete(group_of[best_first], firsts)

    def widths(kept: int) -> dict[str, int]:
        counts = 1 + np.bincount(queue[:kept], minlength=len(names))
        return dict(zip(names, counts.tolist(), strict=True))

    over = bisect_right(range(len(queue) + 1), budget, key=lambda kept: flops(widths(kept)))
    nearest = min(
        (kept for kept in (over - 1, over) if 0 <= kept <= len(queue)),
        key=lambda kept: abs(flops(widths(kept)) - budget),
    )
    return widths(nearest)


def _by_mean(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    values = scores.astype(np.float64)
    mean = values.mean()
    return values / mean if mean > 0 else values
