"""Everything that is derived from a run's records, rebuilt: tables, leaderboard, Markdown, CSV, page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dtcbench.analysis import leaderboard
from dtcbench.plan.grid import Plan
from dtcbench.records import tables
from dtcbench.records.record import CellRecord
from dtcbench.records.store import Store
from dtcbench.report import html, markdown, tabular
from dtcbench.report.power import power_table


@dataclass(frozen=True)
class Derived:
    """The tables of a run, the records behind them, and the leaderboard made from them."""

    cells: pd.DataFrame
    cycles: pd.DataFrame
    records: tuple[CellRecord, ...]
    """Those that count, in plan order."""
    board: leaderboard.Leaderboard


def derive(plan: Plan, store: Store) -> Derived:
    """Tables and leaderboard as the records are now."""
    contents, suite = store.read(), plan.suite
    cells = tables.cells(plan.cells, contents, suite.name)
    cycles = tables.cycles(plan.cells, contents)
    records = tuple(record for cell in plan.cells if (record := contents.record(cell.key)) is not None)
    return Derived(cells, cycles, records, leaderboard.build(cells, cycles, suite=suite.name, question=suite.question))


def write(derived: Derived, store: Store) -> list[Path]:
    """Write all files made from the tables into the run's folder; their paths."""
    traces = {record.key: trace for record in derived.records if (trace := store.trace(record)) is not None}
    return [
        store.derived("tables/cells.parquet", tables.parquet(derived.cells)),
        store.derived("tables/cycles.parquet", tables.parquet(derived.cycles)),
        *([store.derived("tables/power.parquet", tables.parquet(power_table(traces.items())))] if traces else []),
        store.derived("leaderboard.csv", tabular.leaderboard_csv(derived.board)),
        store.derived("leaderboard.md", markdown.leaderboard_markdown(derived.board)),
        store.derived("leaderboard.html", html.page(derived.board, derived.cells, derived.cycles, traces)),
    ]
