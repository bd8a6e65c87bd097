"""The page of the paper's claims: each with its verdict, its rule, one figure, and the cells it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dtcbench.analysis.verdicts import Comparison, Conclusion
from dtcbench.report import elements
from dtcbench.report.blocks import Column, Row
from dtcbench.report.claims_view import MARKS, NOTE, effect_shown, effect_text, measured_first, power_text
from dtcbench.report.drawings import Drawing, of_claims
from dtcbench.report.elements import Figure, Frame, template
from dtcbench.report.site.site_run import SiteRun, pages_of_cells
from dtcbench.text import ABSENT, file_name, p_value


@dataclass(frozen=True)
class ClaimsOnHardware:
    """The claims by the runs on one kind of hardware."""

    hardware: str
    suites: tuple[str, ...]
    findings: tuple[Conclusion, ...]
    rules: tuple[str, ...]
    """Of each suite, whether its rules were sealed before its first cell."""
    notes: tuple[str, ...]
    """What must be said of cells that two suites hold with other numbers, and of the A/A control."""


def claims_page(judged: Sequence[ClaimsOnHardware], runs: Sequence[SiteRun]) -> str:
    """The page; claims lead to the cells of those runs that were made on their hardware."""
    return template("claims.html").render(
        frame=Frame("assets", (("Overview", "index.html"),)),
        judged=[
            (one, _claims(place, one.findings, pages_of_cells(run for run in runs if run.hardware == one.hardware)))
            for place, one in enumerate(judged, 1)
        ],
        note=NOTE,
    )


def _claims(place: int, findings: Sequence[Conclusion], pages: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the template shows of each claim; what was measured comes first."""
    ordered = measured_first(findings)
    drawings = of_claims(ordered)
    claims: list[dict[str, Any]] = []
    for number, finding in enumerate(ordered, 1):
        drawn = [_figure(place, drawing) for drawing in drawings.get(number, ())]
        rows: list[Row] = [{"comparison": comparison} for comparison in finding.comparisons]
        cells = [(key[:12], pages[key]) for key in finding.cells if key in pages]
        table = elements.table(_COLUMNS, rows)
        claims.append(
            {
                "anchor": anchor(finding, place),
                "finding": finding,
                "effect": effect_shown(finding),
                "figures": drawn,
                "table": table,
                "cells": cells,
            }
        )
    return claims


def anchor(finding: Conclusion, place: int) -> str:
    """Of a claim on the page, by the place of its hardware there, from 1 on."""
    return f"{file_name(finding.id)}-{place}"


def _figure(place: int, drawing: Drawing) -> Figure:
    return Figure(f"{drawing.name}-{place}", drawing.title, drawing.caption, drawing.figure())


def _of(row: Row) -> Comparison:
    comparison: Comparison = row["comparison"]
    return comparison


def _adjusted(row: Row) -> str:
    p = _of(row).p_adjusted
    return p_value(p)


def _effects(row: Row) -> str:
    return "; ".join(map(effect_text, _of(row).effects)) or ABSENT


_COLUMNS = (
    Column("Comparison", lambda row: _of(row).where, lambda row: _of(row).where, is_number=False),
    Column("Says", lambda row: MARKS[_of(row).verdict], lambda row: _of(row).verdict.value, is_number=False),
    Column("Seeds", lambda row: str(_of(row).seeds), lambda row: float(_of(row).seeds)),
    Column("Adjusted p", _adjusted, lambda row: _of(row).p_adjusted),
    Column("Why", lambda row: _of(row).reason, lambda row: _of(row).reason, is_number=False),
    Column("Effects", _effects, _effects, is_number=False),
    Column("Power", lambda row: power_text(_of(row)) or ABSENT, lambda row: power_text(_of(row)), is_number=False),
)
