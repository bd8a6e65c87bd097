"""A plan and a run's state on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dtcbench.plan.cell import Cell
from dtcbench.plan.estimate import estimate
from dtcbench.plan.grid import Plan
from dtcbench.plan.names import Labels
from dtcbench.records.record import INCONCLUSIVE, Status
from dtcbench.records.store import Contents
from dtcbench.records.tables import MISSING

DONE, FAILED = "done", "failed"


def plan_view(plan: Plan, contents: Contents[Any]) -> RenderableType:
    """Every cell with its state, what is excluded and why, notes, and an estimate of the time left."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("cell", "state", "method", "solver", "model", "dataset"):
        table.add_column(column, no_wrap=column in ("cell", "state"), overflow="fold")
    for column in ("sparsity", "seed"):
        table.add_column(column, justify="right")
    labels = Labels(plan.names)
    for cell in plan.cells:
        table.add_row(*map(Text, (cell.key[:12], state(cell, contents), *_axes(cell, labels))))
    excluded = [Text(f"excluded: {e.cell.label}: {e.reason}") for e in plan.excluded]
    notes = [Text(f"note: {note}") for note in plan.notes]
    return Group(table, *excluded, *notes, Text(counts(plan, contents)), Text(time_left(plan, contents)))


def status_view(plan: Plan, contents: Contents[Any]) -> RenderableType:
    """Counts by status, each failure with its reason, damaged records, time left."""
    records = [(cell, contents.record(cell.key)) for cell in plan.cells]
    failures = [
        Text(f"{record.status}: {cell.label} (cell {cell.key[:12]}, attempt {record.attempt}): {record.reason}")
        for cell, record in records
        if record is not None and record.status is not Status.OK
    ]
    damaged = [Text(f"damaged record: {damaged}") for damaged in contents.damaged]
    planned = {cell.key for cell in plan.cells}
    others = len(contents.attempts.keys() - planned)
    unplanned = [Text(f"{others} further cells have records, but the suite no longer plans them")] if others else []
    head = Text(f"{plan.suite.name}: {counts(plan, contents)}", style="bold")
    return Group(head, *failures, *damaged, *unplanned, Text(time_left(plan, contents)))


def state(cell: Cell, contents: Contents[Any]) -> str:
    """`done`, `failed: STATUS`, `missing`, or `missing: STATUS` of an attempt that says nothing of the cell."""
    record = contents.record(cell.key)
    status = MISSING if record is None else record.status.value
    simple = _state(status)
    return simple if status in (MISSING, Status.OK) else f"{simple}: {status}"


def _state(status: str) -> str:
    """`done`, `failed` or `missing`, by a cell's status in the table of cells."""
    if status == MISSING or status in INCONCLUSIVE:
        return MISSING
    return DONE if status == Status.OK else FAILED


def counts(plan: Plan, contents: Contents[Any]) -> str:
    """`17 cells: 12 done, 1 failed, 4 missing; 2 excluded`."""
    states = Counter(state(cell, contents).partition(":")[0] for cell in plan.cells)
    parts = ", ".join(f"{states[name]} {name}" for name in (DONE, FAILED, MISSING))
    return f"{len(plan.cells)} cells: {parts}" + (f"; {len(plan.excluded)} excluded" if plan.excluded else "")


def next_steps(statuses: Iterable[str]) -> list[str]:
    """What to type for the cells that are not done, by all cells' statuses; nothing where all are."""
    states = Counter(map(_state, statuses))
    steps = {MISSING: "the same command runs them", FAILED: "--retry-failed tries them again"}
    return [f"\n{states[name]} cells {name}: {step}" for name, step in steps.items() if states[name]]


def time_left(plan: Plan, contents: Contents[Any]) -> str:
    """What the missing cells will take, in words."""
    records = {cell: contents.record(cell.key) for cell in plan.cells}
    missing = [cell for cell in plan.cells if state(cell, contents).startswith(MISSING)]
    timings = {c: r.wall_s for c, r in records.items() if r is not None and r.status is Status.OK}
    if not missing:
        return "nothing left to run"
    left = estimate(missing, timings)
    if left is None:
        return "time left: unknown until a first cell has run"
    guess = f"; {left.guessed} cells of a kind not timed yet, taken as the mean" if left.guessed else ""
    return f"time left: about {duration(left.work_s)} of work, one cell at a time{guess}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _axes(cell: Cell, labels: Labels) -> tuple[str, ...]:
    return (
        labels.of("method", cell.method),
        labels.of("solver", cell.solver) if cell.solver else "–",
        labels.of("model", cell.model),
        labels.of("dataset", cell.dataset),
        "schedule" if cell.sparsity is None else f"{cell.sparsity:g}",
        str(cell.seed),
    )
