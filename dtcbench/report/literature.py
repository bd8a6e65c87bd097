"""Published tables: recomputed, where they contradict themselves, and ours at the nearest place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby

import pandas as pd

from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.literature import PublishedRow, Recomputed, counterparts
from dtcbench.report.blocks import Block, Bullets, Document, Heading, Paragraph, Table, texts
from dtcbench.report.markdown import markdown
from dtcbench.text import ABSENT, number_text, with_interval

_TITLES = ("method", "removed", "accuracy, %", "points to baseline", "speed-up")
_LEGEND = (
    "Differences, speed-ups and removed fractions are recomputed from the table's own numbers; what only the table "
    "states is marked *. Ours are means over seeds with 95 % intervals, at the nearest place of the same network and "
    "data. Sources train differently: compare the differences rather than the accuracies."
)


def published_view(rows: Sequence[PublishedRow], board: pd.DataFrame | None) -> Document:
    """A table per network and data; under it our rows, the distance to them, and every disagreement.

    `board` has the rows of a leaderboard; None for none of ours.
    """
    document: list[Block] = []
    for (network, dataset), same in groupby(rows, key=lambda row: (row.network, row.dataset)):
        of_place = list(same)
        ours, notes = ([], []) if board is None else _ours(of_place, board)
        lines = [*map(_published_line, of_place), *map(_our_line, ours)]
        columns = texts(_TITLES, numbers=_TITLES[1:], dropped=_TITLES[-1:])
        document += [Heading(f"{network} · {dataset}"), Table(columns, lines), Bullets(notes)]
        document += [Paragraph(f"! {note}", "warning") for note in _disagreements(of_place)]
    found = [row.difference.disagrees for row in rows if row.difference.stated is not None]
    sources = [f"Source: {source}" for source in dict.fromkeys(row.source for row in rows)]
    agreement = f"{sum(found)} of {len(found)} stated differences disagree with their own table."
    return [*document, Bullets([agreement, *sources]), Paragraph(_LEGEND, "quiet")]


def published_markdown(rows: Sequence[PublishedRow], board: pd.DataFrame | None) -> str:
    """The rows as a table in Markdown with their sources, then ours at the nearest places."""
    ours = [] if board is None else _ours(rows, board)[0]
    lines = [(*_published_line(row), row.source) for row in rows]
    lines += [(*_our_line(row), row["protocol"]) for row in ours]
    return markdown([Table(texts((*_TITLES, "source"), numbers=_TITLES[1:]), lines)]).rstrip("\n")


def _disagreements(rows: Iterable[PublishedRow]) -> Iterator[str]:
    for row in rows:
        quantities = {"difference": row.difference, "speed-up": row.speedup, "sparsity": row.sparsity}
        for name, found in quantities.items():
            if found.disagrees and found.value is not None:
                form = "+.2f" if name == "difference" else ".4g"
                value, stated = (number_text(float(number or 0), form) for number in (found.value, found.stated))
                yield f"{row.method}: {found.before} → {found.after} is {value}; its source states {stated} as {name}"


def _ours(rows: Sequence[PublishedRow], board: pd.DataFrame) -> tuple[list[pd.Series], list[str]]:
    """Our rows to hold the published ones against, each once, and where they are."""
    ours: dict[object, pd.Series] = {}
    notes = []
    for row in rows:
        found = list(counterparts(row, board))
        for near in found:
            ours |= {index: near.loc[index] for index in near.index}
            by = f"{_removed_text(near)} removed, {near['protocol'].iloc[0]}"
            notes.append(f"{row.method}, {_place(row)}: nearest of ours: {by}")
        if not found:
            notes.append(f"{row.method}: nothing of ours on this network and data, or no sparsity to place it by")
    in_order = sorted(ours.values(), key=lambda row: (row["sparsity_reached"], -row["accuracy_mean"]))
    return in_order, list(dict.fromkeys(notes))


def _place(row: PublishedRow) -> str:
    removed, speedup = row.sparsity.best, row.speedup.best
    if removed is not None:
        return f"{number_text(100 * float(removed), '.1f', '%')} removed"
    return f"{number_text(None if speedup is None else float(speedup), '.2f')}× faster"


def _removed_text(rows: pd.DataFrame) -> str:
    return number_text(100 * float(rows["sparsity_reached"].mean()), ".1f", "%")


def _published_line(row: PublishedRow) -> tuple[str, ...]:
    accuracy = row.numbers.get("accuracy_pct")
    return (
        row.method,
        _marked(row.sparsity, ".1f", "%", 100),
        ABSENT if accuracy is None else str(accuracy),
        _marked(row.difference, f"+.{_decimals(accuracy)}f"),
        _marked(row.speedup, ".2f", "×"),
    )


def _our_line(row: pd.Series) -> tuple[str, ...]:
    is_baseline = row["sparsity_reached"] == 0
    return (
        f"ours: {series_label(row['method'], row['solver'])}",
        number_text(row["sparsity_reached"], ".1f", "%", 100),
        with_interval(row["accuracy_mean"], row["accuracy_low"], row["accuracy_high"], ".2f", scale=100),
        "baseline"
        if is_baseline
        else with_interval(row["difference_mean"], row["difference_low"], row["difference_high"], "+.2f", scale=100),
        number_text(1 / row["inference_flops_ratio"], ".2f", "×"),
    )


def _marked(quantity: Recomputed, form: str, unit: str = "", scale: float = 1) -> str:
    """The recomputed value, or the stated one with a star."""
    if quantity.best is None:
        return ABSENT
    text = number_text(float(quantity.best), form, unit, scale)
    return text if quantity.value is not None else f"{text}*"


def _decimals(number: Decimal | None) -> int:
    exponent = number.as_tuple().exponent if number is not None else None
    return max(0, -exponent) if isinstance(exponent, int) else 2
