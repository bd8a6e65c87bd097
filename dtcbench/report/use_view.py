"""What using the networks takes, compared with dense, as a document."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pandas as pd

from dtcbench.analysis.pairing import POOL, Pool
from dtcbench.report.blocks import Block, Bullets, Column, Heading, Row, Table, label, no_link
from dtcbench.report.columns import METHOD
from dtcbench.report.row_texts import share, value
from dtcbench.text import count_of, number_text, percent, with_interval

ABOUT = (
    "Time of dense: seconds per sample over those of the dense network of the same seed, in the same mode at the same "
    "batch size. Rounded widths are padded to multiples of 8 with silent neurons. ± is half of the widest 95 % "
    "interval over a cell's windows."
)


def _number(title: str, name: str, form: str, scale: float = 1, dropped: int = 0) -> Column:
    return Column(
        title,
        lambda row: number_text(row[name], form, scale=scale),
        value(name),
        concerns=lambda row: not math.isnan(row[name]),
        dropped=dropped,
    )


def _of_dense(title: str, name: str) -> Column:
    def text(row: Row) -> str:
        ratio, low, high = (float(row[f"{name}_{end}"]) for end in ("ratio", "low", "high"))
        return with_interval(ratio, low, high, ".1f", "%", 100)

    ratio = f"{name}_ratio"
    return Column(title, text, value(ratio), concerns=lambda row: not math.isnan(row[ratio]))


def _removed(row: Row) -> str:
    return "schedule" if math.isnan(row["sparsity"]) else percent(row["sparsity"], ".3g")


COLUMNS = (
    Column("Batch", lambda row: str(row["batch_size"]), value("batch_size"), role="section"),
    replace(label("Mode", "mode"), role="section"),
    Column("Removed", _removed, value("sparsity")),
    METHOD,
    label("Widths", "widths"),
    Column("FLOPs, of dense", lambda row: share(row["flops_ratio"]), value("flops_ratio"), dropped=5),
    _of_dense("Time, of dense", "time"),
    _number("± %", "spread_pct", ".1f", dropped=1),
    _number("Latency, ms", "latency_s", ".4g", 1000, dropped=4),
    _number("Samples/s", "throughput", ",.0f", dropped=3),
    _of_dense("Energy, of dense", "energy"),
    _number("J per 1,000", "energy_j", ".4g", dropped=2),
    _number("CPU J per 1,000", "cpu_energy_j", ".4g", dropped=6),
)
"""The columns for reading; the CSV has every number."""


def use_view(compared: pd.DataFrame, suite: str) -> Iterator[Block]:
    """A table for each pool in sections of equal batch and mode, then the notes."""
    yield Heading(f"{suite}: using the networks")
    yield from use_tables(compared)
    yield Bullets(notes(compared), "quiet")


def use_tables(compared: pd.DataFrame, href: Callable[[Row], str] = no_link) -> Iterator[Block]:
    """A heading and a table for each pool whose time was measured."""
    for names, rows in compared[compared["measured"] > 0].groupby(POOL, sort=True):
        title = Pool(*map(str, names)).title
        yield Heading(title, 3)
        yield Table(COLUMNS, rows.to_dict("records"), f"Use of the networks of {title}", href)


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
