"""One training of one cell: the network, its compressor, and the numbers counted on the way."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import nn

from dtcbench import registry
from dtcbench.datasets.splits import Splits
from dtcbench.dtc.sensing import incoming_projection
from dtcbench.energy.segments import PHASES, Phase, PhaseTimer
from dtcbench.entropy import compressed_bits, lempel_ziv
from dtcbench.errors import CompressionError, NonFiniteError, UserError
from dtcbench.plan.cell import Cell
from dtcbench.plan.protocol import InCycles, Published, from_choice
from dtcbench.record import Cycle, Layer, Result
from dtcbench.training.compiled import CompiledPasses
from dtcbench.training.compressor import Compressor, NoGroupError
from dtcbench.training.copies import copied
from dtcbench.training.determinism import globals_state, seeded_globals, set_globals, stream_seed, torch_generator
from dtcbench.training.feasibility import without_group
from dtcbench.training.flops import inference_flops, training_flops
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.loop import (
    AnySamples,
    Loss,
    Samples,
    ShuffledBatches,
    Step,
    Stored,
    cross_entropy,
    gradient_step,
    train,
)
from dtcbench.training.network import blaming_the_model, build, counting
from dtcbench.training.recipe import Recipe, misfit, recipe_of, step_of
from dtcbench.training.saved_state import Saving, State, Stateful, restoring
from dtcbench.training.tensors import load_into
from dtcbench.unavailable import Unavailable

_BATCH = 64
"""Samples in a mini-batch of what a method looks at."""
_WARM_UP_STEPS = 3
_NOT_COMPILED = Unavailable("the protocol compiles nothing (compile: false)")
_COUNTED = ("steps", "training_flops", "flops_of_steps")
Value = TypeVar("Value")


@dataclass(frozen=True)
class CellContext:
    """A cell, its data on its device, its phase timer, and what was evaluated in its training."""

    cell: Cell
    splits: Splits
    train: Samples | Stored
    test: Samples | Stored
    """The splits on the cell's device, or on their way there batch by batch."""
    phases: PhaseTimer
    others: tuple[torch.device, ...] = ()
    """Further boards that train the same network."""
    steps: int | None = None
    """How many a budget of joules allows; None where the protocol or FLOPs decide."""
    evaluated: list[Any] = field(default_factory=list)
    """Every evaluated value, in order."""
    known: deque[Any] | None = None
    """In a repeat of a training: the values that are evaluated, in order."""
    counted: dict[tuple[Any, ...], int] = field(default_factory=dict)
    """FLOPs of one sample, by what was counted and the groups' widths: a repeat counts nothing between its phases."""
    compiled: CompiledPasses = field(default_factory=CompiledPasses)
    """What is compiled for the training, and for its repeats."""
    saving: Saving | None = None
    """Saves the training while it runs; None if nothing does."""
    saved: State | None = None
    """What the training goes on from; None if it begins."""

    @property
    def example(self) -> torch.Tensor:
        """One blank sample [1, …], for tracing and counting."""
        return torch.zeros_like(self.train.take(torch.tensor([0])).x)

    @property
    def allowed_steps(self) -> int:
        """The steps of a budget of joules; CompressionError if nobody gave any."""
        if self.steps is None:
            raise CompressionError(
                "a budget of joules takes its steps from the joules of other cells: run it in a suite with dtc"
            )
        return self.steps

    def evaluate(self, compute: Callable[[], Value]) -> Value:
        """The value of `compute`, outside the energy boundary; in a repeat, the value of the first training."""
        if self.known is not None:
            value: Value = self.known.popleft()
            return value
        with self.phases.phase("evaluate"):
            value = compute()
        self.evaluated.append(value)
        return value

    @property
    def stream_seed(self) -> int:
        """The seed of the data order and of the method's draws."""
        return stream_seed(self.cell.seed, self.cell.stream)

    def repeat(self) -> CellContext:
        """The context of a repeat of the same training, which computes no evaluation.

        Evaluating changes nothing that is trained, so the repeat's energy is that of training alone.
        """
        return replace(self, evaluated=[], known=deque(self.evaluated))


@dataclass
class TrainingRun:
    """The network, its compressor, and what was counted so far."""

    context: CellContext
    model: nn.Module
    compressor: Compressor
    parameters_dense: int
    """Parameters before the first compression."""
    initial: nn.Module | None = None
    """The network as it was before its first step, if it will be needed again."""
    steps: int = 0
    training_flops: int = 0
    flops_of_steps: int = 0
    """`training_flops` after the last step: without gradients that a method asked for since."""
    cycles: list[Cycle] = field(default_factory=list)
    parts: Mapping[str, Stateful] | None = None
    """What else the training goes on with after a step, by name; None if only after a cycle."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the protocol has noted down for the result."""
    earlier_s: dict[Phase, float] = field(default_factory=dict)
    """Seconds of each phase before the state that the training went on from was saved."""

    def flops(self, count: Callable[[nn.Module, torch.Tensor], int]) -> int:
        """FLOPs of one sample at the present widths by `count`, `training_flops` or `inference_flops`.

        Counted once for the same widths of a cell.
        """
        key = (count, *(group.width for group in self.compressor.groups))
        counted = self.context.counted
        if key not in counted:
            counted[key] = count(self.model, self.context.example)
        return counted[key]

    def train(self, step: Step, batches: Iterable[Samples], steps: int) -> float:
        """Take `steps` steps; the last batch's loss.

        NonFiniteError if that loss, or a weight after it, is NaN or infinite.
        """
        until, batches = self.steps + steps, iter(batches)
        while True:
            loss = self._train_on(step, islice(batches, until - self.steps))
            if self.steps == until:
                return loss
            self.save()

    def compile(self, protocol: InCycles, recipe: Recipe, batches: ShuffledBatches, steps: int) -> None:
        """Compile the passes of the next steps, as far as they are not; nothing that they go on with changes.

        ModelError if the network cannot be compiled as a whole.
        """
        context, passes = self.context, self.context.compiled
        if not (sizes := passes.turn_to(self.model, batches.sizes(steps))):
            return
        with context.phases.phase("compile"), seeded_globals(context.cell.seed):
            copy = copied(self.model).train()
            step = step_of(copy, protocol, _idle(recipe, copy), forward=passes)
            with passes.compiling(context.cell.model, sizes, context.example.device):
                for size in sizes:
                    step(batches.example(size))

    def _train_on(self, step: Step, batches: Iterator[Samples]) -> float:
        """Train until the batches are used up, or until the training is to be saved."""
        flops = self.flops(training_flops)
        with self.context.phases.phase("train"), self.context.compiled.computing(self.context.cell.model):
            loss, samples = train(self.model, step, self._until_due(batches))
        self.training_flops += flops * samples
        self.flops_of_steps = self.training_flops
        if not math.isfinite(loss):
            raise NonFiniteError(f"the loss is {loss} after step {self.steps}; lower the learning rate")
        for name, parameter in self.model.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise NonFiniteError(f"{name} is not finite after step {self.steps}; lower the learning rate")
        return loss

    def _until_due(self, batches: Iterator[Samples]) -> Iterator[Samples]:
        """The batches, which count as steps, until the training is to be saved."""
        saving = None if self.parts is None else self.context.saving
        for batch in batches:
            yield batch
            self.steps += 1
            if saving is not None and saving.is_due():
                return

    def compress(self, samples: AnySamples, loss: Loss = cross_entropy, **targets: Any) -> list[Layer]:
        """Compress by `Compressor.compress` with these targets; the record of each group.

        A method that looks at samples gets the first of `samples`.
        """
        # Before the compression and outside the energy boundary.
        complexities = [self._complexity(group) for group in self.compressor.groups]
        with self.context.phases.phase("compress"):
            compressed = self.compressor.compress(**targets, batches=self._counted(samples), loss=loss)
        return [layer.record(**numbers) for layer, numbers in zip(compressed.values(), complexities, strict=True)]

    def rewind(self) -> None:
        """Give the neurons that are left their initial weights, and the network its initial buffers.

        The network is another object afterwards, without an optimiser.
        """
        if self.initial is None:
            raise ValueError("the initial network was not kept")
        with self.context.phases.phase("compress"):
            compressor = _compressor(self.context, self.initial)
            compressor.load_state_dict(self.compressor.state_dict())
        self.model, self.compressor, self.initial = self.initial, compressor, None

    def _complexity(self, group: PrunableGroup) -> dict[str, Any]:
        evaluate = self.context.evaluate
        return {
            "compressed_bits": evaluate(lambda: compressed_bits(group.w_in)),
            "lempel_ziv": evaluate(lambda: lempel_ziv(incoming_projection(group.w_in))),
        }

    def _counted(self, samples: AnySamples) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches for a method that looks at samples; the passes over those that it takes are counted in the training
        FLOPs: forward and backward for gradients of the loss, forward for activations."""
        method = self.compressor.method
        asked = {training_flops: method.sensitivity_samples, inference_flops: method.activation_samples}
        passes = [(self.flops(count), wanted) for count, wanted in asked.items() if wanted]
        taken = 0
        for batch in samples.first(max(asked.values())).batches(_BATCH):
            self.training_flops += sum(flops * max(0, min(len(batch), wanted - taken)) for flops, wanted in passes)
            taken += len(batch)
            yield batch.x, batch.y

    def record_cycle(self, loss: float, layers: list[Layer], **numbers: Any) -> None:
        """Add a cycle; `numbers` are its other fields, each a value or Unavailable."""
        sparsity = self.compressor.sparsity
        cycle = Cycle.of(
            cycle=len(self.cycles),
            step=self.steps,
            training_flops=self.flops_of_steps,
            sparsity=sparsity,
            loss=loss,
            layers=layers,
            **numbers,
        )
        self.cycles.append(cycle)

    def save(self) -> None:
        """Save the training if that is due."""
        if (saving := self.context.saving) is not None and saving.is_due():
            saving.save(self._state())

    def restore(self, saved: State) -> None:
        """Bring network, compressor and counts to what was saved; StateError if that cannot be."""
        with restoring():
            self.compressor.load_state_dict(saved["compressor"])
            load_into(self.compressor.model, saved["network"])
            for name in _COUNTED:
                setattr(self, name, saved[name])
            self.cycles = [Cycle.model_validate(cycle) for cycle in saved["cycles"]]
            self.notes.update(saved["notes"])
            self.earlier_s = saved["seconds"]
            self.context.evaluated[:] = saved["evaluated"]

    def go_on(self, saved: State) -> None:
        """Bring `parts`, made for the restored network, to what was saved, and last the global generators."""
        with restoring():
            for name, part in (self.parts or {}).items():
                part.load_state_dict(saved[name])
            set_globals(saved["globals"], self.context.example.device)

    def _state(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in _COUNTED},
            "compressor": self.compressor.state_dict(),
            "network": dict(self.compressor.model.state_dict()),
            "cycles": [cycle.model_dump(mode="json") for cycle in self.cycles],
            "evaluated": list(self.context.evaluated),
            "seconds": {phase: self._seconds(phase) for phase in PHASES},
            "globals": globals_state(self.context.example.device),
            "notes": dict(self.notes),
            **{name: part.state_dict() for name, part in (self.parts or {}).items()},
        }

    def _seconds(self, phase: Phase) -> float:
        return self.earlier_s.get(phase, 0.0) + self.context.phases.seconds(phase)

    def result(self, **numbers: Any) -> Result:
        """The cell's result; `numbers` are what the protocol measured, each a value or Unavailable."""
        compiles = from_choice(self.context.cell.protocol).compile
        return Result.of(
            sparsity=self.compressor.sparsity,
            widths={group.name: group.width for group in self.compressor.groups},
            steps=self.steps,
            parameters_dense=self.parameters_dense,
            parameters=_parameters(self.model),
            training_flops=self.training_flops,
            inference_flops=self.flops(inference_flops),
            train_s=self._seconds("train"),
            compress_s=self._seconds("compress"),
            evaluate_s=self._seconds("evaluate"),
            compile_s=self._seconds("compile") if compiles else _NOT_COMPILED,
            cycles=self.cycles,
            **numbers,
        )


def start(context: CellContext) -> TrainingRun:
    """The cell's network, freshly initialised from the cell's seed, on the device of its data.

    UserError or CompressionError if the network cannot be built, compressed, or counted.
    """
    cell, splits = context.cell, context.splits
    if why := misfit(from_choice(cell.protocol), splits.input_shape, splits.task):
        raise UserError(why)
    model = build(cell.model, splits.input_shape, splits.num_classes, torch_generator(cell.seed, "init"))
    model = model.to(context.example.device)
    initial = copied(model) if cell.when == "rewind" else None
    with blaming_the_model(cell.model, model, context.example, (1, *splits.output_shape)):
        compressor = _compressor(context, model)
    run = TrainingRun(context, model, compressor, _parameters(model), initial)
    with counting(cell.model, context.example):
        for count in (training_flops, inference_flops):
            run.flops(count)
    return run


def _compressor(context: CellContext, model: nn.Module) -> Compressor:
    cell = context.cell
    method = registry.methods.bind(cell.method.name, cell.method.values)
    solver = registry.solvers.bind(cell.solver.name, cell.solver.values) if cell.solver else None
    seed = context.stream_seed
    try:
        return Compressor(model, context.example, method, solver=solver, groups=cell.groups, seed=seed)
    except NoGroupError as error:
        raise CompressionError(without_group(cell, error.lacking)) from None  # that one's remedy is Python


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def warm_up(context: CellContext) -> None:
    """Train a network of the cell's kind for a few steps and discard it, before the energy is measured.

    CUDA loads its kernels, and cuBLAS and cuDNN reserve their memory, when they are first used.
    """
    model, protocol = start(context).model, from_choice(context.cell.protocol)
    if isinstance(protocol, Published):
        step = gradient_step(model, _standing(model))
    else:
        step = step_of(model, protocol, _idle(recipe_of(model, protocol, protocol.steps), model), context.others)
    batch = next(context.train.batches(protocol.batch_size))
    for _ in range(_WARM_UP_STEPS):
        step(batch)


def _idle(recipe: Recipe, model: nn.Module) -> Recipe:
    """The recipe for a network that learns nothing: its passes alone are wanted."""
    return replace(recipe, optimizer=_standing(model), schedule=None)


def _standing(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.0)
