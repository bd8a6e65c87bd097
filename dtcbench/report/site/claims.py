"""The page of the paper's claims: each with its verdict, its rule, one figure, and the cells it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dtcbench.analysis.verdicts import Comparison, Finding
from dtcbench.report import elements
from dtcbench.report.claims import MARKS, NOTE, effect_text
from dtcbench.report.columns import ABSENT, Column, Row, p_value
from dtcbench.report.elements import Figure, Frame, Table, template
from dtcbench.report.forest import claim_figure

_CURVES = (
    "The published accuracies after each compression, and ours: mean over seeds, and the interval in which one more "
    "seed would lie."
)
_CAPTION = (
    "One line per comparison, in the order of the table: the mean over seeds with its 95 % interval. The dashed lines "
    "are what the rule holds the interval against."
)


@dataclass(frozen=True)
class Judged:
    """The claims as the runs on one kind of hardware judge them."""

    hardware: str
    suites: tuple[str, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]
    """Which suites did not count, and why."""
    conflicts: tuple[str, ...]
    """What must be said of cells that two suites hold with other numbers."""


@dataclass(frozen=True)
class Claim:
    """One claim as the page shows it."""

    number: int
    finding: Finding
    figures: list[Figure]
    table: Table
    cells: list[tuple[str, str]]
    """The first digits of the cells' keys, and the addresses of their pages."""


def claims_page(judged: Sequence[Judged], pages: Mapping[str, str]) -> str:
    """The page; `pages` holds the address of each cell's page, by key."""
    return template("claims.html").render(
        frame=Frame("assets", (("Overview", "index.html"),)),
        judged=[(one, [_claim(place, n, found, pages) for n, found in enumerate(one.findings, 1)])
                for place, one in enumerate(judged, 1)],
        note=NOTE,
    )  # fmt: skip


def _claim(place: int, number: int, finding: Finding, pages: Mapping[str, str]) -> Claim:
    drawing = claim_figure(finding)
    title = finding.name.capitalize()
    caption = _CURVES if any(comparison.levels for comparison in finding.comparisons) else _CAPTION
    drawn = [elements.figure(f"claim-{place}-{number}", title, caption, drawing)] if drawing else []
    rows: list[Row] = [{"comparison": comparison} for comparison in finding.comparisons]
    cells = [(key[:12], pages[key]) for key in finding.cells if key in pages]
    return Claim(number, finding, drawn, elements.table(_COLUMNS, rows), cells)


def _of(row: Row) -> Comparison:
    comparison: Comparison = row["comparison"]
    return comparison


def _adjusted(row: Row) -> str:
    p = _of(row).p_adjusted
    return ABSENT if math.isnan(p) else p_value(p)


def _effects(row: Row) -> str:
    return "; ".join(map(effect_text, _of(row).effects)) or ABSENT


_COLUMNS = (
    Column("Comparison", lambda row: _of(row).where, lambda row: _of(row).where, is_number=False),
    Column("Says", lambda row: MARKS[_of(row).verdict], lambda row: _of(row).verdict.value, is_number=False),
    Column("Seeds", lambda row: str(_of(row).seeds), lambda row: float(_of(row).seeds)),
    Column("Adjusted p", _adjusted, lambda row: _of(row).p_adjusted),
    Column("Why", lambda row: _of(row).reason, lambda row: _of(row).reason, is_number=False),
    Column("Effects", _effects, _effects, is_number=False),
)
