"""Findings of a check: the rule, its weight, the place and the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from dtcbench.text import one_line

Weight = Literal["error", "warning", "note"]

RULES = {
    "folder": "nothing leads out of the folder, and no file or number of files is too large to be read",
    "suite": "the suite can be read and planned, and the records are its own",
    "seals": "every record is of this version's schema, and is what was sealed under its name",
    "cells": "every planned cell has ended, and every record is of a planned cell",
    "pairs": "every ok cell pairs with the ok dense cell of its seed",
    "hardware": "cells that compare with one another ran on one hardware class and one stack",
    "provenance": "a record says what made it: a clean commit with a lock, or an installed release; no plug-ins",
    "meter": "joules come from a real GPU's counter or power, never from a simulation or a model",
    "traces": "the samples behind joules are there, are those of the record, and give its joules",
    "weights": "a kept network is the one that was sealed with its record, and gives its accuracy",
    "power": "a GPU's mean power does not exceed its limit",
    "window": "joules were read over at least a minute, or over their boards' calibrated window if that is less",
    "figures": "the numbers are possible",
    "seeds": "seeds are separate trainings, not copies of one",
    "calibration": "what calibrating a board found is as it was sealed, of a real board and of this run",
    "rules": "sealed rules are what was sealed, of this suite, and older than the first cell",
    "derived": "tables and reports are what the records give",
    "files": "every file belongs to a run",
}
"""What each rule asks for. An error bars publishing, a warning is for the reader to judge, a note only informs."""
_EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found."""

    rule: str
    weight: Weight
    where: str
    """A file of the folder, or cells."""
    reason: str
    """What is wrong, with the value and the remedy."""


def error(rule: str, where: str, reason: str) -> Finding:
    """A finding that bars publishing."""
    return Finding(rule, "error", where, reason)


def warning(rule: str, where: str, reason: str) -> Finding:
    """A finding that a reader should know of."""
    return Finding(rule, "warning", where, reason)


def note(rule: str, where: str, reason: str) -> Finding:
    """A finding that nothing is wrong with."""
    return Finding(rule, "note", where, reason)


def bars(findings: Iterable[Finding]) -> bool:
    """Whether any of the findings forbids publishing."""
    return any(finding.weight == "error" for finding in findings)


def lines(findings: Iterable[Finding]) -> list[str]:
    """One line per rule and reason, errors first, with the places it was found at; nothing of it can be markup."""
    places: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    weights, order = get_args(Weight), list(RULES)
    for found in sorted(findings, key=lambda f: (weights.index(f.weight), order.index(f.rule), f.where, f.reason)):
        places[found.weight, found.rule, found.reason].append(found.where)
    return [
        one_line(f"{weight}: {rule}: {_shown(where)}: {reason}" if any(where) else f"{weight}: {rule}: {reason}")
        for (weight, rule, reason), where in places.items()
    ]


def _shown(places: list[str]) -> str:
    more = len(places) - _EXAMPLES
    return ", ".join(places[:_EXAMPLES]) + (f" and {more} more" if more > 0 else "")
