"""On the terminal: what a suite may name, with the options, the checks of axis values, shipped suites and claims."""

from __future__ import annotations

import inspect
import json
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dtcbench.plan import shipped
from dtcbench.plan.claim import load
from dtcbench.plan.document import Document
from dtcbench.plan.protocol import PROTOCOLS, defaults
from dtcbench.registry import Registry, protocols
from dtcbench.report.fitting import Fitted, Strip
from dtcbench.selftest.checking import Check

_READABLE = 30
"""Columns of the terminal that a text of some words takes at least."""


def axis_table(axis: Registry) -> RenderableType:
    """One row per registered name; in a narrow terminal the options stand below what it is."""
    return _named(f"{axis.noun}s", _rows(axis))


def protocols_table() -> RenderableType:
    """The same of dtcbench's own protocols, and then of plug-ins'; options without a default stand first."""
    rows = []
    for name, kind in PROTOCOLS.items():
        required = [key for key, field in kind.model_fields.items() if field.is_required() and key != "name"]
        summary = (inspect.getdoc(kind) or "").partition("\n")[0]
        rows.append((name, summary, _spelled(required, defaults(kind))))
    return _named("protocols", rows + _rows(protocols))


def _rows(axis: Registry) -> list[tuple[str, str, str]]:
    return [(name, axis.summary(name), options_text(axis, name)) for name in axis.names()]


def options_text(axis: Registry, name: str) -> str:
    """`lam: 0.3, drop: smallest`, as a suite would spell them."""
    return _spelled(axis.required(name), axis.defaults(name))


def _spelled(required: list[str], options: dict[str, Any]) -> str:
    values = {name: value if isinstance(value, str) and value else json.dumps(value) for name, value in options.items()}
    return ", ".join(f"{name}: {value}" for name, value in (dict.fromkeys(required, "…") | values).items())


def _named(title: str, rows: list[tuple[str, str, str]]) -> RenderableType:
    names = Strip("name", [Text(name, style="bold") for name, _, _ in rows], is_whole=True)
    summaries, options = [summary for _, summary, _ in rows], [options for _, _, options in rows]
    both = [Text("\n".join(filter(None, texts))) for texts in zip(summaries, options, strict=True)]
    table = Fitted(
        [
            [
                names,
                Strip("what it is", summaries, least=_READABLE),
                Strip("options and defaults", options, least=_READABLE),
            ],
            [names, Strip("what it is, options and defaults", both)],
        ]
    )
    return Group(Text(title, style="italic"), table)


def suites_table() -> Table:
    """One row per shipped suite: its name, and what it costs and asks."""
    table = Table(title="suites", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("cost and question")
    for name in shipped.names():
        suite = Document.read(shipped.text(name), name).value
        table.add_row(name, f"{suite['cost']}\n{suite['question']}")
    return table


def claims_table() -> Table:
    """One row per shipped claim: its id, what is claimed, by whom, and the test that judges it."""
    table = Table(title="claims", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim", style="bold", no_wrap=True)
    table.add_column("test", no_wrap=True)
    table.add_column("statement and source")
    for claim in (file.claim for file in load()):
        table.add_row(claim.id, claim.test, Text("\n".join([claim.statement, *map(str, claim.sources)])))
    return table


def trial_line(value: str, check: Check, contradiction: str) -> Text:
    """`ok`, `waived` with the value's own reason, or `NOT SO` with what was seen."""
    what = f"{value}: {check.claim}"
    if contradiction:
        return Text(f"NOT SO  {what}\n        {contradiction}", style="red")
    if check.waived:
        return Text(f"waived  {what}\n        {check.waived}", style="dim")
    return Text(f"ok      {what}")
