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
    return Plan(suite, tuple(planned.values()), tuple(excluded.values()), _notes(suite))


def _block_cells(suite: Suite, block: Block) -> Iterator[Cell]:
    protocol = suite.protocol.choice
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
    for rule in exclusions:
        facts = {
            "model": cell.model.name,
            "dataset": cell.dataset.name,
            "method": cell.method.name,
            "solver": cell.solver.name if cell.solver else None,
            "sparsity": cell.sparsity,
            "seed": cell.seed,
        }
        asked = rule.model_dump(exclude={"reason"}, exclude_none=True)
        if asked and all(facts[name] == value for name, value in asked.items()):
            return rule.reason
    return None


def _notes(suite: Suite) -> tuple[str, ...]:
    if not isinstance(suite.protocol, Standard):
        return ()
    sparsities = sorted({s for block in suite.grid for s in block.sparsities or [] if s})
    return tuple(note for s in sparsities if (note := suite.protocol.note(s)))
