"""Random removal: the baseline that every useful method must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dtcbench.dtc.selection import Draws, Group, Indices, Method, Scores, refuse_none
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
@dataclass(frozen=True, kw_only=True)
class PublishedRandom(Method):
    """The published code's random baseline: the same seed, so the same draw for a width, every cycle."""

    drop = "largest"
    draws: Draws = "published"
    """The permutation of the published seed, so the same for a width in every cycle, or another in every cycle."""

    def scores(self, group: Group) -> Scores:
        """Each neuron's place in the permutation of the group."""
        source = np.random.RandomState(PUBLISHED_SEED) if self.draws == "published" else group.generator
        drawn = source.permutation(group.width)
        return Scores(np.argsort(drawn).astype(np.float64))

    def select(self, scores: Scores, group: Group) -> Indices:
        """The first neurons of the permutation, in drawn order unless the target is a count.

        Those of the published seed equal `numpy.random.choice(m, count, replace=False)` after it; the order
        matters, because sums over neurons are rounded in it.
        """
        count = group.target.count_of(group.width)
        refuse_none(count, group.width, group.target)
        kept = np.argsort(scores.values, kind="stable")[:count].astype(np.int64)
        return kept if group.target.count is None else np.sort(kept)
