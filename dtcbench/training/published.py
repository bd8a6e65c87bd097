"""Protocol `published`: the notebook's recipe (arXiv 2505.23869, supplement code), bit for bit (DESIGN §3)."""

from __future__ import annotations

from itertools import cycle, islice

import torch
from torch import nn

from dtcbench.dtc.selection import Target
from dtcbench.errors import CompressionError
from dtcbench.plan.protocol import Published
from dtcbench.record import Result
from dtcbench.training import slicing
from dtcbench.training.course import NO_TEXT, NOT_COMPRESSED, Accuracies, Course, Workplace, start
from dtcbench.training.loop import mean_batch_accuracy
from dtcbench.training.surgery import PrunableGroup
from dtcbench.training.written_out import WrittenOutStep, linear_layers

_NO_VALIDATION = "protocol published holds out no validation split"
_AFTER_ONLY = "protocol published evaluates after each compression only"
_CYCLE_REASONS = {
    "validation_before": _NO_VALIDATION,
    "validation_after": _NO_VALIDATION,
    "test_before": _AFTER_ONLY,
}


def run_published(work: Workplace, protocol: Published) -> Result:
    """Cycles of training from batch 0 with a new Adam, compressing, and testing, while the width is above
    `stop_width`. Dense trains and tests as many cycles as its width would have taken.

    The same operations in the same order as the notebook's: reordering any of them changes the bits.
    """
    course = start(work)
    layers_to_train = linear_layers(course.model)
    _draw_weights(layers_to_train, work.cell.seed)
    # The published network ends so, in training and in testing: its answer for one image depends on
    # the others of the batch.
    course.model = nn.Sequential(course.model, nn.LogSoftmax(dim=0))
    batches = list(work.train.batches(protocol.batch_size))
    cycles_of_dense = protocol.cycles(_widest(course))
    if cycles_of_dense == 0:
        raise CompressionError(
            f"no group is wider than {protocol.stop_width}, so no cycle runs; widen the model or lower stop_width"
        )
    tested = 0.0
    while len(course.cycles) < cycles_of_dense if work.cell.is_dense else _widest(course) > protocol.stop_width:
        # A new Adam every cycle, as published; the layers are the same objects throughout.
        step = WrittenOutStep(layers_to_train, protocol.batch_size, protocol.lr)
        loss = course.train(step, islice(cycle(batches), protocol.cycle_steps), protocol.cycle_steps)
        layers = [] if work.cell.is_dense else course.compress(lambda group: _cut(group, protocol), slicing.shrink)
        tested = work.evaluate(lambda: mean_batch_accuracy(course.model, work.test, protocol.batch_size))
        seen: dict[str, float | None] = {**dict.fromkeys(_CYCLE_REASONS), "test_after": tested}
        course.record_cycle(loss, layers, seen, _CYCLE_REASONS)
    return course.result(_accuracies(tested, work.cell.is_dense))


def _cut(group: PrunableGroup, protocol: Published) -> Target | None:
    return Target(protocol.keep, None) if group.width > protocol.stop_width else None


def _accuracies(tested: float, is_dense: bool) -> Accuracies:
    reasons = {"accuracy_before": _AFTER_ONLY, "validation_accuracy": _NO_VALIDATION, "bits_per_character": NO_TEXT}
    if is_dense:
        return Accuracies(tested, None, None, None, None, {**reasons, "accuracy_after": NOT_COMPRESSED})
    return Accuracies(tested, None, tested, None, None, reasons)


def _draw_weights(layers: list[nn.Linear], seed: int) -> None:
    """Xavier-normal weights, first layer first, all from one generator seeded with the cell's seed."""
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        drawn = nn.init.xavier_normal_(torch.empty(layer.weight.shape), generator=generator)
        layer.weight.data.copy_(drawn)


def _widest(course: Course) -> int:
    return max(group.width for group in course.groups)
