"""From a suite to its cells, in a fixed order, and what was left out of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dtcbench import registry
from dtcbench.plan.cell import Cell, Choice
from dtcbench.plan.protocol import Standard
from dtcbench.plan.suite import Block, Exclusion, Suite


@dataclass(frozen=True)
class Excluded:
    """A point of the grid that will not be run, and why."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, in the order they are started; each stands once."""

    suite: Suite
    cells: tuple[Cell, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]
    """What a reader of the plan should know, such as a schedule made steeper."""


def expand(suite: Suite) -> Plan:
    """Every cell of the suite: block by block, seed by seed, dense first.

    Dense stands once per (model, dataset, protocol, seed), also where several blocks share it.
    """
    planned: dict[str, Cell] = {}
    excluded: dict[str, Excluded] = {}
    for cell in itertools.chain.from_iterable(_block_cells(suite, block) for block in suite.grid):
        reason = _reason_to_exclude(cell, suite.exclude)
        if reason is None:
            planned.setdefault(cell.key, cell)
        else:
            excluded.setdefault(cell.key, Excluded(cell, reason))
    points = [*planned.values(), *(e.cell for e in excluded.values())]
    notes = (*_notes_on_the_schedule(suite), *_notes_on_exclusions(suite, points))
    return Plan(suite, tuple(planned.values()), tuple(excluded.values()), notes)


def _block_cells(suite: Suite, block: Block) -> Iterator[Cell]:
    protocol = suite.protocol_of(block).choice
    dense = Choice(name="dense", options={})
    for model, dataset, seed in itertools.product(block.models, block.datasets, block.seeds):
        yield Cell(
            protocol=protocol,
            model=model,
            dataset=dataset,
            method=dense,
            solver=None,
            sparsity=0.0,
            seed=seed,
        )
        for method, sparsity in itertools.product(block.methods, _sparsities(block)):
            if method.name == "dense":
                continue
            for solver in _solvers(block, method):
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


def _solvers(block: Block, method: Choice) -> Sequence[Choice | None]:
    return block.solvers if registry.uses_solver(method.name) else [None]


def _reason_to_exclude(cell: Cell, exclusions: list[Exclusion]) -> str | None:
    if cell.sparsity == 0 and not cell.is_dense:
        return "sparsity 0 removes nothing: the dense cell covers it"
    return next((rule.reason for rule in exclusions if _concerns(rule, cell)), None)


def _concerns(rule: Exclusion, cell: Cell) -> bool:
    facts = {
        "model": cell.model.name,
        "dataset": cell.dataset.name,
        "method": cell.method.name,
        "solver": cell.solver.name if cell.solver else None,
        "sparsity": cell.sparsity,
        "seed": cell.seed,
    }
    return all(facts[name] == value for name, value in rule.shared.items())


def _notes_on_the_schedule(suite: Suite) -> Iterator[str]:
    notes = {
        (sparsity, protocol.note(sparsity))
        for block in suite.grid
        for sparsity in block.sparsities or []
        if sparsity and isinstance(protocol := suite.protocol_of(block), Standard)
    }
    yield from (note for _, note in sorted(notes, key=str) if note)


def _notes_on_exclusions(suite: Suite, points: Sequence[Cell]) -> Iterator[str]:
    for number, rule in enumerate(suite.exclude):
        if not any(_concerns(rule, cell) for cell in points):
            yield f"exclude[{number}] ({rule.reason}) concerns no cell of this suite"
