"""Free widths: one threshold on the scores of all groups, at the FLOPs of given widths."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dtcbench.dtc.selection import Drop
from dtcbench.training.axes import Axis, length, resolved
from dtcbench.training.groups import PrunableGroup

Widths = Mapping[str, int]
"""The width of each group, by name."""


class FlopsOfWidths:
    """FLOPs of one sample's forward pass through a network, were its groups of other widths.

    Exact without cutting: a product has as many multiplications as the lengths of its axes give, and one addition each.
    """

    def __init__(self, products: Sequence[tuple[Axis, ...]], groups: Sequence[PrunableGroup]) -> None:
        self._products = [[resolved(axis) for axis in axes] for axes in products]
        self._units = {group.name: group.unit for group in groups}

    def __call__(self, widths: Widths) -> int:
        """The FLOPs if each group had this width."""
        lengths = {self._units[name]: width for name, width in widths.items()}
        return 2 * sum(math.prod(length(axis, lengths) for axis in axes) for axes in self._products)


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
