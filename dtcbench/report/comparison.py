"""Our curves compared with published ones, cycle by cycle."""

from __future__ import annotations

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from dtcbench.report.fitting import Fitted, Strip
from dtcbench.text import number_text


def comparison(cycles: pd.DataFrame, reference: pd.DataFrame) -> RenderableType:
    """Test accuracy after each compression, ours and the published, per method; `=` if they are equal
    to the last bit. Every cell of a method has a table of its own."""
    parts: list[RenderableType] = []
    for method in reference.columns.drop(["cycle", "width"]):
        ours = cycles[cycles["method"] == method].drop_duplicates(["key", "cycle"])
        for _, curve in ours.groupby("key", sort=False):
            parts.append(_beside(_title(curve.iloc[0]), curve, reference[["cycle", "width", method]], method))
        if ours.empty:
            parts.append(Text(f"{method}: this run has no finished cell of it"))
    return Group(*parts)


def _title(row: pd.Series) -> str:
    solver = f"/{row['solver']}" if isinstance(row["solver"], str) else ""
    return f"{row['method']}{solver}, seed {row['seed']}, cell {row['key'][:12]}"


def _beside(title: str, curve: pd.DataFrame, reference: pd.DataFrame, method: str) -> RenderableType:
    ours = curve[["cycle", "width_after", "test_after"]].astype(float)
    rows = reference.merge(ours, on="cycle", how="outer").sort_values("cycle")
    differences = [row["test_after"] - row[method] for row in rows.to_dict("records")]
    columns = {
        "cycle": [f"{cycle:g}" for cycle in rows["cycle"]],
        "published width": [number_text(width, "g") for width in rows["width"]],
        "our width": [number_text(width, "g") for width in rows["width_after"]],
        "published": [number_text(accuracy, ".16f") for accuracy in rows[method]],
        "ours": [number_text(accuracy, ".16f") for accuracy in rows["test_after"]],
        "difference": ["=" if difference == 0 else number_text(difference, "+.4f") for difference in differences],
    }
    strips = [Strip(name, texts, is_right=True) for name, texts in columns.items()]
    table = Fitted([strips, [strip for strip in strips if "width" not in strip.title]])
    equal = differences.count(0)
    return Group(Text(title, style="italic"), table, Text(f"{equal} of {len(rows)} cycles equal to the last bit\n"))
