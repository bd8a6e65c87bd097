"""Our curves compared with published ones, cycle by cycle."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from dtcbench.errors import UserError
from dtcbench.report.fitting import Fitted, Strip
from dtcbench.text import number_text

SUFFIX = "accuracy"


def read_reference(path: Path, method: str | None) -> pd.DataFrame:
    """A CSV of published accuracies: `cycle`, `width`, and per method a column `NAME_accuracy`, which
    stands for method `NAME-published`, or one column `accuracy`, which stands for `method`.

    Rows are cycles; the columns returned are `cycle`, `width` and methods. UserError names what is wrong.
    """
    try:
        frame = pd.read_csv(path, dtype=str)  # as text: not every pandas reads a number to its last bit
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).strip()
        raise UserError(f"--reference {path}: cannot be read as CSV: {reason}; give a table with commas") from None
    columns = [str(column) for column in frame.columns]
    names = {c: f"{c.removesuffix('_accuracy')}-published" for c in columns if c.endswith("_accuracy")}
    if SUFFIX in columns:
        if method is None:
            raise UserError(
                f"--reference {path}: has one column `accuracy`; say whose with --method, such as "
                "--method magnitude-published"
            )
        names[SUFFIX] = method
    absent = {"cycle", "width"} - set(columns)
    if absent or not names:
        needed = ", ".join(sorted(absent)) or "accuracy or NAME_accuracy"
        raise UserError(f"--reference {path}: has no column {needed}; it has {', '.join(columns)}")
    try:
        return frame.rename(columns=names)[["cycle", "width", *names.values()]].astype(float)
    except ValueError as error:
        raise UserError(f"--reference {path}: {error}; write plain numbers, one row per cycle") from None


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
