"""What there is to choose from, on the terminal: the grid's axes with their options, and the shipped suites."""

from __future__ import annotations

import json

from rich import box
from rich.table import Table

from dtcbench.plan import shipped
from dtcbench.plan.document import Document
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


def suites_table() -> Table:
    """One row per shipped suite: its name, and what it costs and asks."""
    table = Table(title="suites", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("cost and question")
    for name in shipped.names():
        suite = Document.read(shipped.text(name), name).value
        table.add_row(name, f"{suite['cost']}\n{suite['question']}")
    return table
