"""The leaderboard as a document: a table for each (protocol, dataset, model), then ranks over pairs, and the notes."""

from __future__ import annotations

from collections.abc import Iterator

from dtcbench.analysis.leaderboard import Leaderboard
from dtcbench.report import columns
from dtcbench.report.blocks import Block, Bullets, Document, Heading, Paragraph, Table


def leaderboard_view(leaderboard: Leaderboard) -> Document:
    """What forbids publishing comes first. Where no energy was measured, the notes say why."""
    return [
        Heading(leaderboard.suite),
        *(Paragraph(obstacle, "alarm") for obstacle in leaderboard.obstacles),
        Paragraph(leaderboard.question, "lead"),
        *_tables(leaderboard),
        Bullets(leaderboard.notes, "quiet"),
    ]


def _tables(leaderboard: Leaderboard) -> Iterator[Block]:
    for pool, frame in leaderboard.pools:
        rows = frame.to_dict("records")
        yield Heading(pool.title, 3)
        yield Table(columns.of_pool(rows), rows)
    for title, lines in columns.summary_pools(leaderboard):
        yield Heading(f"Over pairs: {title}", 3)
        yield Table(columns.SUMMARY_COLUMNS, lines)
