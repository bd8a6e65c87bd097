"""Everything that is derived from a run's records, rebuilt: tables, leaderboard, Markdown, CSV, LaTeX, page,
figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dtcbench.analysis import leaderboard
from dtcbench.analysis.verdicts import Conclusion
from dtcbench.errors import UserError
from dtcbench.plan.cell import Cell
from dtcbench.plan.grid import Plan
from dtcbench.record import Status, Tabled
from dtcbench.records import location, mixing
from dtcbench.records.location import Place
from dtcbench.records.reading import read
from dtcbench.records.store import Store, uncollected
from dtcbench.records.tables import Tables, parquet, tables
from dtcbench.report import latex, markdown, tabular

if TYPE_CHECKING:
    from dtcbench.report.drawings import Drawing, Form


@dataclass(frozen=True)
class Derived:
    """The tables of a run, and the leaderboard made from them."""

    tables: Tables
    board: leaderboard.Leaderboard


def derive(plan: Plan, store: Store) -> Derived:
    """Tables and leaderboard as the records are now."""
    suite = plan.suite
    with uncollected():
        made = read(plan, store)
        board = leaderboard.build(made.cells, made.cycles, suite=suite.name, question=suite.question)
    return Derived(made, board)


@dataclass(frozen=True)
class Pooled:
    """The tables of several runs, each cell once: as in the first run that has it ok."""

    tables: Tables
    """Of the cells that any of the runs planned."""
    conflicts: frozenset[str]
    """Keys of the cells that a later run has with another accuracy."""


def pool(runs: Sequence[tuple[Plan, Store]]) -> Pooled:
    """The runs together. UserError where one data set or plug-in has different contents in them."""
    planned = {cell.key: cell for plan, _ in runs for cell in plan.cells}
    suites = dict.fromkeys(plan.suite.name for plan, _ in runs)
    conflicts: set[str] = set()
    sources: set[tuple[str, str]] = set()
    made = tables(planned.values(), _pooled_records(runs, planned, conflicts, sources), ", ".join(suites))
    if found := list(mixing.mixtures(sorted(sources))):
        raise UserError(f"{'; '.join(found)}; name runs that were made with the same")
    return Pooled(made, frozenset(conflicts))


def _pooled_records(
    runs: Sequence[tuple[Plan, Store]], planned: Mapping[str, Cell], conflicts: set[str], sources: set[tuple[str, str]]
) -> Iterator[Tabled]:
    """The records of planned cells that count, each cell's once; what they contradict and stem from is added to the
    two last arguments."""
    seen: dict[str, float] = {}
    for _, store in runs:
        for record in store.tabled(store.files()):
            if record.key not in planned:
                continue
            if record.status is Status.OK and record.provenance is not None:
                sources.update(mixing.sources_of(planned[record.key], record.provenance))
            known = seen.get(record.key)
            if known is None:
                yield record  # of a cell that failed, the last one counts
                seen |= {record.key: record.result.accuracy} if record.result else {}
            elif record.result and record.result.accuracy != known:
                conflicts.add(record.key)


def pooling_notes(pooled: Pooled) -> list[str]:
    """What must be said of cells that several runs hold."""
    if not pooled.conflicts:
        return []
    keys = ", ".join(key[:12] for key in sorted(pooled.conflicts))
    return [f"Other accuracies in a later run, which do not count: {keys}"]


class _Traces(Mapping[str, pd.DataFrame]):
    """The samples behind a run's joules, by cell key; read whenever they are asked for."""

    def __init__(self, metered: Iterable[Tabled], store: Store) -> None:
        self._records = {record.key: record for record in metered}
        self._store = store

    def __getitem__(self, key: str) -> pd.DataFrame:
        trace = self._store.trace(self._records[key])
        if trace is None:
            raise KeyError(key)
        return trace

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def files(derived: Derived, store: Store) -> dict[str, bytes | str]:
    """Everything made from the tables but the figures on paper, by its name in the run's folder.

    The same records give the same bytes.
    """
    from dtcbench.records.tables import power_table
    from dtcbench.report import html  # brings plotly, which the leaderboard alone does not need

    cells, cycles, board = derived.tables.cells, derived.tables.cycles, derived.board
    traces = _Traces(derived.tables.metered, store)
    with uncollected():
        return {
            "tables/cells.parquet": parquet(cells),
            "tables/cycles.parquet": parquet(cycles),
            **({"tables/power.parquet": parquet(power_table(traces.items()))} if traces else {}),
            "leaderboard.csv": tabular.leaderboard_csv(board),
            **({"summary.csv": tabular.summary_csv(board)} if len(board.summary) else {}),
            "leaderboard.md": markdown.leaderboard_markdown(board),
            "leaderboard.tex": latex.leaderboard_latex(board),
            "leaderboard.html": html.page(board, cells, cycles, traces),
        }


def figures(derived: Derived, store: Store) -> dict[str, Callable[[], bytes]]:
    """The page's figures on paper, by their names in the run's folder; each is drawn when it is called.

    The same records give the same bytes with the same versions of matplotlib and zlib.
    """
    from dtcbench.report import drawings

    tables, board = derived.tables, derived.board
    drawn = drawings.of_leaderboard(board, tables.cells, tables.cycles, _Traces(tables.metered, store))
    named = drawings.by_file_name(board, drawn)
    return {
        f"figures/{name}.{form}": partial(_on_paper, drawing, form)
        for name, drawing in named.items()
        for form in drawings.FORMS
    }


def write_claims(findings: Sequence[Conclusion], folder: Path) -> list[Path]:
    """Write the claims' figures on paper into a folder; their paths."""
    from dtcbench.report import drawings

    location.make_folder(folder)
    written = []
    for drawing in drawings.of_claims(findings).values():
        for form in drawings.FORMS:
            location.write(folder / f"{drawing.name}.{form}", _on_paper(drawing, form))
            written.append(folder / f"{drawing.name}.{form}")
    return written


def _on_paper(drawing: Drawing, form: Form) -> bytes:
    from dtcbench.report import vector  # brings matplotlib, which nothing else needs

    return vector.drawn(drawing.figure(), form)


def write(derived: Derived, store: Store) -> list[Place]:
    """Write all files made from the tables into the run's folder; their paths, and that of the figures' folder."""
    written = [store.derived(name, content) for name, content in files(derived, store).items()]
    drawn = [store.derived(name, draw()) for name, draw in figures(derived, store).items()]
    return written + list(dict.fromkeys(path.parent for path in drawn))
