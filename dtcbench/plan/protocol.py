"""The protocols a suite may name, as values: what may be set of each."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from dtcbench.cycles import Count, Cycles, Fraction
from dtcbench.plan.cell import Choice
from dtcbench.validation import Strict


class Fixed(Strict):
    """A protocol of dtcbench itself."""

    version: ClassVar[int]
    """Raised if a change makes other numbers, or if a default changes."""
    name: str

    @property
    def choice(self) -> Choice:
        """The protocol as a cell holds it."""
        values = self.model_dump(mode="json", exclude={"name"})
        return Choice.of(self.name, self.version, values, defaults(type(self)))


class Standard(Cycles, Fixed):
    """The fair recipe: equal steps, batches, order and initial weights for all methods that compress.

    See docs/design.md, Protocols.
    """

    version: ClassVar[int] = 2
    name: Literal["standard"]
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
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """In the training loss only; what is evaluated is never smoothed."""

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


class Published(Fixed):
    """The notebook's recipe (arXiv 2505.23869), bit for bit; its defaults are the paper's values."""

    version: ClassVar[int] = 1
    precision: ClassVar = "fp32"
    compile: ClassVar = False
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


class OfPlugin(Cycles):
    """A plug-in's: its optimiser, learning rate and loss in the training of `standard`. Reading it needs no code."""

    chosen: Choice
    """As the suite names it, with all options, those of `Cycles` too."""

    @classmethod
    def of(cls, choice: Choice) -> OfPlugin:
        """The protocol of a choice with all its options."""
        shared = {name: value for name, value in choice.values.items() if name in Cycles.model_fields}
        return cls(**shared, chosen=choice)

    @property
    def choice(self) -> Choice:
        """The protocol as a cell holds it: with the `keep` of the cell's block."""
        known = {**self.chosen.defaults, **defaults(Cycles)}
        return Choice.of(self.chosen.name, self.chosen.version, {**self.chosen.values, "keep": self.keep}, known)


InCycles = Standard | OfPlugin
AnyProtocol = InCycles | Published
PROTOCOLS: dict[str, type[Standard] | type[Published]] = {"standard": Standard, "published": Published}


def defaults(options: type[BaseModel]) -> dict[str, Any]:
    """The options that have a default, each with it."""
    return {name: field.default for name, field in options.model_fields.items() if not field.is_required()}


def from_choice(choice: Choice) -> AnyProtocol:
    """The protocol a cell names."""
    if choice.name not in PROTOCOLS:
        return OfPlugin.of(choice)
    return PROTOCOLS[choice.name].model_validate({"name": choice.name, **choice.values})
