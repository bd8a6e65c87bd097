"""What moved between two runs, on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dtcbench.analysis.pairing import one_line
from dtcbench.analysis.stats import Estimate
from dtcbench.publish.compare import Move

_ABSENT = "–"


def moves_view(names: tuple[str, str], rows: Sequence[Move], notes: Sequence[str]) -> RenderableType:
    """A table per (protocol, dataset, model), then the notes."""
    parts: list[RenderableType] = [Text(one_line(f"from {names[0]} to {names[1]}"), style="bold")]
    for pool, of_pool in groupby(rows, key=lambda row: row.pool):
        parts += [Text(f"\n{one_line(pool)}", style="bold"), _table(list(of_pool))]
    return Group(*parts, *(Text(f"· {one_line(note)}") for note in notes))


def _table(rows: Sequence[Move]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", overflow="fold")
    for title in ("sparsity", "pairs", "accuracy, points", "time", "energy", "verdict"):
        table.add_column(title, justify="left" if title == "verdict" else "right", no_wrap=True)
    for row in rows:
        alone = [f" +{count} {side}" for count, side in zip(row.alone, ("before", "after"), strict=True) if count]
        sparsity = "schedule" if math.isnan(row.sparsity) else f"{row.sparsity:g}"
        accuracy = _shown(row.accuracy, 100, "+z.2f")
        ratios = (_shown(row.time, 1, ".3f"), _shown(row.energy, 1, ".3f"))
        texts = (row.competitor, sparsity, f"{row.pairs}{''.join(alone)}", accuracy, *ratios, row.verdict)
        table.add_row(*(Text(one_line(text)) for text in texts))
    return table


def _shown(estimate: Estimate, factor: float, form: str) -> str:
    if math.isnan(estimate.mean):
        return _ABSENT
    low, high = (f"{factor * end:{form}}" for end in (estimate.low, estimate.high))
    interval = f" [{low}, {high}]" if estimate.interval else ""
    return f"{factor * estimate.mean:{form}}{interval}".replace("-", "−")
