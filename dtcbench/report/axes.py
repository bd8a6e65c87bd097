"""What a suite may name, with the options, the checks of axis values, shipped suites and claims."""

from __future__ import annotations

import inspect
import json
from typing import Any

from dtcbench.plan import shipped
from dtcbench.plan.claim import load
from dtcbench.plan.document import Document
from dtcbench.plan.protocol import PROTOCOLS, defaults
from dtcbench.registry import Registry, protocols
from dtcbench.report.blocks import Block, Facts, Heading, Mark, Paragraph, Table, texts
from dtcbench.selftest.checking import Check
from dtcbench.text import one_line


def axis_view(axis: Registry) -> list[Block]:
    """One row per registered name."""
    return _named(f"{axis.noun}s", _rows(axis))


def protocols_view() -> list[Block]:
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


def _named(title: str, rows: list[tuple[str, str, str]]) -> list[Block]:
    return [Heading(title), Table(texts(("name", "what it is", "options and defaults")), rows)]


def suites_view() -> list[Block]:
    """One row per shipped suite: its name, and what it costs and asks."""
    suites = {name: Document.read(shipped.text(name), name).value for name in shipped.names()}
    return [
        Heading("suites"),
        Facts([(name, f"{suite['cost']}: {suite['question']}") for name, suite in suites.items()]),
    ]


def claims_view() -> list[Block]:
    """One row per shipped claim: its id, what is claimed, by whom, and the test that judges it."""
    claims = [file.claim for file in load()]
    rows = [(claim.id, claim.test, " ".join([claim.statement, *map(str, claim.sources)])) for claim in claims]
    return [Heading("claims"), Table(texts(("claim", "test", "statement and source")), rows)]


def trial_view(value: str, check: Check, contradiction: str) -> list[Block]:
    """`ok`, `waived` with the value's own reason, or `NOT SO` with what was seen."""
    what = f"{value}: {check.claim}"
    if contradiction:
        return [Paragraph((Mark(f"NOT SO  {what}: {one_line(contradiction)}", "refuted"),))]
    if check.waived:
        return [Paragraph((f"waived  {what}: {check.waived}",), "quiet")]
    return [Paragraph(("ok      ", what))]
