"""The data card of a bundle, a README.md that a dataset hub reads, and its other derived files. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import yaml

from dtcbench.analysis.leaderboard import OF_R2, Leaderboard
from dtcbench.records import dictionary
from dtcbench.records.store import CARD
from dtcbench.records.tables import OF_REGRESSION
from dtcbench.report.leaderboard_view import leaderboard_view
from dtcbench.report.markdown import escaped, markdown
from dtcbench.text import one_line

UNKNOWN = "unknown"
"""The hub's own word for a licence that nobody has named: whoever publishes names it."""
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
"""A licence as a hub names it, such as cc-by-4.0."""
_LICENSED = re.compile(rf"---\nlicense: ({LICENCE.pattern})\n")
_TABLES = {
    "cells": "one row per planned cell: what it is, how it ended, what it measured, where it ran",
    "cycles": "one row per cell, train-compress cycle and layer: widths, accuracies, entropies",
    "power": "one row per sample of a GPU's power, by the cell's key",
    "use": "one row per cell and way of using its final network: energy, latency, throughput",
}


def licence_of(card: str) -> str:
    """The licence that a card names; `unknown` where it names none."""
    found = _LICENSED.match(card)
    return found[1] if found else UNKNOWN


def bundle_files(leaderboard: Leaderboard, made: Mapping[str, bytes | str], licence: str) -> dict[str, bytes]:
    """Everything in a bundle that is derived from its records, by name: the files `made` from them, and the card.
    `dtcbench report` makes the page, which carries megabytes of script, and the figures."""
    files = {CARD: card(leaderboard, made, licence), **made}
    return {name: content.encode() if isinstance(content, str) else content for name, content in files.items()}


def card(leaderboard: Leaderboard, files: Collection[str], licence: str) -> str:
    """The card: front matter for the hub, then what the bundle is, its leaderboard, its tables and its columns."""
    tables = [name for name in _TABLES if f"tables/{name}.parquet" in files]
    hardware = ", ".join(leaderboard.hardware_classes)
    absent = {*OF_REGRESSION, *OF_R2} if leaderboard.is_of_accuracies else ()
    head = {
        "license": licence,
        "pretty_name": one_line(f"dtcbench {leaderboard.suite} on {hardware}"),
        "tags": ["dtcbench", "model-compression", "pruning", "energy"],
        "configs": [
            {"config_name": name, "data_files": f"tables/{name}.parquet", **({"default": True} if not place else {})}
            for place, name in enumerate(tables)
        ],
    }
    blocks = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)}---",
        f"# dtcbench: {escaped(leaderboard.suite)} on {escaped(hardware)}",
        "A bundle of [dtcbench](https://arxiv.org/abs/2505.23869), the test bench for Dual Tomographic Compression: "
        "every cell of one suite on one class of hardware, sealed, and the tables that are derived from them.",
        _FILES.format(tables="\n".join(f"| `tables/{name}.parquet` | {_TABLES[name]} |" for name in tables)),
        markdown(leaderboard_view(leaderboard)).rstrip("\n"),
        "## Columns",
        "A value that was not measured is empty, with its reason, and never 0.",
        *(f"### `{file}`\n\n" + "\n".join(dictionary.lines(table, absent)) for table, file in _described(files)),
    ]
    return "\n\n".join(blocks) + "\n"


_FILES = """\
| file | what |
|---|---|
| `suite.yaml`, `names.json` | the suite that was run, and what its names meant |
| `records/KEY.ATTEMPT.json.gz` | one attempt at one cell, sealed with the SHA-256 of its content |
| `power/KEY.ATTEMPT.parquet` | the samples behind a cell's joules, if a GPU was metered |
{tables}
| `leaderboard.md`, `leaderboard.csv` | the table below, and with every number |
| `leaderboard.tex` | the same for a paper |

`dtcbench check FOLDER` applies all rules of publishing, `dtcbench reproduce FOLDER --sample 3` runs three of its cells
again, `dtcbench report FOLDER` makes its page, and its figures as PDF and SVG."""


def _described(files: Collection[str]) -> Iterator[tuple[str, str]]:
    """The tables among the bundle's files that the data dictionary describes, each with its file."""
    named = ((table, f"tables/{table}.parquet" if table in _TABLES else table) for table in dictionary.TABLES)
    return ((table, file) for table, file in named if file in files)
