"""Runs and cells by what a person types: a folder or a name under runs/, the first digits of a key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from dtcbench.errors import UserError, alike
from dtcbench.plan.cell import Cell
from dtcbench.plan.document import Document, Mistake, SuiteError
from dtcbench.plan.grid import Plan, expand
from dtcbench.plan.names import REGISTERED, Declared, Names
from dtcbench.plan.suite import NAME, Suite, parse
from dtcbench.record import CellRecord
from dtcbench.records.location import AnyPath, StoreError, place
from dtcbench.records.store import Store
from dtcbench.unavailable import Unavailable

RUNS = Path("runs")
_KEY = re.compile(r"[0-9a-fA-F]{1,64}")


def run_of(suite: str, folder: str | None) -> Store:
    """The run of the suite named so: in `folder`, a path or an address, if given, else under runs/."""
    return Store(place(folder) if folder else RUNS / suite)


def run_of_text(text: str, file: str, folder: str | None) -> Store | None:
    """The run that a suite's text would resume, even if the suite has mistakes; None if it does not exist yet."""
    name = Document.read(text, file).value.get("name")
    store = run_of(name, folder) if isinstance(name, str) and NAME.fullmatch(name) else None
    return store if store is not None and store.suite.is_file() else None


def run_named(folder: str) -> Store:
    """The run in `folder`, or under runs/ by that name; StoreError, with near matches, where neither holds one."""
    there, named = place(folder), RUNS / folder
    store = Store(named if not there.exists() and named.exists() else there)
    close = [] if store.suite.is_file() else alike(there.name, (run.root.name for run in all_runs()))
    if below := [] if store.suite.is_file() else _runs_in(store.root):
        listed = " or ".join(str(run.root) for run in below)
        raise StoreError(f"{store.root} holds no run itself (no suite.yaml); name one in it: {listed}")
    if close:
        raise StoreError(f"{store.root} holds no run (no suite.yaml); did you mean {' or '.join(map(repr, close))}?")
    return store.existing()


def _runs_in(folder: AnyPath) -> list[Store]:
    """The runs that lie in a folder of this machine."""
    return [Store(file.parent) for file in sorted(folder.glob("*/suite.yaml"))] if isinstance(folder, Path) else []


def names_of(store: Store) -> Names:
    """What the names in a run's suite mean: as the run declares them, else as the loaded code registers them.

    SuiteError where the declaration cannot be read.
    """
    if not store.names.is_file():
        return REGISTERED
    try:
        return Declared.model_validate_json(store.names.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise SuiteError([Mistake(store.names.name, 0, "", f"it cannot be read: {reason}")]) from None


def plan_of(store: Store) -> Plan:
    """The plan of a run's suite, which needs no plug-in of it; errors bear the suite's path."""
    names = names_of(store)
    return plan_in(store, parse(store.suite.read_text(encoding="utf-8"), str(store.suite), names), names)


def plan_in(store: Store, suite: Suite, names: Names = REGISTERED) -> Plan:
    """The plan of a suite in this folder: if its seeds grow, with the cells of the looks that the run has taken.

    StoreError if those looks were at other seeds: the error rate holds for one sequence of looks.
    """
    taken = store.looks_taken() if suite.growing else None
    if taken is None:
        return expand(suite, names)
    if taken.seeds != suite.growing:
        raise StoreError(
            f"{store.looks}: the run was looked at with seeds {taken.seeds}, and the suite now has {suite.growing}; "
            "bring those back, or choose another folder with --out"
        )
    return expand(suite, names, taken.rows)


def up_to_whole_look(plan: Plan, store: Store) -> Plan:
    """The plan without the seeds of a look in progress, which have no record in part; else the plan itself.

    A run that was stopped on its way to a look has all of the look before.
    """
    taken = store.looks_taken() if plan.looks > 1 else None
    have_record = store.files().keys()
    if taken is None or all(cell.key in have_record for cell in plan.cells):
        return plan
    return expand(plan.suite, plan.names, taken.rows[: plan.looks - 2])


def refuse_missing_code(store: Store) -> None:
    """UserError where the run's suite names values whose code is not loaded: running a cell needs it."""
    names = names_of(store)
    if isinstance(names, Declared) and (missing := names.missing(REGISTERED)):
        raise UserError(f"{store.root}: {'; '.join(missing)}")


def folders() -> list[Store]:
    """Every folder under runs/, by name, whether it holds a run or not."""
    return [Store(folder) for folder in sorted(RUNS.glob("*"))]


def all_runs() -> list[Store]:
    """Every run under runs/, by name."""
    return [store for store in folders() if store.suite.is_file()]


def attempts_at(key: str, among: Sequence[Store]) -> tuple[Store, tuple[CellRecord, ...], tuple[str, ...]]:
    """The run that holds the one cell whose key begins so, its records there, and what could not be read.

    Files' names say which cells they are of: only that cell's are read. UserError where it is not one cell, or none
    of its records can be read.
    """
    key = _digits(key)
    found: list[tuple[Store, str]] = []
    searched: list[Store] = []
    notes: list[str] = []
    for store in among:
        try:
            files = store.files()
            if not store.suite.is_file():
                notes += [f"{store.root}: skipped: it has records, but no suite.yaml"] if files else []
                continue
        except OSError as error:
            notes.append(f"{store.root}: skipped: {error.strerror or error}")
            continue
        searched.append(store)
        found += [(store, full) for full in files if full.startswith(key)]
    if len(found) > 1:
        which = "\n".join(f"  {full[:12]} in {store.root}" for store, full in found)
        if len({full for _, full in found}) == 1:
            raise UserError(f"cell {found[0][1][:12]} is in {len(found)} runs; name one of them with --run:\n{which}")
        raise UserError(f"{len(found)} cells begin with {key!r}; give more digits, or the run with --run:\n{which}")
    if not found:
        where = (
            ", ".join(str(store.root) for store in searched) or f"{RUNS}/, which has no run: name its folder with --run"
        )
        message = f"no record of a cell {key!r} in {where}; `dtcbench plan SUITE --all` lists the keys"
        raise UserError("\n".join([message, *notes]))
    ((store, full),) = found
    records: list[CellRecord] = []
    for name, record in store.examined(full):
        if isinstance(record, Unavailable):
            notes.append(f"{store.root / name}: not shown: {record}")
        else:
            records.append(record)
    if not records:
        raise UserError("\n".join([f"no record of cell {full[:12]} can be read", *notes]))
    return store, tuple(sorted(records, key=lambda record: record.attempt)), tuple(notes)


def one_cell(key: str, cells: Sequence[Cell]) -> Cell:
    """The one of `cells` whose key begins so; UserError where it is not one."""
    digits = _digits(key)
    found = [cell for cell in cells if cell.key.startswith(digits)]
    if len(found) != 1:
        lists = "`dtcbench plan SUITE --all` lists the keys"
        raise UserError(f"--cell {key}: {len(found)} cells of the suite begin so; {lists}")
    return found[0]


def _digits(key: str) -> str:
    """The beginning of a key in small letters; UserError if the text cannot be one."""
    if not _KEY.fullmatch(key):
        raise UserError(f"{key!r} is not the beginning of a cell's key: give 1 to 64 of the digits 0-9 and a-f")
    return key.lower()
