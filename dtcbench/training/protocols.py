"""The two recipes (DESIGN §3): `published`, the notebook's bit for bit, and `standard`, the fair one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from dtcbench import registry
from dtcbench.dtc.errors import CompressionError, NonFiniteError
from dtcbench.dtc.selection import Cut, Method
from dtcbench.energy.meter import Phases
from dtcbench.plan.cell import Cell
from dtcbench.plan.protocol import Published, Standard, from_choice
from dtcbench.records.record import Cycle, Result
from dtcbench.training.compression import Compressor, Removal, TimedSolver, layer
from dtcbench.training.flops import inference_flops, training_flops
from dtcbench.training.loop import (
    Loss,
    Samples,
    Trained,
    accuracy,
    hold_out,
    mean_batch_accuracy,
    shuffled_batches,
    train,
)
from dtcbench.training.randomness import torch_generator
from dtcbench.training.surgery import PrunableGroup, prunable_groups

NO_VALIDATION = "protocol published holds out no validation split"
AFTER_ONLY = "protocol published evaluates after each compression only"
TEST_AT_THE_END = "protocol standard looks at the test split at the last compression and at the end only"
DENSE = "dense compresses nothing"


@dataclass
class Workplace:
    """What a recipe works with: the cell's data, method and clock."""

    cell: Cell
    train: Samples
    test: Samples
    input_shape: tuple[int, ...]
    num_classes: int
    phases: Phases


@dataclass
class Course:
    """A network on its way through the cycles, and the tally of what that took."""

    work: Workplace
    model: nn.Module
    groups: list[PrunableGroup]
    compressor: Compressor
    steps: int = 0
    training_flops: int = 0
    removals: list[Removal] = field(default_factory=list)
    cycles: list[Cycle] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.neurons = sum(group.width for group in self.groups)
        self.parameters_dense = _parameters(self.model)

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable neurons gone so far."""
        return 1 - sum(group.width for group in self.groups) / self.neurons

    def train(self, optimizer: torch.optim.Optimizer, loss: Loss, batches: itertools.islice[Samples], steps: int) -> float:
        """Take `steps` steps; the last batch's loss. NonFiniteError where that is NaN or infinite."""
        flops = training_flops(self.model, self.work.input_shape)
        with self.work.phases.train():
            trained: Trained = train(self.model, optimizer, loss, batches)
        self.steps += steps
        self.training_flops += flops * trained.samples
        if not torch.isfinite(torch.tensor(trained.loss)):
            raise NonFiniteError(f"the loss is {trained.loss} after step {self.steps}; lower the learning rate")
        return trained.loss

    def result(self, final: float, validation: float | None, before: float | None, after: float | None) -> Result:
        """The cell's result, from the accuracies that its recipe measured."""
        phases = self.work.phases
        absent = {
            "accuracy_before": DENSE if self.work.cell.is_dense else AFTER_ONLY,
            "accuracy_after": DENSE,
            "validation_accuracy": NO_VALIDATION,
        }
        figures = {"accuracy_before": before, "accuracy_after": after, "validation_accuracy": validation}
        return Result(
            accuracy=final,
            **figures,
            sparsity=self.sparsity,
            widths={group.name: group.width for group in self.groups},
            steps=self.steps,
            parameters_dense=self.parameters_dense,
            parameters=_parameters(self.model),
            training_flops=self.training_flops,
            inference_flops=inference_flops(self.model, self.work.input_shape),
            train_s=phases.train_s,
            compress_s=phases.compress_s,
            evaluate_s=phases.evaluate_s,
            energy=phases.reading(),
            cycles=self.cycles,
            reasons={name: absent[name] for name, value in figures.items() if value is None},
        )


def run(work: Workplace) -> Result:
    """Train the cell by its protocol. CompressionError where the cell cannot be computed."""
    protocol = from_choice(work.cell.protocol)
    return _standard(work, protocol) if isinstance(protocol, Standard) else _published(work, protocol)


def _standard(work: Workplace, protocol: Standard) -> Result:
    cell = work.cell
    training, validation = hold_out(work.train, protocol.validation, cell.seed)
    course = _start(work)
    optimizer = torch.optim.Adam(course.model.parameters(), lr=protocol.lr)
    batches = shuffled_batches(training, protocol.batch_size, cell.seed)
    full = {group.name: group.width for group in course.groups}
    fractions = protocol.fractions(cell.sparsity or 0.0)
    before = after = None
    for cycle in range(len(fractions) or protocol.cycles_held):
        steps = protocol.cycle_steps
        loss = course.train(optimizer, functional.cross_entropy, itertools.islice(batches, steps), steps)
        last = cycle == len(fractions) - 1
        with work.phases.evaluate():
            validation_before = accuracy(course.model, validation)
            before = accuracy(course.model, work.test) if last else None
        if not fractions:
            course.cycles.append(_standard_cycle(course, cycle, loss, validation_before, None, []))
            continue

        def cut(group: PrunableGroup, fraction: float = fractions[cycle]) -> Cut | None:
            count = round(full[group.name] * fraction)
            return None if count == group.width else Cut(count / group.width, count)

        with work.phases.compress():
            removals = course.compressor.compress(course.groups, cut, cycle, optimizer)
        with work.phases.evaluate():
            validation_after = accuracy(course.model, validation)
            after = accuracy(course.model, work.test) if last else None
        course.cycles.append(_standard_cycle(course, cycle, loss, validation_before, validation_after, removals))
    rest = protocol.steps - course.steps
    course.train(optimizer, functional.cross_entropy, itertools.islice(batches, rest), rest)
    with work.phases.evaluate():
        final, on_validation = accuracy(course.model, work.test), accuracy(course.model, validation)
    return course.result(final, on_validation, before, after)


def _standard_cycle(
    course: Course, cycle: int, loss: float, before: float, after: float | None, removals: list[Removal]
) -> Cycle:
    reasons = {"test_before": TEST_AT_THE_END, "test_after": TEST_AT_THE_END}
    return Cycle(
        cycle=cycle,
        step=course.steps,
        sparsity=course.sparsity,
        loss=loss,
        validation_before=before,
        validation_after=after,
        test_before=None,
        test_after=None,
        layers=[layer(removal) for removal in removals],
        reasons=reasons if after is not None else {**reasons, "validation_after": DENSE},
    )


def _published(work: Workplace, protocol: Published) -> Result:
    course = _start(work)
    _published_weights(course.model, work.cell.seed)
    batches = list(work.train.batches(protocol.batch_size))
    cut = Cut(protocol.keep, None)
    cycles = protocol.cycles(max(group.width for group in course.groups))
    cycle, after = 0, None
    while cycle < cycles if work.cell.is_dense else _widest(course) > protocol.stop_width:
        # A new optimiser every cycle, as published: no moment estimates survive a compression.
        optimizer = torch.optim.Adam(course.model.parameters(), lr=protocol.lr)
        taken = itertools.islice(itertools.cycle(batches), protocol.cycle_steps)
        loss = course.train(optimizer, published_loss, taken, protocol.cycle_steps)
        removals = []
        if not work.cell.is_dense:
            with work.phases.compress():
                removals = course.compressor.compress(
                    course.groups, lambda group: cut if group.width > protocol.stop_width else None, cycle, None
                )
        with work.phases.evaluate():
            after = mean_batch_accuracy(course.model, work.test, protocol.batch_size)
        course.cycles.append(_published_cycle(course, cycle, loss, after, removals))
        cycle += 1
    if after is None:
        raise CompressionError(
            f"no group is wider than {protocol.stop_width}, so no cycle runs; widen the model or lower stop_width"
        )
    return course.result(after, None, None, None if work.cell.is_dense else after)


def _published_cycle(course: Course, cycle: int, loss: float, after: float, removals: list[Removal]) -> Cycle:
    return Cycle(
        cycle=cycle,
        step=course.steps,
        sparsity=course.sparsity,
        loss=loss,
        validation_before=None,
        validation_after=None,
        test_before=None,
        test_after=after,
        layers=[layer(removal) for removal in removals],
        reasons={
            "validation_before": NO_VALIDATION,
            "validation_after": NO_VALIDATION,
            "test_before": AFTER_ONLY,
        },
    )


def published_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of a log-softmax over the batch dimension, as the published network ends."""
    return functional.cross_entropy(functional.log_softmax(logits, dim=0), labels)


def _published_weights(model: nn.Module, seed: int) -> None:
    """Xavier-normal weights, first layer first, all from one generator seeded with the cell's seed."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            raise CompressionError(f"protocol published has no biases, the model has {name}; set bias: false")
        drawn = nn.init.xavier_normal_(torch.empty(parameter.shape), generator=generator)
        parameter.data.copy_(drawn)


def _start(work: Workplace) -> Course:
    cell = work.cell
    model: nn.Module = registry.models.bind(cell.model.name, cell.model.options)(
        work.input_shape, work.num_classes, generator=torch_generator(cell.seed, "init")
    )
    model = model.to(work.train.x.device)
    method: Method = registry.methods.bind(cell.method.name, cell.method.options)
    solver = cell.solver and TimedSolver(
        cell.solver.name, registry.solvers.bind(cell.solver.name, cell.solver.options)
    )
    return Course(work, model, prunable_groups(model), Compressor(method, solver, cell.seed))


def _widest(course: Course) -> int:
    return max(group.width for group in course.groups)


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
