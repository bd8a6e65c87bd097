"""Our curves compared with published ones, cycle by cycle."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from dtcbench.report.blocks import Block, Heading, Paragraph, Table, texts
from dtcbench.text import number_text

_TITLES = ("cycle", "published width", "our width", "published", "ours", "difference")


def comparison(cycles: pd.DataFrame, reference: pd.DataFrame) -> Iterator[Block]:
    """Test accuracy after each compression, ours and the published, per method; `=` if they are equal
    to the last bit. Every cell of a method has a table of its own."""
    for method in reference.columns.drop(["cycle", "width"]):
        ours = cycles[cycles["method"] == method].drop_duplicates(["key", "cycle"])
        for _, curve in ours.groupby("key", sort=False):
            yield from _beside(curve, reference[["cycle", "width", method]], method)
        if ours.empty:
            yield Paragraph(f"{method}: this run has no finished cell of it")


def _beside(curve: pd.DataFrame, reference: pd.DataFrame, method: str) -> Iterator[Block]:
    cell = curve.iloc[0]
    solver = f"/{cell['solver']}" if isinstance(cell["solver"], str) else ""
    ours = curve[["cycle", "width_after", "test_after"]].astype(float)
    rows = reference.merge(ours, on="cycle", how="outer").sort_values("cycle").to_dict("records")
    differences = [row["test_after"] - row[method] for row in rows]
    lines = [
        (
            *(number_text(row[name], "g") for name in ("cycle", "width", "width_after")),
            *(number_text(row[name], ".16f") for name in (method, "test_after")),
            "=" if difference == 0 else number_text(difference, "+.4f"),
        )
        for row, difference in zip(rows, differences, strict=True)
    ]
    yield Heading(f"{cell['method']}{solver}, seed {cell['seed']}, cell {cell['key'][:12]}", 3)
    yield Table(texts(_TITLES, numbers=_TITLES, dropped=_TITLES[1:3]), lines)
    yield Paragraph(f"{differences.count(0)} of {len(rows)} cycles equal to the last bit")
