"""How long the missing cells of a plan will take, from the ones that have run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean

from dtcbench.plan.cell import Cell


def estimate(cells: Iterable[Cell], timings: Mapping[Cell, float]) -> tuple[float, int] | None:
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
