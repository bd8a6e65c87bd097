"""Protocol `standard`: equal steps, batches, order and initial weights for all that compress (DESIGN §3).

The baselines that train other weights (`scratch`) or for other steps (a budget of FLOPs) say so in their methods.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice

import torch
from torch import nn

from dtcbench.dtc.selection import Target
from dtcbench.errors import CompressionError
from dtcbench.plan.protocol import Standard
from dtcbench.record import Result
from dtcbench.training.budget import compressed_flops, steps_for
from dtcbench.training.course import NO_TEXT, NOT_COMPRESSED, Accuracies, Course, Workplace, start
from dtcbench.training.flops import training_flops
from dtcbench.training.loop import Samples, Step, accuracy, bits_per_token, gradient_step, hold_out, shuffled_batches
from dtcbench.training.scratch import draw_anew
from dtcbench.training.surgery import PrunableGroup

_TEST_LATER = "protocol standard looks at the test split at the last compression and at the end only"
_CYCLE_REASONS = {
    "test_before": _TEST_LATER,
    "test_after": _TEST_LATER,
    "validation_after": "nothing was due to be removed",
}


def run_standard(work: Workplace, protocol: Standard) -> Result:
    """Train and compress by the geometric schedule, then train the remaining steps.

    Optimiser state is carried through surgery. Every cell trains and validates in the same pieces, also
    those in which nothing is removed, so that measuring and evaluating weigh alike on all.
    """
    cell, sparsity = work.cell, work.cell.sparsity or 0.0
    training, validation = hold_out(work.train.first(protocol.samples), protocol.validation, cell.seed)
    test = work.test.first(protocol.samples)
    course = start(work)
    _refuse_a_lonely_sample(course.model, len(training), protocol.batch_size)
    widths = {group.name: group.width for group in course.groups}
    steps = _begin(course, protocol, training, sparsity)
    optimizer = _optimizer(course.model, protocol)
    step = _scheduled(gradient_step(course.model, optimizer), optimizer, protocol, steps)
    batches = shuffled_batches(training, protocol.batch_size, cell.seed, work.splits.augment)
    fractions = protocol.fractions(sparsity) if course.method.when == "cycles" else []
    keep = protocol.ratio(sparsity)
    shrink = partial(course.surgery.shrink, optimizer=optimizer)
    before = after = None
    for number in range(min(protocol.cycles_held, steps // protocol.cycle_steps)):
        loss = course.train(step, islice(batches, protocol.cycle_steps), protocol.cycle_steps)
        last = number == len(fractions) - 1
        seen: dict[str, float | None] = dict.fromkeys(_CYCLE_REASONS)
        seen["validation_before"] = work.evaluate(lambda: accuracy(course.model, validation))
        before = work.evaluate(lambda: accuracy(course.model, test)) if last else before
        layers = []
        if number < len(fractions):
            layers = course.compress(_exactly(widths, fractions[number], keep), shrink, training)
            seen["validation_after"] = work.evaluate(lambda: accuracy(course.model, validation))
            after = work.evaluate(lambda: accuracy(course.model, test)) if last else after
        course.record_cycle(loss, layers, seen, _CYCLE_REASONS)
    if rest := steps - course.steps:
        course.train(step, islice(batches, rest), rest)
    return course.result(_final(course, test, validation, before, after))


def _begin(course: Course, protocol: Standard, training: Samples, sparsity: float) -> int:
    """Make the network as small as the method begins with; how many steps it is to be trained."""
    example, steps = course.work.example, protocol.steps
    budget = None
    if course.method.budget == "flops":
        budget = compressed_flops(course.model, example, protocol, sparsity, len(training))
    if course.method.when == "start":
        for group in course.groups:
            course.surgery.truncate(group, round(group.width * (1 - sparsity)))
        draw_anew(course.model, course.work.cell.seed)
    if budget is not None:
        steps = steps_for(budget, training_flops(course.model, example), len(training), protocol.batch_size)
    return steps


def _refuse_a_lonely_sample(model: nn.Module, samples: int, batch_size: int) -> None:
    # Batch norm has no statistics of one sample.
    if samples % batch_size == 1 and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        raise CompressionError(
            f"the last batch of {samples} training samples has one sample at batch_size {batch_size}, which batch "
            "norm cannot take; change batch_size or validation"
        )


def _optimizer(model: nn.Module, protocol: Standard) -> torch.optim.Optimizer:
    parameters, lr, decay = model.parameters(), protocol.lr, protocol.weight_decay
    match protocol.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, lr=lr, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=decay)


def _scheduled(step: Step, optimizer: torch.optim.Optimizer, protocol: Standard, steps: int) -> Step:
    """`step`, the learning rate moving after it by the protocol's schedule."""
    if protocol.schedule == "constant":
        return step
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def scheduled(batch: Samples) -> torch.Tensor:
        loss = step(batch)
        schedule.step()
        return loss

    return scheduled


def _exactly(widths: dict[str, int], fraction: float, keep: float) -> Callable[[PrunableGroup], Target | None]:
    """Cuts each group to `round(m · fraction)` of its original width m; None where it has that already."""

    def cut(group: PrunableGroup) -> Target | None:
        count = round(widths[group.name] * fraction)
        return None if count == group.width else Target(keep, count)

    return cut


def _final(course: Course, test: Samples, validation: Samples, before: float | None, after: float | None) -> Accuracies:
    """The trained network's figures."""
    evaluate, is_text = course.work.evaluate, course.work.splits.pixels is None
    final = evaluate(lambda: accuracy(course.model, test))
    on_validation = evaluate(lambda: accuracy(course.model, validation))
    bits = evaluate(lambda: bits_per_token(course.model, test)) if is_text else None
    figures = {"accuracy_before": (before, NOT_COMPRESSED), "accuracy_after": (after, NOT_COMPRESSED)}
    figures["bits_per_character"] = (bits, NO_TEXT)
    reasons = {name: reason for name, (value, reason) in figures.items() if value is None}
    return Accuracies(final, before, after, on_validation, bits, reasons)
