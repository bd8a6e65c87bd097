"""The leaderboard as a document: a table for each (protocol, dataset, model), then ranks over pairs, and the notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.analysis.pairing import Pool
from dtcbench.report import columns
from dtcbench.report.blocks import Block, Bullets, Heading, Paragraph, Row, Table, no_link
from dtcbench.report.row_texts import sparsity


def leaderboard_view(leaderboard: Leaderboard) -> Iterator[Block]:
    """What forbids publishing comes first. Where no energy was measured, the notes say why."""
    yield Heading(leaderboard.suite)
    yield from (Paragraph(obstacle, "alarm") for obstacle in leaderboard.obstacles)
    yield Paragraph(leaderboard.question, "lead")
    for pool, frame in leaderboard.pools:
        yield Heading(pool.title, 3)
        yield pool_table(pool, frame)
    yield from summaries(leaderboard)
    yield Bullets(leaderboard.notes, "quiet")


def pool_table(pool: Pool, frame: pd.DataFrame, href: Callable[[Row], str] = no_link) -> Table:
    """The rows of one pool; a link to one of them names its method, its sparsity and the pool."""
    rows = frame.to_dict("records")

    def name(row: Row) -> str:
        return f"{series_label(row['method'], row['solver'])} {sparsity(row)} {pool.dataset} {pool.model}"

    return Table(columns.of_pool(rows), rows, f"Leaderboard of {pool.title}", href, anchor=name)


def summaries(leaderboard: Leaderboard, href: Callable[[Row], str] = no_link) -> Iterator[Block]:
    """A heading and a table for each summary over (dataset, model) pairs."""
    for title, lines in columns.summary_pools(leaderboard):
        yield Heading(f"Over pairs: {title}", 3)
        yield Table(columns.SUMMARY_COLUMNS, lines, f"Ranks of {title}", href)
