"""Random removal: the baseline that every useful method must beat."""

from __future__ import annotations

import numpy as np

from dtcbench.dtc.selection import Group, Indices, Method, Scores, refuse_none
from dtcbench.dtc.sensing import PUBLISHED_SEED
from dtcbench.registry import register_method


@register_method("random")
class Random(Method):
    """Drops neurons drawn from the cell's own generator."""

    drop = "smallest"

    def scores(self, group: Group) -> Scores:
        """Uniform draws."""
        return Scores(group.generator.random(group.width))


@register_method("random-published")
class PublishedRandom(Method):
    """The published code's random baseline: the same seed, so the same draw for a width, every cycle."""

    drop = "largest"

    def scores(self, group: Group) -> Scores:
        """Each neuron's place in the published permutation of the group."""
        drawn = np.random.RandomState(PUBLISHED_SEED).permutation(group.width)
        return Scores(np.argsort(drawn).astype(np.float64))

    def select(self, scores: Scores, group: Group) -> Indices:
        """The first neurons of the permutation, in drawn order unless the target is a count.

        Equals `numpy.random.choice(m, count, replace=False)` after the published seed; the order
        matters, because sums over neurons are rounded in it.
        """
        count = group.target.count_of(group.width)
        refuse_none(count, group.width, group.target)
        kept = np.argsort(scores.values, kind="stable")[:count].astype(np.int64)
        return kept if group.target.count is None else np.sort(kept)
