"""What moved between two runs, on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from dtcbench.analysis.stats import Estimate
from dtcbench.publish.compare import Move
from dtcbench.report.fitting import Fitted, Strip
from dtcbench.text import one_line

_ABSENT = "–"


def moves_view(names: tuple[str, str], rows: Sequence[Move], notes: Sequence[str]) -> RenderableType:
    """A table per (protocol, dataset, model), then the notes."""
    parts: list[RenderableType] = [Text(one_line(f"from {names[0]} to {names[1]}"), style="bold")]
    for pool, of_pool in groupby(rows, key=lambda row: row.pool):
        parts += [Text(f"\n{one_line(pool)}", style="bold"), _table(list(of_pool))]
    return Group(*parts, *(Text(f"· {one_line(note)}") for note in notes))


def _table(rows: Sequence[Move]) -> Fitted:
    strips = {
        "method": Strip("method", [row.competitor for row in rows]),
        "sparsity": Strip("sparsity", [_sparsity(row) for row in rows], is_right=True),
        "pairs": Strip("pairs", [_pairs(row) for row in rows], is_right=True),
        "accuracy": _ratios("accuracy, points", [_shown(row.accuracy, 100, "+z.2f") for row in rows]),
        "time": _ratios("time", [_shown(row.time, 1, ".3f") for row in rows]),
        "energy": _ratios("energy", [_shown(row.energy, 1, ".3f") for row in rows]),
        "verdict": Strip("verdict", [row.verdict for row in rows]),
    }
    spare = ("energy", "time")
    layouts = [[strip for name, strip in strips.items() if name not in spare[:count]] for count in (0, 1, 2)]
    return Fitted(layouts, gap=1)


def _ratios(title: str, texts: list[str]) -> Strip:
    return Strip(title, texts, is_right=True, is_whole=True)


def _sparsity(row: Move) -> str:
    return "schedule" if math.isnan(row.sparsity) else f"{row.sparsity:g}"


def _pairs(row: Move) -> str:
    alone = [f" +{count} {side}" for count, side in zip(row.alone, ("before", "after"), strict=True) if count]
    return f"{row.pairs}{''.join(alone)}"


def _shown(estimate: Estimate, factor: float, form: str) -> str:
    if math.isnan(estimate.mean):
        return _ABSENT
    low, high = (f"{factor * end:{form}}" for end in (estimate.low, estimate.high))
    interval = f" [{low}, {high}]" if estimate.interval else ""
    return f"{factor * estimate.mean:{form}}{interval}".replace("-", "−")
