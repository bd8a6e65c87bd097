"""The grid's axes on the terminal: names, what they are, and their options."""

from __future__ import annotations

import json

from rich import box
from rich.table import Table

from dtcbench.registry import Axis


def axis_table(axis: Axis) -> Table:
    """One row per registered name."""
    table = Table(title=f"{axis.noun}s", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", style="bold")
    table.add_column("what it is", ratio=1)
    table.add_column("options and defaults")
    for name in axis.names():
        table.add_row(name, axis.summary(name), options_text(axis, name))
    return table


def options_text(axis: Axis, name: str) -> str:
    """`lam: 0.3, drop: smallest`, as a suite would spell them."""
    defaults = axis.options(name)().model_dump(mode="json")
    return ", ".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in defaults.items()
    )
