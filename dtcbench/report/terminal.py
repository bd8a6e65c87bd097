"""The leaderboard for a terminal of 100 columns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.analysis.pairing import one_line
from dtcbench.report import columns
from dtcbench.report.columns import BITS_PER_CHARACTER, Row

_BLANK_LINE_ABOVE = (1, 0, 0, 0)


def leaderboard(board: Leaderboard) -> RenderableType:
    """Per (protocol, dataset, model) a table in sections of equal sparsity, then remarks and notes.

    `params`, `FLOPs` (of training), `energy` and `time` are shares of dense; where no energy was measured
    the notes say why. Time is shown beside measured energy; 100 columns have no room for more of it. What
    forbids publishing stands above all.
    """
    parts: list[RenderableType] = [
        _line(board.suite, style="bold"),
        *(_line(obstacle, style="bold red") for obstacle in board.obstacles),
        _line(board.question),
    ]
    for pool, frame in board.pools:
        rows = frame.to_dict("records")
        remarks = list(dict.fromkeys(filter(None, map(columns.remarks, rows))))
        parts += [
            Padding(_line(pool.title, style="bold"), _BLANK_LINE_ABOVE),
            _table(rows, remarks),
            *(_line(f"[{number}] {remark}") for number, remark in enumerate(remarks, 1)),
        ]
    for title, lines in columns.summary_pools(board):
        parts += [Padding(_line(title, style="bold"), _BLANK_LINE_ABOVE), _summary(lines)]
    notes = Group(*(_line(f"· {note}", style="dim") for note in board.notes))
    return Group(*parts, Padding(notes, _BLANK_LINE_ABOVE))


def _table(rows: Sequence[Row], remarks: list[str]) -> Table:
    shown = _columns(rows, remarks)
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("removed")
    table.add_column("method", overflow="fold")
    for title, _ in shown[1:]:  # the method has its column
        table.add_column(title, justify="right", no_wrap=True)
    for removed, section in itertools.groupby(rows, lambda row: columns.share(columns.sparsity_shown(row))):
        for position, row in enumerate(section):
            table.add_row("" if position else removed, *(_line(text(row)) for _, text in shown))
        table.add_section()
    return table


def _summary(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("method", overflow="fold")
    _, _, *figures = columns.SUMMARY_COLUMNS  # method and solver share a column
    for column in figures:
        table.add_column(column.title.lower(), justify="right")
    for row in rows:
        name = series_label(row["method"], row["solver"])
        table.add_row(_line(name), *(_line(column.text(row)) for column in figures))
    return table


def _columns(rows: Sequence[Row], remarks: list[str]) -> list[tuple[str, Callable[[Row], str]]]:
    """Title and text of the columns after the sparsity; the last is the number of the row's remark."""

    def number(row: Row) -> str:
        remark = columns.remarks(row)
        return f"[{remarks.index(remark) + 1}]" if remark else ""

    return [
        ("method", lambda row: series_label(row["method"], row["solver"])),
        ("accuracy, %", lambda row: columns.accuracy(row, digits=1)),
        *((column.title.lower(), column.text) for column in columns.shown(rows) if column is BITS_PER_CHARACTER),
        ("points to dense", lambda row: columns.difference(row, digits=1)),
        ("params", lambda row: columns.share(row["parameters_ratio"])),
        ("FLOPs", lambda row: columns.share(row["training_flops_ratio"])),
        ("energy", columns.energy_mean),
        *([("time", lambda row: columns.share(row["time_ratio"]))] if any(map(columns.is_metered, rows)) else ()),
        ("ok", columns.coverage),
        ("", number),
    ]


def _line(text: str, style: str = "") -> Text:
    """`text` as it is: never read as markup, never with control characters."""
    return Text(one_line(text), style=style)
