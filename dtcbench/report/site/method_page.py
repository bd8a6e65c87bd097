"""The page of one method in one suite: its rows, its figures, its cells."""

from __future__ import annotations

import pandas as pd

from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import DENSE, POOL
from dtcbench.plan.names import Names
from dtcbench.report import drawings, elements, figures, html
from dtcbench.report.blocks import Column, Row, label
from dtcbench.report.columns import SPARSITY
from dtcbench.report.elements import Table, template
from dtcbench.report.score import Score, scores_of
from dtcbench.report.site.site_run import SiteRun, cell_file
from dtcbench.text import ABSENT, number_text, one_line


def method_page(shown: SiteRun, method: str, solver: str) -> str:
    """The page of the method that the leaderboard names so."""
    leaderboard, all_cycles = shown.run.leaderboard(), shown.run.cycles
    looks = figures.styles(leaderboard)
    pools = []
    for number, (pool, rows) in enumerate(leaderboard.pools, 1):
        own = _of(rows, method, solver)
        if own.empty:
            continue
        with_dense = pd.concat([rows[rows["method"] == DENSE], own]).drop_duplicates()
        cycles = all_cycles[(all_cycles[POOL] == list(pool)).all(axis=1)]
        drawn = drawings.of_rows(with_dense, _of(cycles, method, solver), looks)
        pools.append(html.pool_section(number, pool, own.to_dict("records"), drawn))
    return template("method.html").render(
        frame=shown.frame(1),
        label=series_label(method, solver),
        suite=shown.suite,
        obstacles=leaderboard.obstacles,
        about=list(_about(shown, method, solver)),
        pools=pools,
        cells=_cells(shown.cells, method, solver),
    )


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
    return elements.table((*_CELL, *scored, *_END), own.to_dict("records"), lambda row: f"../{cell_file(row['key'])}")


def _of_cells(score: Score, title: str, minus: str = "") -> Column:
    """A cell's accuracy as per cent, or its R2, or how far it lies above another's."""

    def value(row: Row) -> float:
        return float(row[score.name]) - (float(row[minus]) if minus else 0.0)

    def text(row: Row) -> str:
        form = f"+z.{score.digits}f" if minus else f".{score.digits}f"
        return number_text(value(row), form, scale=score.scale)

    return Column(title, text, value)


def _seconds(row: Row) -> str:
    return number_text(row["wall_s"], ".1f")


_CELL = (
    Column("Cell", lambda row: row["key"][:12], lambda row: row["key"], is_number=False),
    label("Data set", "dataset"),
    label("Model", "model"),
    SPARSITY,
    Column("Seed", lambda row: str(row["seed"]), lambda row: float(row["seed"])),
    label("Status", "status"),
)
_END = (
    Column("Wall time, s", _seconds, lambda row: float("nan") if pd.isna(row["wall_s"]) else float(row["wall_s"])),
    Column("Reason", lambda row: _reason(row), lambda row: "" if pd.isna(row["reason"]) else row["reason"], False),
)


def _reason(row: Row) -> str:
    return ABSENT if pd.isna(row["reason"]) else one_line(str(row["reason"]))
