"""A plan, and the state of a run, as documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from statistics import mean
from typing import Any

from dtcbench.errors import CompressionError, UserError
from dtcbench.plan.cell import Cell
from dtcbench.plan.grid import Plan
from dtcbench.record import INCONCLUSIVE, MISSING, Status
from dtcbench.records.store import Contents, damage
from dtcbench.report.blocks import Block, Heading, Paragraph, Table, texts
from dtcbench.text import bytes_text, count_of, duration

DONE, FAILED = "done", "failed"
_STATES = (DONE, FAILED, MISSING)
LISTED = 20
"""Maximum number of cells, methods or reasons in a view."""
EXAMPLES = 3
"""Maximum number of cells in a view for one reason."""
_AXES = ("method", "solver", "model", "dataset", "sparsity", "seed")


def plan_view(plan: Plan, contents: Contents[Any]) -> Iterator[Block]:
    """The cells with their states, the excluded ones with their reasons, notes, and an estimate of the time left.

    If there are more than `LISTED` cells it lists the first and counts all by method; `plan_lines` lists every one.
    """
    yield _cells(plan, contents)
    if len(plan.cells) > LISTED:
        yield Paragraph(f"… the first {LISTED} of {len(plan.cells)} cells; --all lists every one")
        yield from _by_method(plan, contents)
    yield from _bounded((reason, f"excluded: {cell.label}: {reason}") for cell, reason in plan.excluded.items())
    yield from (Paragraph(f"note: {note}") for note in plan.notes)
    yield Paragraph(counts(plan, contents))
    yield from _growth(plan)
    yield Paragraph(time_left(plan, contents))


def plan_lines(plan: Plan, contents: Contents[Any]) -> Iterator[str]:
    """A heading, and a tab-separated line per cell with its full key and its state, and which of several protocols."""
    protocol_of = _protocol_of(plan)
    yield "\t".join(("key", "state", *_AXES, *(["protocol"] if protocol_of else [])))
    for cell in plan.cells:
        yield "\t".join((cell.key, state(cell, contents), *_axes(cell), *([protocol_of(cell)] if protocol_of else [])))


def status_view(plan: Plan, contents: Contents[Any]) -> Iterator[Block]:
    """Counts by status, the failures with their reasons, damaged records, time left."""
    yield Heading(f"{plan.suite.name}: {counts(plan, contents)}")
    records = ((cell, contents.record(cell.key)) for cell in plan.cells)
    yield from _bounded(
        (
            f"{record.status}: {record.reason}",
            f"{record.status}: {cell.label} (cell {cell.key[:12]}, attempt {record.attempt}): {record.reason}",
        )
        for cell, record in records
        if record is not None and record.status is not Status.OK
    )
    yield from _bounded(
        (reason, f"damaged record: {damage(path, reason)}") for path, reason in contents.damaged.items()
    )
    if others := len(contents.attempts.keys() - {cell.key for cell in plan.cells}):
        yield Paragraph(f"{others} further cells have records, but the suite no longer plans them")
    yield from _growth(plan)
    yield Paragraph(time_left(plan, contents))


def _growth(plan: Plan) -> Iterator[Block]:
    """How many seeds the cells are for, and may come to be for, where the seeds of the suite grow."""
    if (growing := plan.suite.growing) is None:
        return
    seeds = len(growing.until(plan.looks - 1))
    if seeds == growing.most:
        yield Paragraph(f"look {plan.looks}, the last one: {seeds} seeds where a comparison was undecided")
        return
    more = f"--until-decided runs {growing.step} more at a time, up to {growing.most}, where a comparison is undecided"
    yield Paragraph(f"look {plan.looks}: {seeds} seeds; {more}")


_COPIES = 3
"""Of the weights in a checkpoint: themselves, and Adam's two moments."""


def cost_note(plan: Plan) -> list[str]:
    """What the suite says that it costs."""
    return [f"cost, as the suite says: {plan.suite.cost}"]


def weights_note(plan: Plan) -> list[str]:
    """How much the networks take that the suite keeps: a line, or none if it keeps none."""
    if plan.suite.keep_weights == "none":
        return []
    sizes: dict[tuple[str, ...], int | str] = {}
    found = [_most_bytes(cell, sizes) for cell in plan.cells]
    known, why = [one for one in found if isinstance(one, int)], [one for one in found if isinstance(one, str)]
    rest = (
        f"; {count_of(len(why), 'more network')} cannot be built here: {'; '.join(dict.fromkeys(why))}" if why else ""
    )
    return [f"weights: at most {bytes_text(sum(known))} beside the records, in {count_of(len(known), 'file')}{rest}"]


def checkpoints_note(plan: Plan) -> list[str]:
    """About how much the checkpoints take while cells run: a line, or none if the suite wants none."""
    if (every_s := plan.suite.checkpoint) is None:
        return []
    sizes: dict[tuple[str, ...], int | str] = {}
    known = [size for cell in plan.cells if isinstance(size := _most_bytes(cell, sizes), int)]
    most = bytes_text(_COPIES * max(known)) if known else "three times its network"
    return [f"checkpoints: of cells that take longer than {duration(every_s)}, about {most} for each that is running"]


def use_note(plan: Plan) -> list[str]:
    """About how long the use of the networks takes that the suite measures: a line, or none if it measures none."""
    if (using := plan.suite.use) is None:
        return []
    modes = 2 if plan.suite.resources.gpus else 1
    of_cell_s = using.seconds(modes * 2 * len(using.batch_sizes))
    windows = f"{using.windows} windows of {using.window:g} s"
    each = f"{2 * modes} × {count_of(len(using.batch_sizes), 'batch size')} in {windows}"
    all_s = of_cell_s * len(plan.cells)
    return [f"use: about {duration(of_cell_s)} a cell, {each}: {duration(all_s)} for {len(plan.cells)} cells"]


def score_note(plan: Plan) -> list[str]:
    """A line for each data set, as far as it can be described here, whose networks are not ranked by accuracy."""
    from dtcbench.datasets.description import described  # numpy, which `status` does without

    lines = []
    for dataset in {cell.dataset.label: cell.dataset for cell in plan.cells}.values():
        with suppress(UserError):
            if described(dataset.name, dataset.values)[2] == "regression":
                lines.append(f"score: R2, as {dataset.label} is a regression")
    return lines


def _most_bytes(cell: Cell, sizes: dict[tuple[str, ...], int | str]) -> int | str:
    """Of the cell's network; or why it cannot be built."""
    from dtcbench.training.network_file import most_bytes  # torch, which `status` does without

    network = cell.model.canonical_json, cell.dataset.canonical_json, cell.groups
    if network not in sizes:
        try:
            sizes[network] = most_bytes(cell)
        except (UserError, CompressionError) as error:
            sizes[network] = str(error)
    return sizes[network]


def _bounded(lines: Iterable[tuple[str, str]]) -> Iterator[Block]:
    """The first few lines of each of the first reasons, and the number of further ones. Takes pairs (reason, line)."""
    found: dict[str, list[str]] = {}
    more: Counter[str] = Counter()
    for reason, line in lines:
        of_reason = found.setdefault(reason, [])
        if len(of_reason) < EXAMPLES:
            of_reason.append(line)
        else:
            more[reason] += 1
    shown: list[str] = []
    for reason in list(found)[:LISTED]:
        shown += found.pop(reason)
        shown += [f"… and {more[reason]} more: {reason}"] if more[reason] else []
    if found:
        rest = sum(len(of_reason) + more[reason] for reason, of_reason in found.items())
        shown.append(f"… and {rest} more, for {len(found)} other reasons")
    yield from map(Paragraph, shown)


def _by_method(plan: Plan, contents: Contents[Any]) -> Iterator[Block]:
    """A row per method and solver: its number of models, data sets and so on, and of cells by state."""
    sizes = ("models", "datasets", "sparsities", "seeds")
    values: dict[tuple[str, ...], tuple[set[object], ...]] = {}
    states: dict[tuple[str, ...], Counter[str]] = {}
    for cell in plan.cells:
        method, solver, *others = _axes(cell)
        for seen, value in zip(values.setdefault((method, solver), tuple(set() for _ in sizes)), others, strict=True):
            seen.add(value)
        states.setdefault((method, solver), Counter())[_state(_status(cell, contents))] += 1
    rows = [
        (
            *names,
            *map(str, (*map(len, values[names]), states[names].total(), *(states[names][name] for name in _STATES))),
        )
        for names in list(values)[:LISTED]
    ]
    counted = (*sizes, "cells", *_STATES)
    yield Table(texts(("method", "solver", *counted), numbers=counted, dropped=sizes), rows)
    if len(values) > LISTED:
        yield Paragraph(f"… and {len(values) - LISTED} more methods")


def _cells(plan: Plan, contents: Contents[Any]) -> Table:
    """The first cells; in front, which of several protocols."""
    protocol_of = _protocol_of(plan)
    rows = [
        (cell.key[:12], state(cell, contents), *([protocol_of(cell)] if protocol_of else []), *_axes(cell))
        for cell in plan.cells[:LISTED]
    ]
    titles = ("cell", "state", *(["protocol"] if protocol_of else []), *_AXES)
    return Table(texts(titles, numbers=("sparsity", "seed")), rows)


def _protocol_of(plan: Plan) -> Callable[[Cell], str] | None:
    """What tells a cell's protocol from the suite's others: its name or else its label; None if there are no others."""
    names = [protocol.choice.name for protocol in plan.suite.protocols]
    if len(names) == 1:
        return None
    return lambda cell: cell.protocol.name if names.count(cell.protocol.name) == 1 else cell.protocol.unversioned_label


def state(cell: Cell, contents: Contents[Any]) -> str:
    """`done`, `failed: STATUS` or `missing`; `missing: STATUS` if the attempt says nothing about the cell."""
    status = _status(cell, contents)
    simple = _state(status)
    return simple if status in (MISSING, Status.OK) else f"{simple}: {status}"


def _status(cell: Cell, contents: Contents[Any]) -> str:
    record = contents.record(cell.key)
    return MISSING if record is None else record.status


def _state(status: str) -> str:
    """`done`, `failed` or `missing`, from the status in the table of cells."""
    if status == MISSING or status in INCONCLUSIVE:
        return MISSING
    return DONE if status == Status.OK else FAILED


def counts(plan: Plan, contents: Contents[Any]) -> str:
    """`17 cells: 12 done, 1 failed, 4 missing; 2 excluded`."""
    states: Counter[str] = Counter()
    for status, number in Counter(_status(cell, contents) for cell in plan.cells).items():
        states[_state(status)] += number
    parts = ", ".join(f"{states[name]} {name}" for name in _STATES)
    return f"{len(plan.cells)} cells: {parts}" + (f"; {len(plan.excluded)} excluded" if plan.excluded else "")


def next_steps(statuses: Iterable[str]) -> list[str]:
    """How to run the missing and the failed cells; empty if all cells are ok."""
    states = Counter(map(_state, statuses))
    steps = {MISSING: "the same command runs them", FAILED: "--retry-failed tries them again"}
    return [f"\n{states[name]} cells {name}: {step}" for name, step in steps.items() if states[name]]


def time_left(plan: Plan, contents: Contents[Any]) -> str:
    """An estimate of the time that the missing cells need, in words."""
    missing = [cell for cell in plan.cells if _state(_status(cell, contents)) == MISSING]
    if not missing:
        return "nothing left to run"
    records = ((cell, contents.record(cell.key)) for cell in plan.cells)
    timings = {cell: record.wall_s for cell, record in records if record is not None and record.status is Status.OK}
    left = work_left(missing, timings)
    if left is None:
        return f"time left: unknown until a first cell has run{_to_measure(plan, len(missing))}"
    work_s, guessed = left
    guess = f"; {guessed} cells of a kind not timed yet, taken as the mean" if guessed else ""
    return f"time left: about {duration(work_s)} of work, one cell at a time{guess}"


def _to_measure(plan: Plan, cells: int) -> str:
    """What is known of a metered suite before any cell has run: how long measuring takes at least."""
    suite = plan.suite
    if not suite.resources.gpus or suite.energy.meter == "none":
        return ""
    least = duration(cells * suite.energy.least_s)
    return f"; measuring takes at least {least} of it, or as long as the trainings, one cell at a time"


def work_left(cells: Iterable[Cell], timings: Mapping[Cell, float]) -> tuple[float, int] | None:
    """Seconds of work for `cells`, one after another, and how many of them are a guess; None if nothing was timed yet.

    A cell takes the mean seconds of the timed cells with the same network, data, method and solver. Without such a
    cell it is a guess: the mean of all timings.
    """
    if not timings:
        return None
    by_kind: dict[tuple[str, ...], list[float]] = {}
    for cell, seconds in timings.items():
        by_kind.setdefault(_kind(cell), []).append(seconds)
    overall = mean(timings.values())
    means = {kind: mean(seconds) for kind, seconds in by_kind.items()}
    known = [means.get(_kind(cell)) for cell in cells]
    return sum(overall if s is None else s for s in known), known.count(None)


def _kind(cell: Cell) -> tuple[str, ...]:
    choices = (cell.protocol, cell.model, cell.dataset, cell.method, cell.solver)
    return tuple(choice.canonical_json if choice else "" for choice in choices)


def _axes(cell: Cell) -> tuple[str, ...]:
    return (
        cell.method.label,
        cell.solver.label if cell.solver else "–",
        cell.model.label,
        cell.dataset.label,
        "schedule" if cell.sparsity is None else f"{cell.sparsity:g}",
        str(cell.seed),
    )
