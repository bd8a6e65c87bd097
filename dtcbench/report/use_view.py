"""What using the networks takes, compared with dense: on the terminal, as Markdown, as rows of a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import POOL, Pool
from dtcbench.report import columns
from dtcbench.report.columns import Column, Row
from dtcbench.report.fitting import Fitted, Strip
from dtcbench.report.markdown import escaped, markdown_table
from dtcbench.text import count_of, number_text, percent, with_interval

ABOUT = (
    "Time of dense: seconds per sample over those of the dense network of the same seed, in the same mode at the same "
    "batch size. Rounded widths are padded to multiples of 8 with silent neurons. ± is half of the widest 95 % "
    "interval over a cell's windows."
)
_SPARE = ("CPU J per 1,000", "FLOPs, of dense", "Latency, ms", "Samples/s", "J per 1,000", "± %")
"""What a narrow terminal goes without, in this order."""


def _number(title: str, name: str, form: str, scale: float = 1) -> Column:
    return Column(
        title,
        lambda row: number_text(row[name], form, scale=scale),
        lambda row: float(row[name]),
        concerns=lambda row: not math.isnan(row[name]),
    )


def _of_dense(title: str, name: str) -> Column:
    def text(row: Row) -> str:
        ratio, low, high = (float(row[f"{name}_{end}"]) for end in ("ratio", "low", "high"))
        return with_interval(ratio, low, high, ".1f", "%", 100)

    ratio = f"{name}_ratio"
    return Column(title, text, lambda row: float(row[ratio]), concerns=lambda row: not math.isnan(row[ratio]))


def _removed(row: Row) -> str:
    return "schedule" if math.isnan(row["sparsity"]) else percent(row["sparsity"], ".3g")


COLUMNS = (
    Column("Batch", lambda row: str(row["batch_size"]), lambda row: float(row["batch_size"])),
    columns.label("Mode", "mode"),
    Column("Removed", _removed, lambda row: float(row["sparsity"])),
    Column(
        "Method", lambda row: series_label(row["method"], row["solver"]), lambda row: row["method"], is_number=False
    ),
    columns.label("Widths", "widths"),
    Column("FLOPs, of dense", lambda row: columns.share(row["flops_ratio"]), lambda row: float(row["flops_ratio"])),
    _of_dense("Time, of dense", "time"),
    _number("± %", "spread_pct", ".1f"),
    _number("Latency, ms", "latency_s", ".4g", 1000),
    _number("Samples/s", "throughput", ",.0f"),
    _of_dense("Energy, of dense", "energy"),
    _number("J per 1,000", "energy_j", ".4g"),
    _number("CPU J per 1,000", "cpu_energy_j", ".4g"),
)
"""The columns for reading; the CSV has every number."""


def pools(compared: pd.DataFrame) -> Iterator[tuple[Pool, list[Row]]]:
    """The rows of each pool whose time was measured."""
    measured = compared[compared["measured"] > 0]
    for names, rows in measured.groupby(POOL, sort=True):
        yield Pool(*map(str, names)), list(rows.to_dict("records"))


def shown(rows: Sequence[Row]) -> list[Column]:
    """The columns that have content for any of these rows."""
    return [column for column in COLUMNS if any(map(column.concerns, rows))]


def notes(compared: pd.DataFrame) -> list[str]:
    """What the numbers mean, and of the ways of use, the joules and their ratios that are missing, why."""
    is_timed = compared["measured"] > 0
    timed = compared[is_timed]
    found = [ABOUT]
    absent = "without a number"
    for what, rows, lack, reason in (
        ("", compared[~is_timed], "not measured", "use_reason"),
        ("Time: ", timed[timed["throughput"].isna()], absent, "use_reason"),
        ("Time: ", timed[timed["time_ratio_reason"] != ""], "not compared", "time_ratio_reason"),
        ("Joules of the GPU: ", timed[timed["energy_j"].isna()], absent, "energy_reason"),
        ("Joules of the GPU: ", timed[timed["energy_ratio_reason"] != ""], "not compared", "energy_ratio_reason"),
        ("Joules of the processor packages: ", timed[timed["cpu_energy_j"].isna()], absent, "cpu_energy_reason"),
    ):
        found += [f"{what}{count_of(len(of), 'row')} {lack}: {why}." for why, of in rows.groupby(reason)]
    if flags := sorted({flag for text in timed["flags"] for flag in text.split(",") if flag}):
        found.append(f"Flags of the joules (docs/energy.md): {', '.join(flags)}.")
    return found


def use_markdown(compared: pd.DataFrame, suite: str) -> str:
    """A heading, a table per pool, and the notes; ends in a newline."""
    blocks = [f"## {escaped(suite)}: using the networks"]
    for pool, rows in pools(compared):
        of_pool = shown(rows)
        texts = ([column.text(row) for column in of_pool] for row in rows)
        numbers = [column.title for column in of_pool if column.is_number]
        blocks += [f"### {escaped(pool.title)}", markdown_table([column.title for column in of_pool], texts, numbers)]
    blocks.append("\n".join(f"- {escaped(note)}" for note in notes(compared)))
    return "\n\n".join(blocks) + "\n"


def use_view(compared: pd.DataFrame, suite: str) -> RenderableType:
    """The same for a terminal: a table per pool in sections of equal batch and mode, then the notes."""
    parts: list[RenderableType] = [Text(f"{suite}: using the networks", style="bold")]
    for pool, rows in pools(compared):
        parts += [Text(f"\n{pool.title}", style="bold"), _table(rows)]
    return Group(*parts, Text(), *(Text(f"· {note}", style="dim") for note in notes(compared)))


def _table(rows: Sequence[Row]) -> Fitted:
    def strip(column: Column) -> Strip:
        text: Callable[[Row], str] = column.text
        return Strip(column.title.lower(), list(map(text, rows)), is_right=column.is_number, is_whole=column.is_number)

    def place(row: Row) -> tuple[int, str]:
        return row["batch_size"], row["mode"]

    ends = {number for number, (one, other) in enumerate(pairwise(rows)) if place(one) != place(other)}
    of_pool = shown(rows)
    layouts = [
        [strip(column) for column in of_pool if column.title not in _SPARE[:count]] for count in range(len(_SPARE) + 1)
    ]
    return Fitted(layouts, section_ends=ends, gap=1)
