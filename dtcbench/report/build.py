"""Everything that is derived from a run's records, rebuilt: tables, leaderboard, Markdown, CSV, page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dtcbench.analysis import leaderboard
from dtcbench.plan.grid import Plan
from dtcbench.records import tables
from dtcbench.records.store import Store
from dtcbench.report import html, markdown, tabular


@dataclass(frozen=True)
class Derived:
    """The two tables of a run and the leaderboard made from them."""

    cells: pd.DataFrame
    cycles: pd.DataFrame
    board: leaderboard.Leaderboard


def derive(plan: Plan, store: Store) -> Derived:
    """Tables and leaderboard as the records are now."""
    contents, suite = store.read(), plan.suite
    cells = tables.cells(plan.cells, contents, suite.name)
    cycles = tables.cycles(plan.cells, contents)
    return Derived(cells, cycles, leaderboard.build(cells, cycles, suite=suite.name, question=suite.question))


def write(derived: Derived, store: Store) -> list[Path]:
    """Write all files made from the tables into the run's folder; their paths."""
    return [
        store.derived("tables/cells.parquet", tables.parquet(derived.cells)),
        store.derived("tables/cycles.parquet", tables.parquet(derived.cycles)),
        store.derived("leaderboard.csv", tabular.leaderboard_csv(derived.board)),
        store.derived("leaderboard.md", markdown.leaderboard_markdown(derived.board)),
        store.derived("leaderboard.html", html.page(derived.board, derived.cells, derived.cycles)),
    ]
