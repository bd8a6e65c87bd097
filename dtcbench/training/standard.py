"""Protocol `standard`: equal steps, batches, order and initial weights for every method (DESIGN §3)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch

from dtcbench.dtc.selection import Cut
from dtcbench.plan.protocol import Standard
from dtcbench.records.record import Result
from dtcbench.training.course import NOT_COMPRESSED, Accuracies, Workplace, start
from dtcbench.training.loop import accuracy, gradient_step, hold_out, shuffled_batches
from dtcbench.training.surgery import PrunableGroup

_TEST_LATER = "protocol standard looks at the test split at the last compression and at the end only"
_CYCLE_REASONS = {
    "test_before": _TEST_LATER,
    "test_after": _TEST_LATER,
    "validation_after": "nothing was due to be removed",
}
_RESULT_REASONS = {"accuracy_before": NOT_COMPRESSED, "accuracy_after": NOT_COMPRESSED}


def run_standard(work: Workplace, protocol: Standard) -> Result:
    """Train and compress by the geometric schedule, then train the remaining steps.

    Optimiser state is carried through surgery. Every cell trains and validates in the same pieces, also
    those in which nothing is removed, so that measuring and evaluating weigh alike on all.
    """
    cell = work.cell
    training, validation = hold_out(work.train, protocol.validation, cell.seed)
    course = start(work)
    widths = {group.name: group.width for group in course.groups}
    optimizer = torch.optim.Adam(course.model.parameters(), lr=protocol.lr)
    step = gradient_step(course.model, optimizer)
    batches = shuffled_batches(training, protocol.batch_size, cell.seed)
    fractions = protocol.fractions(cell.sparsity or 0.0)
    keep = protocol.ratio(cell.sparsity or 0.0)
    before = after = None
    for number in range(protocol.cycles_held):
        loss = course.train(step, islice(batches, protocol.cycle_steps), protocol.cycle_steps)
        last = number == len(fractions) - 1
        with work.phases.evaluate():
            seen: dict[str, float | None] = dict.fromkeys(_CYCLE_REASONS)
            seen["validation_before"] = accuracy(course.model, validation)
            before = accuracy(course.model, work.test) if last else before
        layers = []
        if number < len(fractions):
            layers = course.compress(_exactly(widths, fractions[number], keep), optimizer)
            with work.phases.evaluate():
                seen["validation_after"] = accuracy(course.model, validation)
                after = accuracy(course.model, work.test) if last else after
        course.record_cycle(loss, layers, seen, _CYCLE_REASONS)
    rest = protocol.steps - course.steps
    course.train(step, islice(batches, rest), rest)
    with work.phases.evaluate():
        final, on_validation = accuracy(course.model, work.test), accuracy(course.model, validation)
    return course.result(Accuracies(final, before, after, on_validation, {} if fractions else _RESULT_REASONS))


def _exactly(widths: dict[str, int], fraction: float, keep: float) -> Callable[[PrunableGroup], Cut | None]:
    """Cuts each group to `round(m · fraction)` of its original width m; None where it has that already."""

    def cut(group: PrunableGroup) -> Cut | None:
        count = round(widths[group.name] * fraction)
        return None if count == group.width else Cut(keep, count)

    return cut
