"""From a suite to its cells, in a fixed order, and what was left out of them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dtcbench.plan.cell import Cell, Choice
from dtcbench.plan.names import REGISTERED, Names
from dtcbench.plan.protocol import Published
from dtcbench.plan.suite import Block, Suite

REMOVES_NOTHING = "sparsity 0 removes nothing: the dense cell covers it"


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, each once, in the order of the tables. They start in it, too, except on metered GPUs, where
    the order within a lane is drawn (`execution/driver.py`)."""

    suite: Suite
    cells: tuple[Cell, ...]
    excluded: dict[Cell, str]
    """The points of the grid that are not run, each with the reason."""
    notes: tuple[str, ...]
    """What a reader of the plan should know, such as a schedule made steeper."""
    names: Names = REGISTERED
    """What the names of models, data sets, methods, solvers and plug-ins' protocols mean."""
    looks: int = 1
    """How many looks its cells are for; more than one only if its seeds grow until decided."""


def expand(suite: Suite, names: Names = REGISTERED, further: Sequence[Collection[str]] = ()) -> Plan:
    """Every cell of the suite: look by look, block by block, protocol by protocol, seed by seed, dense first.

    Dense is planned once per (model, dataset, protocol, seed), also if several blocks share it. All cells share the
    suite's choices.

    Parameters
    ----------
    names : those it was parsed with
    further : per look after the first, the keys at seed 0 (`Cell.row`) of the rows that have all seeds up to it
    """
    planned: dict[str, Cell] = {}
    excluded: dict[Cell, str] = {}
    rules = [(rule.shared, rule.reason) for rule in suite.exclude]
    used: set[int] = set()
    for cell in _candidates(suite, names, further):
        concerning = _concerning(rules, cell)
        used.update(concerning)
        if cell.sparsity == 0 and cell.method.name != "dense":
            excluded.setdefault(cell, REMOVES_NOTHING)
        elif concerning:
            excluded.setdefault(cell, rules[concerning[0]][1])
        else:
            planned.setdefault(cell.key, cell)
    unused = [
        f"exclude[{number}] ({reason}) concerns no cell of this suite"
        for number, (_, reason) in enumerate(rules)
        if number not in used
    ]
    notes = (*_notes_on_the_schedule(suite), *unused)
    return Plan(suite, tuple(planned.values()), excluded, notes, names, 1 + len(further))


def _candidates(suite: Suite, names: Names, further: Sequence[Collection[str]]) -> Iterator[Cell]:
    """The points of the grid at the first look, and those of the rows that go on at each further one."""
    for block in suite.grid:
        yield from _block_cells(suite, block, names, block.first_seeds)
    for look, rows in enumerate(further, 1):
        for block in suite.grid:
            seeds = suite.growing.until(look) if suite.growing else ()
            yield from (cell for cell in _block_cells(suite, block, names, seeds) if cell.row in rows)


def _block_cells(suite: Suite, block: Block, names: Names, seeds: Iterable[int]) -> Iterator[Cell]:
    protocols = [protocol.choice for protocol in suite.protocols_of(block)]
    # Dense with another stream is a control beside the baseline, which is always there.
    dense = [Choice(name="dense"), *(method for method in block.methods if method.name == "dense" and method.options)]
    compressed = [
        (method, sparsity, solver)
        for method, sparsity in itertools.product(block.methods, _sparsities(block))
        if method.name != "dense"
        for solver in _solvers(block, method, names)
    ]
    for protocol, model, dataset, seed in itertools.product(protocols, block.models, block.datasets, seeds):
        for method, sparsity, solver in (*((method, 0.0, None) for method in dense), *compressed):
            yield Cell(
                protocol=protocol,
                model=model,
                dataset=dataset,
                method=method,
                solver=solver,
                sparsity=sparsity,
                seed=seed,
            )


def _sparsities(block: Block) -> Sequence[float | None]:
    return [None] if block.sparsities is None else block.sparsities


def _solvers(block: Block, method: Choice, names: Names) -> Sequence[Choice | None]:
    return block.solvers if names.meaning("method", method.name).uses_solver else [None]


def _concerning(rules: Sequence[tuple[dict[str, list[Any]], str]], cell: Cell) -> list[int]:
    """The numbers of the rules that exclude the cell: it has one of the values that such a rule names on each axis."""
    if not rules:
        return []
    facts = {
        "model": cell.model.name,
        "dataset": cell.dataset.name,
        "method": cell.method.name,
        "solver": cell.solver.name if cell.solver else None,
        "sparsity": cell.sparsity,
        "seed": cell.seed,
    }
    return [
        number
        for number, (shared, _) in enumerate(rules)
        if all(facts[axis] in values for axis, values in shared.items())
    ]


def _notes_on_the_schedule(suite: Suite) -> Iterator[str]:
    notes = {
        (sparsity, protocol.note(sparsity))
        for block in suite.grid
        for sparsity in block.sparsities or []
        for protocol in suite.protocols_of(block)
        if sparsity and not isinstance(protocol, Published)
    }
    yield from (note for _, note in sorted(notes, key=str) if note)
