"""How long the missing cells of a plan will take, from the ones that have run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean

from dtcbench.plan.cell import Cell


@dataclass(frozen=True)
class TimeLeft:
    """Seconds of work for some cells, one after another."""

    work_s: float
    guessed: int
    """Cells without a timed cell of the same kind: estimated by the mean of all timings."""


def estimate(cells: Iterable[Cell], timings: Mapping[Cell, float]) -> TimeLeft | None:
    """Work for `cells`, by the mean seconds of timed cells with the same network, data, method and
    solver; None if nothing was timed yet."""
    if not timings:
        return None
    by_kind: dict[tuple[str, ...], list[float]] = {}
    for cell, seconds in timings.items():
        by_kind.setdefault(_kind(cell), []).append(seconds)
    overall = mean(timings.values())
    means = {kind: mean(seconds) for kind, seconds in by_kind.items()}
    known = [means.get(_kind(cell)) for cell in cells]
    return TimeLeft(sum(overall if s is None else s for s in known), known.count(None))


def _kind(cell: Cell) -> tuple[str, ...]:
    choices = (cell.protocol, cell.model, cell.dataset, cell.method, cell.solver)
    return tuple(choice.canonical_json if choice else "" for choice in choices)
