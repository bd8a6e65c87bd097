"""The page of one method in one suite: its rows, its figures, its cells."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import DENSE, POOL
from dtcbench.plan.names import Names
from dtcbench.report import drawings, figures
from dtcbench.report.blocks import Block, Column, Facts, Heading, Paragraph, Row, Table, label
from dtcbench.report.columns import SPARSITY
from dtcbench.report.leaderboard_view import pool_table
from dtcbench.report.row_texts import value
from dtcbench.report.score import Score, scores_of
from dtcbench.report.site.site_run import SiteRun, cell_file
from dtcbench.report.site.suite_page import figures_of
from dtcbench.text import ABSENT, number_text, one_line


def method_page(shown: SiteRun, method: str, solver: str) -> Iterator[Block]:
    """The page of the method that the leaderboard names so."""
    leaderboard, all_cycles = shown.run.leaderboard(), shown.run.cycles
    looks, name = figures.styles(leaderboard), series_label(method, solver)
    yield from (Paragraph(obstacle, "alarm") for obstacle in leaderboard.obstacles)
    yield Paragraph(f"method in suite {shown.suite}", "quiet")
    yield Heading(name, 1)
    yield Facts(list(_about(shown, method, solver)))
    for number, (pool, rows) in enumerate(leaderboard.pools, 1):
        own = _of(rows, method, solver)
        if own.empty:
            continue
        with_dense = pd.concat([rows[rows["method"] == DENSE], own]).drop_duplicates()
        cycles = all_cycles[(all_cycles[POOL] == list(pool)).all(axis=1)]
        yield Heading(pool.title)
        yield pool_table(pool, own)
        yield from figures_of(number, pool, drawings.of_rows(with_dense, _of(cycles, method, solver), looks))
    yield Heading("Cells")
    yield _cells(shown.cells, method, solver)


def _about(shown: SiteRun, method: str, solver: str) -> list[tuple[str, str]]:
    """What the method and its solver are, and every option they ran with."""
    key = _of(shown.cells, method, solver)["key"].iloc[0]
    cell = next(cell for cell in shown.run.plan.cells if cell.key == key)
    names = shown.run.plan.names
    rows = [("method", _summary(names, "method", cell.method.name)), ("options", cell.method.full_label)]
    if cell.solver:
        rows += [("solver", _summary(names, "solver", cell.solver.name)), ("its options", cell.solver.full_label)]
    return rows


def _summary(names: Names, noun: str, name: str) -> str:
    return f"{name}: {names.meaning(noun, name).summary}"


def _of(table: pd.DataFrame, method: str, solver: str) -> pd.DataFrame:
    solvers = table["solver"].astype(object).where(table["solver"].notna(), "")
    return table[(table["method"] == method) & (solvers == solver)]


def _cells(cells: pd.DataFrame, method: str, solver: str) -> Table:
    """One line per cell of the method, compared with the dense cell of its seed."""
    own = _of(cells, method, solver)
    scored = [
        column
        for score in scores_of(own)
        for column in (
            _of_cells(score, score.title),
            _of_cells(score, f"Difference to dense, {score.points}", "score_baseline"),
        )
    ]
    label = f"Cells of {series_label(method, solver)}"
    return Table((*_CELL, *scored, *_END), own.to_dict("records"), label, lambda row: f"../{cell_file(row['key'])}")


def _of_cells(score: Score, title: str, minus: str = "") -> Column:
    """A cell's accuracy as per cent, or its R2, or how far it lies above another's."""

    def number(row: Row) -> float:
        return float(row[score.name]) - (float(row[minus]) if minus else 0.0)

    def text(row: Row) -> str:
        form = f"+z.{score.digits}f" if minus else f".{score.digits}f"
        return number_text(number(row), form, scale=score.scale)

    return Column(title, text, number)


def _reason(row: Row) -> str:
    return ABSENT if pd.isna(row["reason"]) else one_line(str(row["reason"]))


_CELL = (
    Column("Cell", lambda row: row["key"][:12], is_number=False),
    label("Data set", "dataset"),
    label("Model", "model"),
    SPARSITY,
    Column("Seed", lambda row: str(row["seed"]), value("seed")),
    label("Status", "status"),
)
_END = (
    Column("Wall time, s", lambda row: number_text(row["wall_s"], ".1f"), value("wall_s")),
    Column("Reason", _reason, is_number=False),
)
