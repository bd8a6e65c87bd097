"""Runs of one suite, put together without loss: one folder per hardware class, and the union of their tables.

    OUT/HARDWARE/…                  a run's layout (records/store.py) with all records of that class
    OUT/tables/*.parquet            one row per cell and hardware class; `hardware` says which
    OUT/leaderboard.md              each class's leaderboard

So the same cell from two machines stays two rows. Which of two records that contradict each other is right, nobody
can tell here: a conflict is shown, and nothing is written.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import yaml

from dtcbench.errors import UserError
from dtcbench.plan.document import Document
from dtcbench.plan.grid import expand
from dtcbench.plan.names import REGISTERED, Declared, Names, NamesOfRuns, declared, together
from dtcbench.plan.suite import parse
from dtcbench.publish.bundle import slug
from dtcbench.publish.numbers import differences, numbers
from dtcbench.record import CellRecord
from dtcbench.records import mixing
from dtcbench.records.location import Place, make_folder, write
from dtcbench.records.runs import names_of
from dtcbench.records.store import Store
from dtcbench.records.tables import MISSING, parquet
from dtcbench.report import build
from dtcbench.report.markdown import leaderboard_markdown

UNKNOWN = "unknown hardware"
_DECIDES = ("name", "protocol", "exclude")
"""What of a suite, besides its grid, decides which cells it has: equal in all that are merged."""


@dataclass(frozen=True)
class Piece:
    """One record, and the run it lies in."""

    run: Store
    record: CellRecord


Pieces = dict[str, list[Piece]]
"""By hardware class, every record of it, by cell and the time it was begun."""


@dataclass(frozen=True)
class Conflict:
    """One cell that two runs on the same hardware class have other numbers of."""

    cell: str
    hardware_class: str
    runs: tuple[str, str]
    difference: str

    def __str__(self) -> str:
        return f"conflict: {self.cell} on {self.hardware_class}: {self.difference}, in {' and in '.join(self.runs)}"


def gather(runs: Sequence[Store]) -> Pieces:
    """Every record of the runs, by hardware class; one that ended before it knew its own has its run's only one."""
    pieces: Pieces = defaultdict(list)
    for run in runs:
        records = [record for attempts in run.read().attempts.values() for record in attempts]
        known = {record.provenance.hardware_class for record in records if record.provenance}
        only = known.pop() if len(known) == 1 else UNKNOWN
        for record in records:
            pieces[record.provenance.hardware_class if record.provenance else only].append(Piece(run, record))
    for of_class in pieces.values():
        of_class.sort(key=lambda piece: (piece.record.key, piece.record.started_at, piece.record.attempt))
    return dict(sorted(pieces.items()))


def conflicts(pieces: Pieces) -> Iterator[Conflict]:
    """Every cell of which ok records of one hardware class hold other numbers."""
    for hardware_class, of_class in pieces.items():
        first: dict[str, Piece] = {}
        for piece in of_class:
            if piece.record.result is None:
                continue
            stands = first.setdefault(piece.record.key, piece)
            if stands.record.result is None or stands is piece:
                continue
            differing = list(differences(numbers(stands.record.result), numbers(piece.record.result)))
            if differing:
                place, one, other = differing[0]
                cell = f"{piece.record.cell.label} ({piece.record.key[:12]})"
                more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
                runs = (str(stands.run.root), str(piece.run.root))
                yield Conflict(cell, hardware_class, runs, f"{place} {one} and {other}{more}")


def mixed(pieces: Pieces) -> Iterator[str]:
    """Every data set and plug-in that is not the same in all of the runs: their cells must not stand in one table."""
    records = [piece.record for of_class in pieces.values() for piece in of_class]
    found = sorted({source for record in records for source in mixing.sources(record)})
    yield from (f"conflict: {mixture}" for mixture in mixing.mixtures(found))


def write_union(pieces: Pieces, out: Place) -> list[Place]:
    """Write the folders of all hardware classes and the union of their tables; the paths of the tables.

    UserError where `out` holds something, or the suites are not parts of one.
    """
    if out.exists() and any(True for _ in out.iterdir()):
        raise UserError(f"{out} is not empty; choose another folder with --out")
    suites = {name: _suite_of(of_class) for name, of_class in pieces.items()}
    every = [piece for of_class in pieces.values() for piece in of_class]
    _suite_of(every)  # all of them must be of one suite
    names = _names_of(every)
    folders = folders_of(pieces)
    derived = {
        name: _write_class(of_class, suites[name], names, out / folders[name]) for name, of_class in pieces.items()
    }
    cells = _cells({name: one.tables.cells for name, one in derived.items()})
    cycles = pd.concat(one.tables.cycles.assign(hardware=name) for name, one in derived.items())
    boards = [replace(one.board, suite=f"{one.board.suite} on {name}") for name, one in derived.items()]
    files = {
        "tables/cells.parquet": parquet(cells),
        "tables/cycles.parquet": parquet(cycles),
        "leaderboard.md": "\n".join(map(leaderboard_markdown, boards)).encode(),
    }
    make_folder(out / "tables")
    for name, content in files.items():
        write(out / name, content)
    return [out / name for name in files]


def folders_of(hardware_classes: Iterable[str]) -> dict[str, str]:
    """By hardware class, its folder's name; classes that a name cannot tell apart have a number behind it."""
    folders: dict[str, str] = {}
    for name in hardware_classes:
        plain = slug([name])
        like_it = sum(folder == plain or folder.startswith(f"{plain}--") for folder in folders.values())
        folders[name] = f"{plain}--{1 + like_it}" if like_it else plain
    return folders


def union(texts: Sequence[str]) -> str:
    """The suite that plans what several suites of one name plan together; the first's words for all else.

    UserError where they differ in what decides a cell besides the grid.
    """
    documents = [Document.read(text, "suite.yaml").value for text in dict.fromkeys(texts)]
    for name in _DECIDES:
        if len(values := sorted({json.dumps(document.get(name), sort_keys=True) for document in documents})) > 1:
            raise UserError(
                f"the runs are not of one suite: their {name} differs: {' and '.join(values)}; merge runs of one suite"
            )
    if len(documents) == 1:
        return texts[0]
    grid: list[Any] = []
    grid += [block for document in documents for block in document["grid"] if block not in grid]
    return yaml.safe_dump({**documents[0], "grid": grid}, sort_keys=False, allow_unicode=True)


def _suite_of(pieces: Sequence[Piece]) -> str:
    runs = {str(piece.run.root): piece.run for piece in pieces}
    return union([run.suite.read_text(encoding="utf-8") for run in runs.values()])


def _names_of(pieces: Sequence[Piece]) -> Names:
    """What the names in all the runs' suites mean. UserError where a name means different things in two of them."""
    runs = {str(piece.run.root): piece.run for piece in pieces}
    parts = [names_of(run) for run in runs.values()]
    kept = [names for names in parts if isinstance(names, Declared)]
    try:
        return NamesOfRuns([together(kept), REGISTERED]) if kept else REGISTERED
    except ValueError as error:
        raise UserError(f"{error}; merge runs made with the same plug-ins") from None


def _write_class(pieces: Sequence[Piece], suite: str, names: Names, folder: Place) -> build.Derived:
    plan, store = expand(parse(suite, "suite.yaml", names), names), Store(folder)
    with store.locked():
        for piece, record in _numbered(pieces):
            traced = record.energy is not None and record.energy.trace_sha256 is not None
            source = piece.run.root / piece.run.trace_name(piece.record)
            store.append(record, source.read_bytes() if traced else None)
        plugins = {name: digest for piece in pieces for name, digest in _plugins(piece.record).items()}
        kept = declared(plan.suite, Document.read(suite, "suite.yaml").value, names, plugins)
        store.save_suite(plan.suite.name, suite, kept, store.outlines())
        derived = build.derive(plan, store)
        build.write(derived, store)
    return derived


def _plugins(record: CellRecord) -> dict[str, str]:
    return record.provenance.plugins if record.provenance else {}


def _numbered(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, CellRecord]]:
    """Every record once; one whose attempt's number another has already is given the cell's next free one."""
    taken: dict[str, dict[int, CellRecord]] = defaultdict(dict)
    highest: dict[str, int] = defaultdict(int)
    for piece in pieces:
        highest[piece.record.key] = max(highest[piece.record.key], piece.record.attempt)
    for piece in pieces:
        record, of_cell = piece.record, taken[piece.record.key]
        if record in of_cell.values():
            continue  # the very same record, which was copied from run to run
        if record.attempt in of_cell:
            highest[record.key] += 1
            record = record.model_copy(update={"attempt": highest[record.key]})
        of_cell[record.attempt] = record
        yield piece, record


def _cells(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of every class; a cell that is missing in all of them stands once, and of no hardware."""
    every = pd.concat(cells.assign(hardware=name) for name, cells in tables.items())
    is_missing = every["status"] == MISSING
    nowhere = every[is_missing & ~every["key"].isin(every["key"][~is_missing])].drop_duplicates("key")
    return pd.concat([every[~is_missing], nowhere.assign(hardware=None)]).reset_index(drop=True)
