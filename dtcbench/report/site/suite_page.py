"""The report of one suite: what its rows say, its figures and tables, and what must be known of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.analysis.pairing import DENSE, Pool, tidy
from dtcbench.report import drawings, leaderboard_view, use_view
from dtcbench.report.blocks import (
    Block,
    Bullets,
    Column,
    Facts,
    Figure,
    Filters,
    Fold,
    Heading,
    Paragraph,
    Region,
    Row,
    Table,
    no_link,
)
from dtcbench.report.columns import SPARSITY
from dtcbench.report.drawings import Drawing
from dtcbench.report.row_texts import share, value
from dtcbench.report.score import score_of
from dtcbench.text import ABSENT, one_line

_SAME_SPARSITY = 0.01
"""Rows that differ by less in the share of neurons removed are compared as equals: widths are whole numbers."""
_HOW_TO_READ = (
    "Every row is one method at one sparsity: the same training as the dense network of its group, with neurons "
    "removed on the way. Two baselines train otherwise: scratch (small from the start, new weights) and dense-matched "
    "(dense, fewer steps). Numbers are means over seeds, with 95 % intervals in brackets. A difference or a ratio "
    "compares each seed with the dense cell of that seed, so what a seed does to both cancels out.",
    "Difference, adjusted p is the chance of such a difference to dense, or a larger one, if the two do not differ, "
    "adjusted for the number of rows; Within 20 % of dense's error says yes where a larger difference either way has "
    "been ruled out. Detectable difference is the smallest one that the row would have shown in four of five "
    "repetitions, and Seeds for 1 point how many seeds it takes for a point. None is filled in where the seeds allow "
    "no test.",
    "Where intervals overlap, the order of two rows is not a finding. A row with fewer ok cells than planned says less "
    "than its neighbours: its remarks say why, and every failed cell is listed below. Nothing is filled in: – means "
    "that a value is missing, not measured that no meter was there.",
    "Energy is mean power times time, all relative to dense. It counts the joules of the whole board, idle power "
    "included; Net of idle counts those above idle. Energy to target counts them until validation accuracy first comes "
    "within a point of dense's median. Energy rank orders by Energy, and a row has none if its remarks say so. FLOPs "
    "are not energy.",
)


def suite_page(
    leaderboard: Leaderboard,
    cells: pd.DataFrame,
    cycles: pd.DataFrame,
    traces: Mapping[str, pd.DataFrame],
    method_link: Callable[[Row], str] = no_link,
    cell_link: Callable[[Row], str] = no_link,
    use: pd.DataFrame | None = None,
) -> Iterator[Block]:
    """The links give the address of a row's method, and of a failed cell. `use` compares the ways of use
    (`records/use.py`); None if none was measured.
    """
    drawn = drawings.of_leaderboard(leaderboard, cells, cycles, traces, use)
    figures = [
        figures_of(number, pool, of)
        for number, ((pool, _), of) in enumerate(zip(leaderboard.pools, drawn, strict=True), 1)
    ]
    facets = [{"dataset": pool.dataset, "model": pool.model} for pool, _ in leaderboard.pools]
    yield from (Paragraph(obstacle, "alarm") for obstacle in leaderboard.obstacles)
    yield Heading(leaderboard.suite, 1)
    yield Paragraph(leaderboard.question, "lead")
    if answer := _answer(leaderboard):
        yield Paragraph(answer)
    if figures and figures[0]:
        yield Region([figures[0].pop(0)], facets=facets[0])
    yield Heading("Leaderboard")
    yield Fold("How to read this", list(map(Paragraph, _HOW_TO_READ)))
    if not (cells["status"] == "ok").any():
        yield Paragraph("No cell of this suite is ok: there is nothing to show yet.", "warning")
    yield Filters(filters(facets, {"dataset": "Data set", "model": "Model"}))
    for (pool, rows), of_pool in zip(leaderboard.pools, facets, strict=True):
        table = leaderboard_view.pool_table(pool, rows, method_link)
        yield Region([Heading(pool.title, 3), table], facets=of_pool)
    if not facets:
        yield Paragraph("No cell is planned.")
    if summaries := list(leaderboard_view.summaries(leaderboard, method_link)):
        yield Heading("Over pairs of data set and model")
        yield from summaries
    if use is not None:
        yield Heading("Using the networks")
        yield from use_view.use_tables(use, method_link)
        yield Bullets(use_view.notes(use))
    if any(figures):
        yield Heading("Figures")
    for (pool, _), of_pool, those in zip(leaderboard.pools, facets, figures, strict=True):
        if those:
            yield Region([Heading(pool.title, 3), *those], facets=of_pool)
    yield Heading("Cells that are not ok")
    yield _failures(cells, cell_link)
    yield Heading("Notes")
    yield Bullets(leaderboard.notes)
    yield Heading("Provenance")
    hardware, stacks = ("; ".join(found) or ABSENT for found in (leaderboard.hardware_classes, leaderboard.stacks))
    yield Facts([("Hardware classes", hardware), ("Stacks of package versions", stacks)])


def figures_of(number: int, pool: Pool, drawn: Iterable[Drawing]) -> list[Figure]:
    """The figures of the page's pool of this number."""
    return [Figure(f"pool-{number}-{one.name}", one.title, one.caption, one.figure(), pool.title) for one in drawn]


def filters(found: Iterable[Mapping[str, str]], titles: Mapping[str, str]) -> list[tuple[str, str, Sequence[str]]]:
    """Name, title and values of what a page can be filtered by: the facets in which any two rows differ."""
    rows = list(found)
    values = {name: sorted({row[name] for row in rows}) for name in titles}
    return [(name, titles[name], of) for name, of in values.items() if len(of) > 1]


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


def _failures(cells: pd.DataFrame, link: Callable[[Row], str]) -> Block:
    """One line per cell that is not ok, by identity and seed."""
    failed = tidy(cells)
    rows = failed[failed["status"] != "ok"].to_dict("records")
    if not rows:
        return Paragraph("None: every planned cell is ok.")
    return Table(_OF_FAILURES, rows, "Cells that are not ok", link)


def _known(title: str, form: Callable[[Any], str] = str) -> Column:
    """The value of this name as `form` has it, or a dash if it is missing."""
    name = title.lower()
    return Column(
        title, lambda row: ABSENT if pd.isna(row[name]) or row[name] == "" else form(row[name]), is_number=False
    )


_OF_FAILURES = (
    *map(_known, ("Protocol", "Dataset", "Model", "Method", "Solver")),
    SPARSITY,
    Column("Seed", lambda row: str(row["seed"]), value("seed")),
    _known("Status"),
    _known("Attempt", "{:.0f}".format),
    _known("Reason", lambda reason: one_line(str(reason))),
)
"""The columns of the cells that are not ok."""
