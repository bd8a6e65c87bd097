"""Which neurons stay: the contract of a method, and the two rules that turn scores into a choice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dtcbench.dtc.device import Home
from dtcbench.dtc.sensing import Reconstruction, Solve
from dtcbench.errors import CompressionError

Drop = Literal["smallest", "largest"]
Removal = Literal["scored", "start", "never"]
Draws = Literal["published", "fresh"]
"""Random numbers from the published seed at every call, or from the cell's own generator."""
Allocation = Literal["uniform", "free"]
Budget = Literal["steps", "flops", "retraining", "joules"]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Target:
    """How many of a group's neurons a compression is to keep."""

    keep: float
    """Fraction to keep, as the protocol has it."""
    count: int | None
    """Exactly this many neurons; None if the method's own rule decides from `keep`."""

    def count_of(self, width: int) -> int:
        """Number of neurons to keep of a group of this width, if ties in the scores do not decide."""
        return self.count if self.count is not None else int(width * self.keep)


@dataclass(frozen=True)
class Group:
    """What a method sees of one prunable group of width m."""

    w_in: NDArray[np.floating]
    """[m, fan_in, …]. Both weights are arrays; of a wide layer on a GPU, a method that computes `on` the device gets
    torch tensors."""
    w_out: NDArray[np.floating]
    """[fan_out, m, …]."""
    target: Target
    generator: np.random.Generator
    """Random numbers for this cell, cycle and group."""
    solve: Solve | None
    """The recovery solver; None if the method uses none."""
    sensitivities: NDArray[np.floating] | None = None
    """[batches, m]: to first order, by how much silencing each neuron would lower each mini-batch's loss. Given only if
    the method asks for it by `sensitivity_samples`."""
    activations: NDArray[np.floating] | None = None
    """[samples, …]: what the method's `observe` keeps of the neurons' activations. Given only if the method asks for
    them by `activation_samples`."""
    scales: tuple[NDArray[np.floating], ...] = ()
    """Each [m, k]: the scales γ of a normalisation of the neurons; k is 1 unless a neuron has several channels. Given
    only to a method that `uses_parameters`, as are the `parts`."""
    parts: tuple[NDArray[np.floating], ...] = ()
    """Each [m, k]: all parameters that go with the neurons, tensor by tensor: weights, biases and scales."""
    cost: float | None = None
    """FLOPs of one sample's forward pass that go with one neuron, at the present widths. Given only to a method that
    `uses_cost`."""
    state: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Arrays [m, …] that the method keeps until the next compression, by names of its own. They lose the neurons that
    go."""

    @property
    def width(self) -> int:
        """m, the number of neurons."""
        return len(self.w_in)


@dataclass(frozen=True)
class Scores:
    """A group's scores [m] and, for a method that reconstructs, the reconstruction behind them."""

    values: NDArray[np.floating]
    reconstruction: Reconstruction | None = None


class InTraining(Protocol):
    """What a penalty sees of one prunable group: torch tensors that have gradients."""

    @property
    def scales(self) -> Sequence[Any]:
        """As `Group.scales`."""

    @property
    def parts(self) -> Sequence[Any]:
        """As `Group.parts`."""


class Method(ABC):
    """Chooses the neurons of one prunable group. A subclass's keyword-only fields are its options."""

    uses_solver: ClassVar[bool] = False
    on: ClassVar[Home] = "host"
    """Where the scores are computed; `device` is for wide layers on a GPU (`training/compression.py`)."""
    uses_parameters: ClassVar[bool] = False
    """Whether the scores need `Group.parts` or `Group.scales`."""
    uses_cost: bool = False
    """Whether the scores need `Group.cost`."""
    verifies_solver: ClassVar[bool] = True
    """Whether a solver's answer must keep the solver's tolerance for the duality gap."""
    removal: ClassVar[Removal] = "scored"
    """Neurons go by their scores, whichever before the first step (the rest drawn anew), or never."""
    widths: Allocation = "uniform"
    """Each group keeps the number asked for; or one quantile of all groups' scores, which are then at least 0, decides
    at the inference FLOPs of those numbers."""
    floor: float = 0.0
    """With free widths, the fraction of the number asked for that a group keeps at least; one neuron in any case."""
    comparable: ClassVar[bool] = False
    """Whether free widths rank scores of different groups as they are; else each group's are divided by their mean."""
    budget: Budget = "steps"
    """What a cell shares with the compressed cells of its sparsity: optimiser steps, training FLOPs, the steps after a
    rewind, or the joules that `dtc` used."""
    sensitivity_samples: int = 0
    """Number of training samples for `Group.sensitivities`; 0 if the scores do not need them."""
    activation_samples: int = 0
    """Number of training samples for `Group.activations`; 0 if the scores do not need them."""
    drop: Drop
    """Which end of the scores is removed."""

    def left(self, width: int, target: Target) -> int:
        """Number of neurons left of a group of this width, if all have different scores."""
        return target.count_of(width)

    def refuse(self, width: int, target: Target) -> None:
        """CompressionError if no group of this width can reach the target, whatever its weights."""
        if self.widths == "free" and target.count is None:
            raise CompressionError(
                "free widths need the number of neurons that uniform ones keep; use protocol standard"
            )
        refuse_none(self.left(width, target), width, target)

    def refuse_group(self, group: InTraining) -> None:  # noqa: B027 - most methods take any group
        """CompressionError if a group such as this one cannot be scored, whatever its weights."""

    def observe(self, activations: NDArray[np.floating]) -> NDArray[np.floating]:
        """What is kept [b, …] of a batch's activations [b, m, …]: all, unless a method can do with less memory."""
        return activations

    def penalty(self, groups: Sequence[InTraining]) -> Any:
        """A torch scalar that is added to the loss of every step until the last neurons go; None for none."""
        return None

    @abstractmethod
    def scores(self, group: Group) -> Scores:
        """One finite score per neuron."""

    def select(self, scores: Scores, group: Group) -> Indices:
        """Indices of the neurons to keep, in the order that they are to have: ascending if the target is a count.

        CompressionError if no neuron would be kept.
        """
        count = group.target.count_of(group.width)
        refuse_none(count, group.width, group.target)
        return exact_count(scores.values, count, self.drop, group.generator)


def refuse_none(count: int, width: int, target: Target) -> None:
    """CompressionError if no neuron of a group of this width would be kept."""
    if count < 1:
        remedy = "raise keep or stop_width" if target.count is None else "lower the sparsity or widen the layer"
        raise CompressionError(f"{count} of {width} neurons would be kept; {remedy}")


def exact_count(scores: NDArray[np.floating], count: int, drop: Drop, generator: np.random.Generator) -> Indices:
    """The `count` ≥ 1 neurons left after dropping the smallest or largest scores [m], in ascending order.

    A seeded draw decides between equal scores, so that no index is preferred.
    """
    tie_break = generator.permutation(len(scores))
    order = np.lexsort((tie_break, -scores if drop == "smallest" else scores))
    return np.sort(order[:count]).astype(np.int64)


def left_below_quantile(width: int, target: Target) -> int:
    """Number of neurons, all with different scores, that the published rule keeps; the count if the target is one."""
    if target.count is not None:
        return target.count
    return len(below_quantile(np.arange(width, dtype=np.float64), target.keep))


def below_quantile(scores: NDArray[np.floating], keep: float) -> Indices:
    """The published rule: neurons whose score [m] is strictly below the `keep` quantile.

    Drops the largest scores. CompressionError if no score is below the quantile, as with many exact zeros.
    """
    kept = np.flatnonzero(scores < np.quantile(scores, keep))
    if len(kept) == 0:
        zeros = int((scores == 0).sum())
        raise CompressionError(
            f"no score of {len(scores)} is strictly below the {keep:g} quantile ({zeros} are exactly 0); "
            "use an inexact solver such as scs, a smaller λ, or method dtc"
        )
    return kept.astype(np.int64)
