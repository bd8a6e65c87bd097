"""The leaderboard as GitHub Markdown: one table per (protocol, dataset, model), then the notes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from dtcbench.analysis.leaderboard import Leaderboard
from dtcbench.report.columns import SUMMARY_COLUMNS, Column, Row, shown, summary_pools
from dtcbench.text import one_line


def leaderboard_markdown(leaderboard: Leaderboard) -> str:
    """A heading, what forbids publishing, the question, the tables and the notes; ends in a newline."""
    blocks = [f"## {escaped(leaderboard.suite)}"]
    blocks += [f"> **{escaped(obstacle)}**" for obstacle in leaderboard.obstacles]
    blocks.append(escaped(leaderboard.question))
    for pool, rows in leaderboard.pools:
        records = rows.to_dict("records")
        blocks += [f"### {escaped(pool.title)}", _table(records, shown(records))]
    for title, lines in summary_pools(leaderboard):
        blocks += [f"### Over pairs: {escaped(title)}", _table(lines, SUMMARY_COLUMNS)]
    blocks.append("\n".join(f"- {escaped(note)}" for note in leaderboard.notes))
    return "\n\n".join(blocks) + "\n"


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str] = ()) -> str:
    """A table of texts, which may hold anything; the columns of these titles are set to the right."""
    lines = [
        titles,
        ["---:" if title in numbers else "---" for title in titles],
        *(list(map(escaped, row)) for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _table(records: Sequence[Row], columns: Sequence[Column]) -> str:
    return markdown_table(
        [column.title for column in columns],
        ([column.text(row) for column in columns] for row in records),
        [column.title for column in columns if column.is_number],
    )


def escaped(text: str) -> str:
    """`text` on one line, with what Markdown or HTML would interpret made literal."""
    return re.sub(r"([\\`*_\[\]<>|&~])", r"\\\1", one_line(text))
