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
from dataclasses import replace
from typing import Any

import pandas as pd
import yaml

from dtcbench.energy.calibration import Calibration
from dtcbench.errors import UserError
from dtcbench.plan.document import Document
from dtcbench.plan.looks import LooksTaken
from dtcbench.plan.names import REGISTERED, Declared, Names, NamesOfRuns, declared, together
from dtcbench.plan.suite import parse
from dtcbench.publish.bundle import slug
from dtcbench.publish.compare import differences, numbers
from dtcbench.record import MISSING, CellRecord, Result
from dtcbench.records import mixing
from dtcbench.records.fixed_rules import FixedRules
from dtcbench.records.location import AnyPath, make_folder, write
from dtcbench.records.lookup import names_of, plan_in
from dtcbench.records.run import Run
from dtcbench.records.store import Store
from dtcbench.records.tables import filed, parquet
from dtcbench.report import build
from dtcbench.report.leaderboard_view import leaderboard_view
from dtcbench.report.markdown import markdown

UNKNOWN = "unknown hardware"
_DECIDES = ("name", "protocol", "exclude")
"""What of a suite, besides its grid, decides which cells it has: equal in all that are merged."""


Origins = dict[str, list[tuple[Store, CellRecord]]]
"""By hardware class, every record of it and the run that it comes from, by cell and starting time."""


def gather(runs: Sequence[Store]) -> Origins:
    """Every record of the runs, by hardware class; one that ended before it knew its own has its run's only one."""
    found: Origins = defaultdict(list)
    for run in runs:
        records = [record for attempts in run.read().attempts.values() for record in attempts]
        known = {record.provenance.hardware_class for record in records if record.provenance}
        only = known.pop() if len(known) == 1 else UNKNOWN
        for record in records:
            found[record.provenance.hardware_class if record.provenance else only].append((run, record))
    for of_class in found.values():
        of_class.sort(key=lambda one: (one[1].key, one[1].started_at, one[1].attempt))
    return dict(sorted(found.items()))


def conflicts(origins: Origins) -> Iterator[str]:
    """A line for each later ok record whose numbers differ from the first ok one of its cell and hardware class."""
    for hardware_class, of_class in origins.items():
        first: dict[str, tuple[Store, Result]] = {}
        for run, record in of_class:
            if record.result is None:
                continue
            known_run, known = first.setdefault(record.key, (run, record.result))
            if differing := list(differences(numbers(known), numbers(record.result))):
                place, one, other = differing[0]
                cell = f"{record.cell.label} ({record.key[:12]})"
                more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
                numbers_differ = f"{place} {one} and {other}{more}"
                yield f"conflict: {cell} on {hardware_class}: {numbers_differ}, in {known_run.root} and in {run.root}"


def calibrations(origins: Origins) -> Iterator[str]:
    """A line for each run whose calibration of a board is not that of the first run, which the union could not keep."""
    for of_class in origins.values():
        first: dict[str, tuple[Store, Calibration]] = {}
        for run in {str(run.root): run for run, _ in of_class}.values():
            for uuid, calibration in run.calibrations().items():
                known_run, known = first.setdefault(uuid, (run, calibration))
                if known != calibration:
                    yield f"conflict: {uuid} was calibrated twice, in {known_run.root} and in {run.root}"


def mixed(origins: Origins) -> Iterator[str]:
    """Every data set and plug-in that is not the same in all of the runs: their cells must not stand in one table."""
    records = (record for of_class in origins.values() for _, record in of_class)
    found = sorted({source for record in records for source in mixing.sources_of(record)})
    yield from (f"conflict: {mixture}" for mixture in mixing.mixtures(found))


def write_union(origins: Origins, out: AnyPath) -> list[AnyPath]:
    """Write the folders of all hardware classes and the union of their tables; the paths of the tables.

    UserError where `out` holds something, or the suites are not parts of one.
    """
    if out.exists() and any(True for _ in out.iterdir()):
        raise UserError(f"{out} is not empty; choose another folder with --out")
    stores = {name: list({str(run.root): run for run, _ in of_class}.values()) for name, of_class in origins.items()}
    every = list({str(run.root): run for of_class in stores.values() for run in of_class}.values())
    suites = {name: _suite_of(of_class) for name, of_class in stores.items()}
    _suite_of(every)  # all of them must be of one suite
    names = _names_of(every)
    folders = folders_of(origins)
    runs = {
        name: _write_class(of_class, suites[name], names, out / folders[name]) for name, of_class in origins.items()
    }
    cells = _cells({name: filed(run.cells) for name, run in runs.items()})
    cycles = pd.concat(run.cycles.assign(hardware=name) for name, run in runs.items())
    boards = [replace(run.leaderboard(), suite=f"{run.suite} on {name}") for name, run in runs.items()]
    files = {
        "tables/cells.parquet": parquet(cells),
        "tables/cycles.parquet": parquet(cycles),
        "leaderboard.md": "\n".join(markdown(leaderboard_view(board)) for board in boards).encode(),
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


def _suite_of(runs: Sequence[Store]) -> str:
    return union([run.suite.read_text(encoding="utf-8") for run in runs])


def _names_of(runs: Sequence[Store]) -> Names:
    """What the names in all the runs' suites mean. UserError if one, or a file, is not the same in two of them."""
    parts = [names_of(run) for run in runs]
    kept = [names for names in parts if isinstance(names, Declared)]
    try:
        return NamesOfRuns([together(kept), REGISTERED]) if kept else REGISTERED
    except ValueError as error:
        raise UserError(f"{error}; merge runs made with the same plug-ins and files") from None


def _write_class(records: Sequence[tuple[Store, CellRecord]], suite: str, names: Names, folder: AnyPath) -> Run:
    store = Store(folder)
    stores = {str(run.root): run for run, _ in records}.values()
    looks = [taken for run in stores if (taken := run.looks_taken())]
    with store.locked() as writer:
        if looks:
            writer.save_looks(LooksTaken.union(looks))
        plan = plan_in(store, parse(suite, "suite.yaml", names), names)
        run = Run.of(plan, store)
        for origin, there, record in _numbered(records):
            traced = record.energy is not None and record.energy.trace_sha256 is not None
            trace = origin.trace_path(there).read_bytes() if traced else None
            network = origin.network_path(there)
            writer.append(record, trace, network.read_bytes() if record.weights_sha256 and network.is_file() else None)
        plugins = {name: digest for _, record in records for name, digest in _plugins(record).items()}
        kept = declared(plan.suite, Document.read(suite, "suite.yaml").value, names, plugins)
        writer.save_suite(plan.suite.name, suite, kept, store.outlines())
        for calibration in {uuid: one for run in stores for uuid, one in run.calibrations().items()}.values():
            writer.save_calibration(calibration)
        if (rules := _rules_of([run for run, _ in records])) is not None:
            writer.fix_rules(rules)
        build.write(run, writer)
    return run


def _rules_of(runs: Iterable[Store]) -> FixedRules | None:
    """The sealed rules that all runs share, as they were first sealed; None if they do not."""
    sealed = [run.fixed_rules() for run in {str(run.root): run for run in runs}.values()]
    known = [rules for rules in sealed if rules is not None]
    alike = len(known) == len(sealed) and len({rules.sha256 for rules in known}) == 1
    return min(known, key=lambda rules: rules.fixed_at) if alike else None


def _plugins(record: CellRecord) -> dict[str, str]:
    return record.provenance.plugins if record.provenance else {}


def _numbered(records: Sequence[tuple[Store, CellRecord]]) -> Iterator[tuple[Store, CellRecord, CellRecord]]:
    """Every record once: its run, the record as it is there, and as it is here. If another record has its attempt's
    number already, it is given the cell's next free one.
    """
    taken: dict[str, dict[int, CellRecord]] = defaultdict(dict)
    highest: dict[str, int] = defaultdict(int)
    for _, record in records:
        highest[record.key] = max(highest[record.key], record.attempt)
    for run, record in records:
        there, of_cell = record, taken[record.key]
        if record in of_cell.values():
            continue  # the very same record, which was copied from run to run
        if record.attempt in of_cell:
            highest[record.key] += 1
            record = record.model_copy(update={"attempt": highest[record.key]})
        of_cell[record.attempt] = record
        yield run, there, record


def _cells(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of every class; a cell that is missing in all of them stands once, and of no hardware."""
    every = pd.concat(cells.assign(hardware=name) for name, cells in tables.items())
    is_missing = every["status"] == MISSING
    nowhere = every[is_missing & ~every["key"].isin(every["key"][~is_missing])].drop_duplicates("key")
    return pd.concat([every[~is_missing], nowhere.assign(hardware=None)]).reset_index(drop=True)
