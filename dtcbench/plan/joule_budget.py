"""Cells that train for the joules that another cell of their seed has used: whose joules those are. Pure.

The steps follow from what was measured: as many as the dense cell of the seed could have taken for those joules. So
such a cell runs after both, and its record's `steps` say how many it was given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from dtcbench.plan.cell import Cell

GIVER = "dtc"
"""The method whose joules are the budget."""


@dataclass(frozen=True, slots=True)
class Givers:
    """The keys of the cells that decide a budget of joules."""

    dense: str
    """The dense cell of the pool and seed: it tells the joules of a step."""
    compressed: str
    """The first `dtc` cell of the pool, seed and sparsity: it tells the budget."""


class Measured(NamedTuple):
    """How joules were measured: those of two cells compare if it is the same."""

    board: str | None
    method: str
    scope: str


def has_joule_budget(cell: Cell) -> bool:
    """Whether the cell trains for as many joules as another one has used."""
    return bool(cell.method.values.get("budget") == "joules")


def givers(cells: Iterable[Cell]) -> dict[str, Givers]:
    """By the key of each cell with a budget of joules, the cells that decide it; without one of them it is left out.

    Parameters
    ----------
    cells : a plan's, in its order
    """
    cells = tuple(cells)
    wanting = [cell for cell in cells if has_joule_budget(cell)]
    if not wanting:
        return {}
    dense = {_pool(cell): cell.key for cell in reversed(cells) if cell.is_dense}
    compressed = {(*_pool(cell), cell.sparsity): cell.key for cell in reversed(cells) if cell.method.name == GIVER}
    return {
        cell.key: Givers(dense[_pool(cell)], compressed[*_pool(cell), cell.sparsity])
        for cell in wanting
        if _pool(cell) in dense and (*_pool(cell), cell.sparsity) in compressed
    }


def unlike(dense: Measured, compressed: Measured) -> str:
    """In what the joules of the two givers do not compare, in words; empty where in nothing."""
    names = ("boards", "methods", "scopes")
    found = [
        f"other {name} ({one}, {other})"
        for name, one, other in zip(names, dense, compressed, strict=True)
        if one != other
    ]
    return ", ".join(found)


def steps_for_joules(budget_j: float, dense_j: float, dense_steps: int) -> int:
    """The most steps that the dense network takes for `budget_j` joules, if `dense_steps` of them take `dense_j`."""
    return math.floor(budget_j * dense_steps / dense_j)


def _pool(cell: Cell) -> tuple[str, str, str, int]:
    return cell.protocol.canonical_json, cell.model.canonical_json, cell.dataset.canonical_json, cell.seed
