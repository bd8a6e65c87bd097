"""Everything that is derived from a run's records, rebuilt: tables, leaderboard, Markdown, CSV, page."""

from __future__ import annotations

from dataclasses import dataclass

from dtcbench.analysis import leaderboard
from dtcbench.plan.grid import Plan
from dtcbench.records.location import Place
from dtcbench.records.reading import read
from dtcbench.records.store import Store
from dtcbench.records.tables import Tables, parquet
from dtcbench.report import html, markdown, tabular
from dtcbench.report.power import power_table


@dataclass(frozen=True)
class Derived:
    """The tables of a run, and the leaderboard made from them."""

    tables: Tables
    board: leaderboard.Leaderboard


def derive(plan: Plan, store: Store) -> Derived:
    """Tables and leaderboard as the records are now."""
    suite = plan.suite
    made = read(plan, store)
    return Derived(made, leaderboard.build(made.cells, made.cycles, suite=suite.name, question=suite.question))


def write(derived: Derived, store: Store) -> list[Place]:
    """Write all files made from the tables into the run's folder; their paths."""
    cells, cycles, board = derived.tables.cells, derived.tables.cycles, derived.board
    traces = {r.key: trace for r in derived.tables.metered if (trace := store.trace(r)) is not None}
    return [
        store.derived("tables/cells.parquet", parquet(cells)),
        store.derived("tables/cycles.parquet", parquet(cycles)),
        *([store.derived("tables/power.parquet", parquet(power_table(traces.items())))] if traces else []),
        store.derived("leaderboard.csv", tabular.leaderboard_csv(board)),
        *([store.derived("summary.csv", tabular.summary_csv(board))] if len(board.summary) else []),
        store.derived("leaderboard.md", markdown.leaderboard_markdown(board)),
        store.derived("leaderboard.html", html.page(board, cells, cycles, traces)),
    ]
