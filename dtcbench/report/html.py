"""The report of one suite as an HTML page: by itself, loading nothing from anywhere, or as part of a site."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.analysis.pairing import DENSE, IDENTITY, Pool, tidy
from dtcbench.report import blocks, drawings, elements, use_view
from dtcbench.report.blocks import Column, Row, no_link
from dtcbench.report.columns import SPARSITY, SUMMARY_COLUMNS, of_pool, share, summary_pools
from dtcbench.report.drawings import Drawing
from dtcbench.report.elements import ALONE, Figure, Frame, Table, template
from dtcbench.report.score import score_of
from dtcbench.text import ABSENT, one_line

FACETS = {"dataset": "Data set", "model": "Model"}
"""What a leaderboard can be filtered by."""
_SAME_SPARSITY = 0.01
"""Rows that differ by less in the share of neurons removed are compared as equals: widths are whole numbers."""


@dataclass(frozen=True)
class Section:
    """The results of one (protocol, dataset, model)."""

    title: str
    table: Table
    figures: list[Figure]
    facets: dict[str, str]


def page(
    leaderboard: Leaderboard,
    cells: pd.DataFrame,
    cycles: pd.DataFrame,
    traces: Mapping[str, pd.DataFrame],
    frame: Frame = ALONE,
    method_link: Callable[[Row], str] = no_link,
    cell_link: Callable[[Row], str] = no_link,
    use: pd.DataFrame | None = None,
) -> str:
    """The page: leaderboard, figures, failures and notes. The same frames give the same bytes.

    The links give the address of a row's method, and of a failed cell. `use` compares the ways of use
    (`records/use.py`); None if none was measured.
    """
    drawn = drawings.of_leaderboard(leaderboard, cells, cycles, traces, use)
    pools = [
        pool_section(number, pool, rows.to_dict("records"), of_pool, method_link)
        for number, ((pool, rows), of_pool) in enumerate(zip(leaderboard.pools, drawn, strict=True), 1)
    ]
    first = pools[0].figures.pop(0) if pools and pools[0].figures else None
    return template("page.html").render(
        frame=frame,
        leaderboard=leaderboard,
        answer=_answer(leaderboard),
        figure=first,
        pools=pools,
        facets=elements.facets((pool.facets for pool in pools), FACETS),
        summaries=[
            Section(title, elements.table(SUMMARY_COLUMNS, rows, method_link), [], {})
            for title, rows in summary_pools(leaderboard)
        ],
        uses=[]
        if use is None
        else [
            Section(str(heading.words), elements.table(table.shown, table.rows, method_link), [], {})
            for heading, table in use_view.use_tables(use)
        ],
        use_notes=[] if use is None else use_view.notes(use),
        has_results=bool((cells["status"] == "ok").any()),
        failures=_failures(cells, cell_link),
    )


def _answer(leaderboard: Leaderboard) -> str:
    """What the rows of the first pool say that lost the most neurons, in a sentence; empty without two of them.

    By what was reached: a row of dense-matched stands at a sparsity too, and loses nothing.
    """
    if not leaderboard.pools:
        return ""
    pool, frame = leaderboard.pools[0]
    ok = frame[frame["ok"] > 0]
    pruned = ok[ok["method"] != DENSE]
    removed = pruned["sparsity_reached"].max()
    rows = pruned[removed - pruned["sparsity_reached"] < _SAME_SPARSITY].to_dict("records")
    if len(rows) < 2:
        return ""
    score = score_of(rows)
    mean, low, high = (f"{score.name}_{end}" for end in ("mean", "low", "high"))

    def told(row: Row) -> str:
        return f"{series_label(row['method'], row['solver'])} at {score.text(row[mean], row[low], row[high])}"

    worst, best = min(rows, key=lambda row: row[mean]), max(rows, key=lambda row: row[mean])
    dense = "".join(f"dense reaches {score.text(value)}; " for value in ok.loc[ok["method"] == DENSE, mean])
    known = not math.isnan(best[low] + worst[high])
    intervals = f", and their intervals {'overlap' if best[low] <= worst[high] else 'do not overlap'}" if known else ""
    return (
        f"On {pool.dataset} with {pool.model}, {dense}with {share(removed)} of the neurons removed the methods lie "
        f"between {told(worst)} and {told(best)}{intervals}."
    )


def pool_section(
    number: int, pool: Pool, rows: Sequence[Row], drawn: Iterable[Drawing], link: Callable[[Row], str] = no_link
) -> Section:
    """The results of the page's pool of this number: its rows as a table, and its figures."""
    return Section(
        title=pool.title,
        table=elements.table(blocks.Table(of_pool(rows), rows).shown, rows, link),
        figures=[Figure(f"pool-{number}-{one.name}", one.title, one.caption, one.figure()) for one in drawn],
        facets={"dataset": pool.dataset, "model": pool.model},
    )


def _failures(cells: pd.DataFrame, link: Callable[[Row], str]) -> Table:
    """One line per cell that is not ok, by identity and seed."""
    failed = tidy(cells)
    failed = failed[failed["status"] != "ok"]
    return elements.table(_OF_FAILURES, failed.to_dict("records"), link)


def _text(title: str, text: Callable[[Row], str]) -> Column:
    """A column that sorts by what it shows."""
    return Column(title, text, lambda row: "" if text(row) == ABSENT else text(row), is_number=False)


def _known(name: str, form: Callable[[Any], str]) -> Callable[[Row], str]:
    """The value of this name as `form` has it, or a dash if it is missing."""
    return lambda row: ABSENT if pd.isna(row[name]) or row[name] == "" else form(row[name])


_OF_FAILURES = (
    *(_text(name.capitalize(), _known(name, str)) for name in IDENTITY if name not in ("sparsity", "protocol_sha256")),
    SPARSITY,
    Column("Seed", lambda row: str(row["seed"]), lambda row: float(row["seed"])),
    _text("Status", _known("status", str)),
    _text("Attempt", _known("attempt", "{:.0f}".format)),
    _text("Reason", _known("reason", lambda reason: one_line(str(reason)))),
)
"""The columns of the cells that are not ok."""
