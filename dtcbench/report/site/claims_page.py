"""The page of the paper's claims: each with its verdict, its rule, one figure, and the cells it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dtcbench.analysis.verdicts import Conclusion
from dtcbench.report.blocks import Block, Figure, Heading, Paragraph, Region
from dtcbench.report.claims_view import NOTE, claim_view, measured_first
from dtcbench.report.drawings import Drawing, of_claims
from dtcbench.report.site.site_run import SiteRun, pages_of_cells
from dtcbench.text import file_name


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


def claims_page(judged: Sequence[ClaimsOnHardware], runs: Sequence[SiteRun]) -> Iterator[Block]:
    """The page; claims lead to the cells of those runs that were made on their hardware."""
    yield Heading("The claims", 1)
    yield Paragraph("What is claimed, in the words of its source, and what the cells say of that.", "lead")
    yield Paragraph(NOTE)
    for place, one in enumerate(judged, 1):
        pages = pages_of_cells(run for run in runs if run.hardware == one.hardware)
        ordered = measured_first(one.findings)
        drawings = of_claims(ordered)
        yield Heading(one.hardware)
        yield Paragraph(f"By the cells of {', '.join(one.suites) or 'no suite'}.")
        yield from map(Paragraph, one.rules)
        yield from (Paragraph(note, "warning") for note in one.notes)
        for number, found in enumerate(ordered, 1):
            figures = [figure_of(drawing, found.statement, place) for drawing in drawings.get(number, ())]
            yield Region(list(claim_view(found, figures, pages, one.hardware)), anchor(found, place))
    if not judged:
        yield Paragraph("Nothing is published yet.")


def anchor(finding: Conclusion, place: int) -> str:
    """Of a claim on the page, by the place of its hardware there, from 1 on."""
    return f"{file_name(finding.id)}-{place}"


def figure_of(drawing: Drawing, about: str, place: int) -> Figure:
    """A claim's figure, by the place of its hardware on the page."""
    return Figure(f"{drawing.name}-{place}", drawing.title, drawing.caption, drawing.figure(), about)
