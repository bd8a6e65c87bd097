"""Some cells of a bundle, run again here and held against their records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from dtcbench.analysis.stats import MIN_SEEDS
from dtcbench.execution.task import Job, Task
from dtcbench.execution.worker import attempt
from dtcbench.plan.cell import Cell
from dtcbench.plan.joule_budget import has_joule_budget
from dtcbench.plan.metering import Metering
from dtcbench.plan.protocol import from_choice
from dtcbench.plan.request import Request
from dtcbench.publish.compare import conditions, differences, numbers
from dtcbench.record import CellRecord, Provenance, Status
from dtcbench.registry import Plugin

Outcome = Literal["same", "within the spread", "DIFFERS", "not judged", "not run"]
"""Of a cell that was run again."""
FAILURES: frozenset[Outcome] = frozenset({"DIFFERS", "not run"})
"""Outcomes that do not reproduce the record."""
_SHOWN = 3
"""Differences that a reason names."""


def sample(records: Iterable[CellRecord], count: int, seed: int) -> list[CellRecord]:
    """So many of the ok records, by a seed that anyone can state: those whose hash of seed and key is smallest.

    No generator is in it, so that the choice is the same everywhere, and a larger sample holds the smaller one.
    """
    ok = (record for record in records if record.status is Status.OK)
    return sorted(ok, key=lambda record: hashlib.sha256(f"{seed}:{record.key}".encode()).digest())[:count]


def rerun(record: CellRecord, plugins: tuple[Plugin, ...] = ()) -> CellRecord:
    """The record of the same cell, run in this process and without a meter."""
    device = record.provenance.device if record.provenance else "cpu"
    request = Request(from_choice(record.cell.protocol).threads, 1.0 if device == "cuda" else 0.0)
    job = Job(record.suite, device, request, Metering(meter="none"), plugins=plugins)
    steps = record.result.steps if record.result and has_joule_budget(record.cell) else None
    return CellRecord.model_validate(attempt(Task(record.cell, 1, job, steps=steps)).record)


def judge(recorded: CellRecord, again: CellRecord, row: Sequence[float]) -> tuple[Outcome, str]:
    """The outcome and its reason: bit for bit if both were made under the same conditions, else within the spread of
    `row`, the recorded scores of the cell's row, one per seed.
    """
    if again.result is None or recorded.result is None or again.provenance is None or recorded.provenance is None:
        outcome: Outcome = "DIFFERS" if again.status is Status.DIVERGED else "not run"
        return (outcome, f"{again.status}: {again.reason}")
    found = list(differences(numbers(recorded.result), numbers(again.result)))
    if not found:
        return ("same", "bit for bit")
    first = "; ".join(f"{place}: {one} recorded, {other} here" for place, one, other in found[:_SHOWN])
    if not (unlike := _unlike(recorded.provenance, again.provenance)):
        return ("DIFFERS", f"under the same conditions {len(found)} numbers differ: {first}")
    ours, theirs = again.result.score, recorded.result.score
    if ours is None or theirs is None:
        return ("DIFFERS" if ours != theirs else "not judged", f"without R2; other {unlike}")
    off, spread = abs(theirs - ours), max(row) - min(row)
    name = "R2" if recorded.result.is_regression else "accuracy"
    both = f"{name} {theirs:.6f} recorded, {ours:.6f} here; other {unlike}"
    if len(row) < MIN_SEEDS:
        return ("not judged", f"{both}; {len(row)} seeds give no spread to judge it by")
    if off <= spread:
        return ("within the spread", f"{both}; {off:.6f} apart, the seeds {spread:.6f}")
    return ("DIFFERS", f"{both}; {off:.6f} apart, more than the seeds, {spread:.6f}")


def row_scores(records: Iterable[CellRecord]) -> Callable[[Cell], list[float]]:
    """By cell, the recorded accuracies of its row, or R2 of a regression, one per seed."""
    rows: dict[str, list[float]] = {}
    for record in records:
        if record.result is not None and (score := record.result.score) is not None:
            rows.setdefault(record.cell.row, []).append(score)
    return lambda cell: rows[cell.row]


def _unlike(recorded: Provenance, here: Provenance) -> str:
    """In what two stacks differ, in words; empty where in nothing."""
    one, other = conditions(recorded), conditions(here)
    names = [name for name in [*one, *(other.keys() - one.keys())] if one.get(name) != other.get(name)]
    if recorded.dataset_sha256 is None:  # a record of schema version 4: nothing says that its data were others
        names = [name for name in names if name != "data set"]
    return ", ".join(f"{name} ({one.get(name)} recorded, {other.get(name)} here)" for name in names)
