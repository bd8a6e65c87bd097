"""A training in train-compress cycles: the options of every protocol but `published`, and when its neurons go. Pure."""

from __future__ import annotations

import math
from fractions import Fraction as Share
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from dtcbench.validation import Strict

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0)]
_TRAINED = {"after": Share(2, 3), "rewind": Share(1, 2)}
"""Share of the steps before the neurons go at once: DepGraph's benchmark trains 200 epochs and fine-tunes 100 (Fang et
al., arXiv 2301.12900); a lottery ticket trains as long as the network that it was found in (arXiv 1803.03635)."""


class Cycles(Strict):
    """What a suite may set of any such training, whatever its optimiser, learning rate and loss are."""

    steps: Count
    """Optimiser steps of every cell, dense or compressed; a baseline with a budget of FLOPs or joules takes another
    number."""
    batch_size: Count = 64
    """Samples of one optimiser step."""
    accumulate: Count = 1
    """Parts in which a batch goes through the network, one after another; their gradients add up to the batch's, but
    batch norm sees a part at a time."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest L2 norm of the gradient of all parameters together; a longer one is shortened to it."""
    augment: Literal["dataset", "crop-flip", "none"] = "dataset"
    """Of training batches: as the data set does it, or in its place random crops and flips of images, or nothing."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Of the forward and backward passes of training, and of the passes of `use`. Weights and optimiser stay in fp32,
    and so do compressions and evaluations."""
    compile: bool = False
    """Whether torch compiles the forward and backward passes of training, anew after each compression and outside the
    time and the joules of training. Compressions, evaluations and `use` run as they are."""
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
    """Threads torch and BLAS use in a CPU cell: sums are rounded differently with another number."""

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
