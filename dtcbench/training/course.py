"""A network on its way through train-compress cycles: what both recipes share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dtcbench import registry
from dtcbench.datasets.splits import Splits
from dtcbench.dtc.recovery import checked, unchecked
from dtcbench.dtc.selection import Indices, Method, Target
from dtcbench.dtc.sensing import incoming_projection
from dtcbench.energy.segments import PhaseTimer
from dtcbench.entropy import compressed_bits, lempel_ziv
from dtcbench.errors import CompressionError, NonFiniteError
from dtcbench.plan.cell import Cell
from dtcbench.record import Cycle, Layer, Result
from dtcbench.training.compression import Complexity, Compressor, TimedSolver, layer
from dtcbench.training.evaluation import Evaluate
from dtcbench.training.flops import inference_flops, training_flops
from dtcbench.training.loop import Samples, Step, cross_entropy, train
from dtcbench.training.network import build, traced
from dtcbench.training.randomness import torch_generator
from dtcbench.training.surgery import PrunableGroup, Surgery

_LOOK = 64
"""Samples in a mini-batch of sensitivities."""
NOT_COMPRESSED = "nothing is removed while training"
NO_TEXT = "the dataset holds no text"
Shrink = Callable[[PrunableGroup, Indices], None]
"""Takes all neurons but these out of a group, in place."""


@dataclass(frozen=True)
class Workplace:
    """What a recipe works with: the cell's data, its clock, and how figures of the network are come by."""

    cell: Cell
    splits: Splits
    train: Samples
    test: Samples
    """The splits on the cell's device."""
    phases: PhaseTimer
    evaluate: Evaluate

    @property
    def example(self) -> torch.Tensor:
        """One blank sample [1, …], for tracing and counting."""
        return torch.zeros_like(self.train.x[:1])


@dataclass(frozen=True)
class Accuracies:
    """A cell's accuracies, fractions of 1, and why some are absent, by the fields of a Result."""

    accuracy: float
    accuracy_before: float | None
    accuracy_after: float | None
    validation_accuracy: float | None
    bits_per_character: float | None
    reasons: dict[str, str]


@dataclass
class Course:
    """The network, its prunable groups, and the tally of what has been done to it."""

    work: Workplace
    model: nn.Module
    surgery: Surgery
    compressor: Compressor
    steps: int = 0
    training_flops: int = 0
    cycles: list[Cycle] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._neurons = sum(group.width for group in self.groups)
        self._parameters_dense = self._parameters

    @property
    def method(self) -> Method:
        """What chooses the neurons."""
        return self.compressor.method

    @property
    def groups(self) -> list[PrunableGroup]:
        """The network's prunable groups."""
        return self.surgery.groups

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable neurons gone so far."""
        return 1 - sum(group.width for group in self.groups) / self._neurons

    def train(self, step: Step, batches: Iterable[Samples], steps: int) -> float:
        """Take `steps` steps; the last batch's loss.

        NonFiniteError where that, or a weight after it, is NaN or infinite.
        """
        flops = training_flops(self.model, self.work.example)
        with self.work.phases.train():
            trained = train(self.model, step, batches)
        self.steps += steps
        self.training_flops += flops * trained.samples
        if not math.isfinite(trained.loss):
            raise NonFiniteError(f"the loss is {trained.loss} after step {self.steps}; lower the learning rate")
        for name, parameter in self.model.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise NonFiniteError(f"{name} is not finite after step {self.steps}; lower the learning rate")
        return trained.loss

    def compress(
        self, cut: Callable[[PrunableGroup], Target | None], shrink: Shrink, samples: Samples | None = None
    ) -> list[Layer]:
        """Compress every group for which `cut` says how; what to record of each.

        The sensitivities a method asks for are those over the first of `samples` (the whole training split).
        """
        complexities = [self._complexity(group) for group in self.groups]
        with self.work.phases.compress():
            looked_at = (samples or self.work.train).first(self.method.sensitivity_samples)
            due = self.method.sensitivity_samples > 0 and any(cut(group) for group in self.groups)
            sensitivities = self._sensitivities(looked_at) if due else {}
            removals = self.compressor.compress(self.groups, cut, len(self.cycles), shrink, sensitivities)
        return [layer(removal, complexity) for removal, complexity in zip(removals, complexities, strict=True)]

    def _complexity(self, group: PrunableGroup) -> Complexity:
        """Observed as an evaluation is: outside the energy boundary, and in a repeat not again."""
        return Complexity(
            self.work.evaluate(lambda: compressed_bits(group.w_in)),
            self.work.evaluate(lambda: lempel_ziv(incoming_projection(group.w_in))),
        )

    def _sensitivities(self, samples: Samples) -> dict[str, NDArray[np.floating]]:
        """Per group the sensitivities [batches, m]; counted in the training FLOPs. Leaves no gradients behind."""
        self.training_flops += training_flops(self.model, self.work.example) * len(samples)
        seen: dict[str, list[NDArray[np.floating]]] = {}
        self.model.eval()  # looking must not move the statistics of normalisation
        for batch in samples.batches(_LOOK):
            self.model.zero_grad()
            cross_entropy(self.model(batch.x), batch.y).backward()
            for group in self.groups:
                if (sensitivity := group.sensitivity) is not None:
                    seen.setdefault(group.name, []).append(sensitivity)
        self.model.zero_grad()
        self.model.train()
        return {name: np.stack(batches) for name, batches in seen.items()}

    def record_cycle(
        self, loss: float, layers: list[Layer], accuracies: dict[str, float | None], reasons: dict[str, str]
    ) -> None:
        """Add a cycle; `reasons` may explain more fields of `accuracies` than are None."""
        self.cycles.append(
            Cycle.model_validate(
                {
                    "cycle": len(self.cycles),
                    "step": self.steps,
                    "sparsity": self.sparsity,
                    "loss": loss,
                    "layers": layers,
                    "reasons": {name: reasons[name] for name, value in accuracies.items() if value is None},
                    **accuracies,
                }
            )
        )

    def result(self, accuracies: Accuracies) -> Result:
        """The cell's result."""
        phases = self.work.phases
        return Result(
            accuracy=accuracies.accuracy,
            accuracy_before=accuracies.accuracy_before,
            accuracy_after=accuracies.accuracy_after,
            validation_accuracy=accuracies.validation_accuracy,
            bits_per_character=accuracies.bits_per_character,
            sparsity=self.sparsity,
            widths={group.name: group.width for group in self.groups},
            steps=self.steps,
            parameters_dense=self._parameters_dense,
            parameters=self._parameters,
            training_flops=self.training_flops,
            inference_flops=inference_flops(self.model, self.work.example),
            train_s=phases.seconds("train"),
            compress_s=phases.seconds("compress"),
            evaluate_s=phases.seconds("evaluate"),
            cycles=self.cycles,
            reasons=accuracies.reasons,
        )

    @property
    def _parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def start(work: Workplace) -> Course:
    """The cell's network, freshly initialised from the cell's seed, on the device of its data."""
    cell = work.cell
    shape, classes = work.splits.input_shape, work.splits.num_classes
    model = build(cell.model, shape, classes, torch_generator(cell.seed, "init")).to(work.train.x.device)
    surgery = traced(cell.model, model, work.example, (1, *work.train.y.shape[1:], classes))
    if not surgery.groups:
        raise CompressionError(
            f"model {cell.model.name} has no prunable group: no hidden width with exactly one producing and one "
            "consuming layer; see `dtcbench list --groups`"
        )
    method = registry.methods.bind(cell.method.name, cell.method.values)
    return Course(work, model, surgery, Compressor(method, _solver(cell, method, work.train.x.device), cell.seed))


def _solver(cell: Cell, method: Method, device: torch.device) -> TimedSolver | None:
    if cell.solver is None:
        return None
    solve = registry.solvers.bind(cell.solver.name, cell.solver.values)
    return TimedSolver(cell.solver.name, checked(solve) if method.verifies_solver else unchecked(solve), device)
