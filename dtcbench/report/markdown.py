"""The leaderboard as GitHub Markdown: one table per (protocol, dataset, model), then the notes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dtcbench.analysis.leaderboard import Leaderboard
from dtcbench.analysis.pairing import one_line
from dtcbench.report.columns import SUMMARY_COLUMNS, Column, Row, shown, summary_pools


def leaderboard_markdown(board: Leaderboard) -> str:
    """A heading, what forbids publishing, the question, the tables and the notes; ends in a newline."""
    blocks = [f"## {escaped(board.suite)}"]
    blocks += [f"> **{escaped(obstacle)}**" for obstacle in board.obstacles]
    blocks.append(escaped(board.question))
    for pool, rows in board.pools:
        records = rows.to_dict("records")
        blocks += [f"### {escaped(' · '.join(pool))}", _table(records, shown(records))]
    for title, lines in summary_pools(board):
        blocks += [f"### Over pairs: {escaped(title)}", _table(lines, SUMMARY_COLUMNS)]
    blocks.append("\n".join(f"- {escaped(note)}" for note in board.notes))
    return "\n\n".join(blocks) + "\n"


def _table(records: Sequence[Row], columns: Sequence[Column]) -> str:
    lines = [
        [column.title for column in columns],
        ["---:" if column.is_number else "---" for column in columns],
        *([escaped(column.text(row)) for column in columns] for row in records),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """`text` on one line, with what Markdown or HTML would interpret made literal."""
    return re.sub(r"([\\`*_\[\]<>|&~])", r"\\\1", one_line(text))
