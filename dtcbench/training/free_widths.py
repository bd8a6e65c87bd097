"""Free widths: one threshold on the scores of all groups, at the FLOPs of given widths."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dtcbench.dtc.selection import Drop, Target
from dtcbench.training.axes import Axis, length, resolved
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.targets import Widths


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

    def of_one(self, widths: Widths) -> dict[str, float]:
        """Per group the FLOPs that go with one of its neurons, if the groups have these widths."""
        whole = self(widths)
        return {name: float(whole - self({**widths, name: width - 1})) for name, width in widths.items()}


def least_of(floor: float, target: Target, width: int) -> int:
    """The number of neurons that a group of this width keeps at free widths, whatever its scores."""
    asked = width if target.count is None else target.count
    return min(width, max(1, round(floor * asked)))


def free_widths(
    scores: Mapping[str, NDArray[np.floating]],
    drop: Drop,
    flops: Callable[[Widths], int],
    budget: int,
    generator: np.random.Generator,
    *,
    least: Widths,
    comparable: bool = False,
) -> dict[str, int]:
    """How many neurons each group keeps if one quantile of all groups' scores decides.

    The quantile is the one at which the FLOPs come as near to `budget` as whole neurons allow; of two equally near,
    that of the smaller network. Each group's scores are divided by their mean, so that layers compare, unless they are
    `comparable` as they are: ranking across layers needs some scale (Molchanov et al., arXiv 1611.06440; Lee et al.,
    arXiv 2010.07611).

    Parameters
    ----------
    scores : per group [m], at least 0
    generator : decides between equal scores
    least : the number of neurons that each group keeps at least, from 1 to its width
    """
    names = list(scores)
    group_of = np.repeat(np.arange(len(names)), [len(values) for values in scores.values()])
    ranked = scores.values() if comparable else map(_by_mean, scores.values())
    worth = np.concatenate(list(ranked)) * (1 if drop == "smallest" else -1)
    best_first = group_of[np.lexsort((generator.permutation(len(worth)), -worth))]
    surely = np.concatenate([np.flatnonzero(best_first == place)[: least[name]] for place, name in enumerate(names)])
    queue = np.delete(best_first, surely)

    def widths(kept: int) -> dict[str, int]:
        counts = np.array([least[name] for name in names]) + np.bincount(queue[:kept], minlength=len(names))
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
