"""Seeds until decided: what one look at a run decides, and which rows of its plan go on to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dtcbench.analysis.verdicts import DECIDED, Comparison, Conclusion
from dtcbench.execution.watcher import Watcher
from dtcbench.plan.cell import Cell
from dtcbench.plan.claim import Claim
from dtcbench.plan.grid import Plan
from dtcbench.plan.looks import Look, LooksTaken
from dtcbench.record import INCONCLUSIVE
from dtcbench.records.lookup import plan_in
from dtcbench.records.run import Run
from dtcbench.records.store import Store
from dtcbench.records.writer import Writer


def next_look(plan: Plan, writer: Writer, watcher: Watcher, claims: Sequence[Claim]) -> Plan | None:
    """Look at the cells of `plan`, keep what that decides, and plan the next seeds; None if nothing goes on.

    A cell that has not ended yet puts the look off: None then too. The look depends on the records of the plan's cells
    alone, so a run that was killed and resumed decides the same; and if nothing went on, it is taken again by each
    later run, which finds more only if failed cells were run again.
    """
    store, seeds = writer.store, plan.suite.growing
    if seeds is None or not _ended(plan, store):
        return None
    known = store.looks_taken() or LooksTaken(seeds=seeds, looks=[])
    before = known.looks[: plan.looks - 1]
    look = taken(plan, Run.of(plan, store).claims(claims=claims), before)
    now = LooksTaken(seeds=seeds, looks=[*before, look])
    if now != known:
        writer.save_looks(now)
    watcher.looked(look)
    return plan_in(store, plan.suite, plan.names) if look.rows else None


def _ended(plan: Plan, store: Store) -> bool:
    """Whether every cell of the plan has a record that says how it ended."""
    contents = store.outlines()
    records = (contents.record(cell.key) for cell in plan.cells)
    return all(record is not None and record.status not in INCONCLUSIVE for record in records)


def taken(plan: Plan, conclusions: Sequence[Conclusion], before: Sequence[Look]) -> Look:
    """What the look at the cells of `plan` decides that the looks `before` had not, and what goes on. Pure.

    A comparison goes on if more seeds would decide it and its claim is undecided; so do its dense cells.
    """
    growing = plan.suite.growing
    if growing is None:
        raise ValueError(f"the seeds of suite {plan.suite.name} do not grow")
    seeds = len(growing.until(plan.looks - 1))
    known = {line for look in before for line in look.decided}
    undecided = [(one.id, comparison) for one in conclusions for comparison in one.undecided]
    rows = _rows(plan.cells, (comparison for _, comparison in undecided)) if seeds < growing.most else ()
    return Look(
        seeds=seeds,
        decided=[line for line in _decided(conclusions) if line not in known],
        open=[f"{claim}: {comparison.where}" for claim, comparison in undecided],
        rows=list(rows),
    )


def _decided(conclusions: Iterable[Conclusion]) -> Iterator[str]:
    """A line per comparison and per claim that has a verdict."""
    for one in conclusions:
        decided = (comparison for comparison in one.comparisons if comparison.verdict in DECIDED)
        yield from (f"{one.id}: {comparison.where}: {comparison.verdict}" for comparison in decided)
        if one.verdict in DECIDED:
            yield f"{one.id}: {one.verdict}"


def _rows(cells: Sequence[Cell], comparisons: Iterable[Comparison]) -> Iterator[str]:
    """The rows, in plan order, of the comparisons' cells, each with its dense row."""
    compared = {key for comparison in comparisons for key in comparison.cells}
    of_comparisons = [cell for cell in cells if cell.key in compared]
    places = {_place(cell) for cell in of_comparisons}
    going_on = {cell.row for cell in of_comparisons}
    going_on |= {cell.row for cell in cells if cell.is_dense and _place(cell) in places}
    return (row for row in dict.fromkeys(cell.row for cell in cells) if row in going_on)


def _place(cell: Cell) -> tuple[str, ...]:
    """What a cell shares with its dense cell, apart from the seed."""
    return tuple(choice.canonical_json for choice in (cell.protocol, cell.model, cell.dataset))
