"""Which neurons stay: the contract of a method, and the two rules that turn scores into a choice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dtcbench.dtc.errors import NothingKeptError
from dtcbench.dtc.rays import Solve, Tomography

Drop = Literal["smallest", "largest"]
When = Literal["cycles", "start", "never"]
Budget = Literal["steps", "flops"]
Kept = NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """How much of a group a compression keeps."""

    keep: float
    """Fraction to keep, as the protocol has it."""
    count: int | None
    """Exactly this many neurons; None where the method's own rule decides from `keep`."""

    def of(self, width: int) -> int:
        """How many neurons of so many it keeps, where ties in the scores do not decide."""
        return self.count if self.count is not None else int(width * self.keep)


@dataclass(frozen=True)
class Group:
    """What a method sees of one prunable group of width m."""

    w_in: NDArray[np.floating]
    """[m, fan_in, …]."""
    w_out: NDArray[np.floating]
    """[fan_out, m, …]."""
    cut: Cut
    generator: np.random.Generator
    """This cell's, cycle's and group's own."""
    solve: Solve | None
    """The cell's recovery solver, where the method uses one."""
    sensitivities: NDArray[np.floating] | None = None
    """[batches, m]: to first order, by how much silencing each neuron would lower each mini-batch's loss; where
    the method asks for `sensitivity_samples`."""

    @property
    def width(self) -> int:
        """m, the number of neurons."""
        return len(self.w_in)


@dataclass(frozen=True)
class Scores:
    """A group's scores [m] and, where the method measured, what it measured."""

    values: NDArray[np.floating]
    tomography: Tomography | None = None


class Method(ABC):
    """Chooses the neurons of one prunable group. A subclass's keyword-only fields are its options."""

    uses_solver: ClassVar[bool] = False
    verifies_solver: ClassVar[bool] = True
    """Whether a solver's answer must have the duality gap that the solver promises."""
    when: ClassVar[When] = "cycles"
    """Neurons go cycle by cycle, all before the first step (the rest drawn anew), or never."""
    budget: Budget = "steps"
    """What a cell shares with the compressed cells of its sparsity: optimiser steps or training FLOPs."""
    sensitivity_samples: int = 0
    """Over how many training samples the scores need `Group.sensitivities`."""
    drop: Drop
    """Which end of the scores is removed."""

    def left(self, width: int, cut: Cut) -> int:
        """How many neurons a cut leaves of so many, all with different scores."""
        return cut.of(width)

    def refuse(self, width: int, cut: Cut) -> None:
        """CompressionError where no group of this width can be cut so, whatever its weights."""
        refuse_none(self.left(width, cut), width, cut)

    @abstractmethod
    def scores(self, group: Group) -> Scores:
        """One finite score per neuron."""

    def select(self, scores: Scores, group: Group) -> Kept:
        """Indices of the neurons kept, in the order they keep: ascending where a count is asked for.

        NothingKeptError if none would be.
        """
        count = group.cut.of(group.width)
        refuse_none(count, group.width, group.cut)
        return exact_count(scores.values, count, self.drop, group.generator)


def refuse_none(count: int, width: int, cut: Cut) -> None:
    """NothingKeptError where a cut would keep no neuron of so many."""
    if count < 1:
        remedy = "raise keep or stop_width" if cut.count is None else "lower the sparsity or widen the layer"
        raise NothingKeptError(f"{count} of {width} neurons would be kept; {remedy}")


def exact_count(scores: NDArray[np.floating], count: int, drop: Drop, generator: np.random.Generator) -> Kept:
    """The `count` ≥ 1 neurons left after dropping the smallest or largest scores [m], in ascending order.

    Equal scores are told apart by a seeded draw, so that no index is preferred.
    """
    tie_break = generator.permutation(len(scores))
    order = np.lexsort((tie_break, -scores if drop == "smallest" else scores))
    return np.sort(order[:count]).astype(np.int64)


def left_below_quantile(width: int, cut: Cut) -> int:
    """How many of so many different scores the published rule keeps, unless an exact count is asked for."""
    return cut.of(width) if cut.count is not None else len(below_quantile(np.arange(width, dtype=np.float64), cut.keep))


def below_quantile(scores: NDArray[np.floating], keep: float) -> Kept:
    """The published rule: neurons whose score [m] is strictly below the `keep` quantile.

    Drops the largest scores. With many exact zeros the quantile itself is zero and nobody is
    below it: NothingKeptError.
    """
    kept = np.flatnonzero(scores < np.quantile(scores, keep))
    if len(kept) == 0:
        zeros = int((scores == 0).sum())
        raise NothingKeptError(
            f"no score of {len(scores)} is strictly below the {keep:g} quantile ({zeros} are exactly 0); "
            "use an inexact solver such as scs, a smaller λ, or method dtc"
        )
    return kept.astype(np.int64)
