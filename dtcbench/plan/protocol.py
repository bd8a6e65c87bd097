"""The training recipes a suite may name, as values: what may be set, and the schedule it implies."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction as Share
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from dtcbench.plan.cell import Choice
from dtcbench.validation import Strict

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0)]
_TRAINED = {"after": Share(2, 3), "rewind": Share(1, 2)}
"""Share of the steps before the neurons go at once: DepGraph's benchmark trains 200 epochs and fine-tunes 100 (Fang et
al., arXiv 2301.12900); a lottery ticket trains as long as the network that it was found in (arXiv 1803.03635)."""


class Protocol(Strict):
    """What all recipes share."""

    version: ClassVar[int]
    """Raised if a change makes other numbers, or if a default changes."""
    name: str
    threads: int
    """Threads torch and BLAS use in a CPU cell: sums are rounded differently with another number."""

    @property
    def choice(self) -> Choice:
        """The protocol as a cell holds it."""
        values = self.model_dump(mode="json", exclude={"name"})
        return Choice.of(self.name, self.version, values, defaults(type(self)))


class Standard(Protocol):
    """The fair recipe: equal steps, batches, order and initial weights for all methods that compress.

    See docs/design.md, Protocols.
    """

    version: ClassVar[int] = 2
    name: Literal["standard"]
    steps: Count
    """Optimiser steps of every cell, dense or compressed; a baseline with a budget of FLOPs takes another number."""
    batch_size: Count = 64
    """Samples of one optimiser step."""
    accumulate: Count = 1
    """Parts in which a batch goes through the network, one after another; their gradients add up to the batch's, but
    batch norm sees a part at a time."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Torch's, with its defaults; sgd with momentum 0.9."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate: cosine goes to 0 over the cell's steps."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps in which the learning rate first rises linearly to `lr`; cosine begins after them. A training of another
    number of steps, as after a rewind, warms up for the same share of its own."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    weight_decay_of: Literal["all", "matrices"] = "all"
    """The parameters that decay. `matrices` leaves out biases and norms, whose parameters have fewer than two axes."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest L2 norm of the gradient of all parameters together; a longer one is shortened to it."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """In the training loss only; what is evaluated is never smoothed."""
    augment: Literal["dataset", "crop-flip", "none"] = "dataset"
    """Of training batches: as the data set does it, or in its place random crops and flips of images, or nothing."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Of the forward and backward passes of training. Weights and optimiser stay in fp32, and so do compressions and
    evaluations."""
    keep: Fraction = 0.9
    """Fraction of the neurons a compression keeps, as long as the steps hold enough cycles."""
    cycle_steps: Annotated[int, Field(gt=0, validate_default=True)] = 50
    """Steps between two compressions."""
    validation: Fraction = 0.1
    """Fraction of the training split held out, by the cell's seed."""
    samples: Count | None = None
    """Use the first so many samples of either split only: for rehearsals."""
    course: Count | None = None
    """Validate on the first so many held-out samples only in the cycles, on all at the end: on all, drawing the course
    takes a good part of a cell's time."""
    threads: Count = 1

    @field_validator("accumulate")
    @classmethod
    def _parts_are_equal(cls, accumulate: int, info: ValidationInfo) -> int:
        batch_size = info.data.get("batch_size")
        if batch_size is not None and batch_size % accumulate:
            fitting = max(parts for parts in range(1, accumulate) if batch_size % parts == 0)
            raise ValueError(
                f"{accumulate}: a batch of {batch_size} does not fall into so many equal parts; "
                f"write {fitting}, or change batch_size"
            )
        return accumulate

    @field_validator("warmup")
    @classmethod
    def _steps_remain_after_warming_up(cls, warmup: int, info: ValidationInfo) -> int:
        steps = info.data.get("steps")
        if steps is not None and warmup >= steps:
            raise ValueError(f"{warmup} of {steps} steps leave none at the full rate; lower warmup or raise steps")
        return warmup

    @field_validator("weight_decay_of")
    @classmethod
    def _something_decays(cls, decaying: str, info: ValidationInfo) -> str:
        if decaying != "all" and info.data.get("weight_decay") == 0:
            raise ValueError(f"{decaying!r} without weight_decay changes nothing; set weight_decay, or remove it")
        return decaying

    @field_validator("cycle_steps")
    @classmethod
    def _one_cycle_and_retraining_fit(cls, cycle_steps: int, info: ValidationInfo) -> int:
        steps = info.data.get("steps")
        if steps is not None and steps < 2 * cycle_steps:
            raise ValueError(
                f"{steps} steps do not hold one cycle of {cycle_steps} and as many of retraining; "
                f"raise steps to {2 * cycle_steps} or lower cycle_steps to {max(1, steps // 2)}"
            )
        return cycle_steps

    def fractions(self, sparsity: float) -> list[float]:
        """Fraction of each group's neurons left after each compression, the last exactly 1 − sparsity.

        Geometric with ratio `keep`, the last step smaller. Where the steps hold fewer cycles than
        that takes (one cycle's steps always remain for retraining), the ratio is made steeper
        instead, so that no single compression takes what several should.
        """
        if sparsity == 0:
            return []
        ratio = self.ratio(sparsity)
        cycles = min(self._cycles_needed(sparsity), self.cycles_held)
        return [ratio**cycle for cycle in range(1, cycles)] + [1 - sparsity]

    def removals(self, sparsity: float, when: str = "during") -> dict[int, float]:
        """By the number of the cycle that removes neurons, the fraction of each group's neurons left after it.

        `during` follows the schedule. `after` and `rewind` remove all at once, in the last whole cycle of the first two
        thirds or of the first half of the steps (in the first cycle if there is none).
        """
        if when == "during" or sparsity == 0:
            return dict(enumerate(self.fractions(sparsity)))
        trained = math.floor(self.steps * _TRAINED[when] / self.cycle_steps)
        return {min(max(1, trained), self.cycles_held) - 1: 1 - sparsity}

    def retraining(self, sparsity: float) -> int:
        """Steps left after a rewind."""
        return self.steps - self.cycle_steps * (1 + max(self.removals(sparsity, "rewind"), default=-1))

    def kept_at_once(self, sparsity: float, when: str = "during") -> float:
        """Fraction of the neurons that each compression but the last keeps, or the only one."""
        return self.ratio(sparsity) if when == "during" else 1 - sparsity

    def ratio(self, sparsity: float) -> float:
        """Fraction of the neurons each compression but the last keeps: `keep`, or what the steps force."""
        needed, held = self._cycles_needed(sparsity), self.cycles_held
        return self.keep if needed <= held else float((1 - sparsity) ** (1 / held))

    def note(self, sparsity: float) -> str | None:
        """A sentence for the reader if the steps do not hold the cycles that `keep` would take, else None."""
        needed, held = self._cycles_needed(sparsity), self.cycles_held
        if needed <= held:
            return None
        return (
            f"sparsity {sparsity:g} takes {needed} cycles at keep {self.keep:g}, {self.steps} steps hold {held}: "
            f"each keeps {self.ratio(sparsity):.3f} instead"
        )

    @property
    def cycles_held(self) -> int:
        """Cycles the steps hold when as many steps remain for retraining."""
        return self.steps // self.cycle_steps - 1

    def _cycles_needed(self, sparsity: float) -> int:
        # The tolerance keeps 1 − 0.9**k from asking for a (k+1)-th cycle by rounding.
        return max(1, math.ceil(math.log(1 - sparsity) / math.log(self.keep) - 1e-9)) if sparsity else 0


class Published(Protocol):
    """The notebook's recipe (arXiv 2505.23869), bit for bit; its defaults are the paper's values."""

    version: ClassVar[int] = 1
    name: Literal["published"]
    batch_size: Count = 512
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's learning rate; the optimiser is a new one every cycle."""
    keep: Fraction = 0.9
    """Quantile of the scores below which a neuron is kept."""
    cycle_steps: Count = 200
    """Batches per cycle, starting again at the first."""
    stop_width: Count = 10
    """Cycles run while the hidden layer is wider than this."""
    threads: Count = 2

    def cycles(self, width: int) -> int:
        """Number of train-compress cycles that take `width` to `stop_width` or less: 34 for 512."""
        cycles = 0
        while width > self.stop_width:
            width, cycles = int(width * self.keep), cycles + 1
        return cycles


PROTOCOLS: dict[str, type[Standard] | type[Published]] = {"standard": Standard, "published": Published}


def defaults(protocol: type[Protocol]) -> dict[str, Any]:
    """A protocol's options that have a default, each with it."""
    return {name: field.default for name, field in protocol.model_fields.items() if not field.is_required()}


def from_choice(choice: Choice) -> Standard | Published:
    """The protocol a cell names."""
    return PROTOCOLS[choice.name].model_validate({"name": choice.name, **choice.values})


def label(choice: Choice) -> str:
    """`standard(cycle_steps=15, steps=600)`: a protocol's label without its version, which its digest tells."""
    return replace(choice, version=1).label
