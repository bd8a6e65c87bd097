"""The numbers that the paper published: its accuracies and its measurements, shipped with the package.

README.md beside this file has their source and licence.
"""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

_FOLDER = files("dtcbench") / "published"


def accuracies() -> pd.DataFrame:
    """Test accuracies after each compression: `cycle`, `width`, and a column a method, `dtc-published` and so on.

    34 rows, as fractions of 1. Source: M. Süzen, arXiv 2505.23869, supplement.
    """
    table = _table("accuracies.csv").drop(columns="sparsity")
    return table.rename(columns=lambda name: name.replace("_accuracy", "-published")).astype(float)


def measurements() -> pd.DataFrame:
    """What DTC measured, 938 numbers: `cycle`, `side` (`incoming` or `outgoing`) and `y` in the weights' unit.

    Source: M. Süzen, arXiv 2505.23869, supplement.
    """
    return _table("measurements.csv").astype({"cycle": int, "y": float})


def _table(name: str) -> pd.DataFrame:
    """A file as text: not every pandas reads a number to its last bit."""
    with (_FOLDER / name).open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str)
