"""The first pages of the site: the verdicts, the figure that matters most, every bundle, all rows; and the findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markupsafe import Markup

from dtcbench.analysis.verdicts import Conclusion
from dtcbench.report import elements
from dtcbench.report.blocks import Row, label
from dtcbench.report.claims_view import effect_shown, measured_first
from dtcbench.report.columns import headline
from dtcbench.report.drawings import of_claims
from dtcbench.report.elements import Figure, Frame, template
from dtcbench.report.site.claims_page import ClaimsOnHardware, anchor
from dtcbench.report.site.site_run import SiteRun

FACETS = {
    "suite": "Suite",
    "protocol": "Protocol",
    "model": "Model",
    "dataset": "Data set",
    "hardware": "Hardware class",
    "method": "Method",
    "solver": "Solver",
}
_MOST = "3b-choice-against-random"
"""The claim of the first figure: whether DTC's choice of neurons is better than a draw is what the method stands on."""


@dataclass(frozen=True)
class Card:
    """One claim at a glance."""

    statement: str
    verdict: str
    effect: str
    """Its number with its interval, or why there is none."""
    href: str


@dataclass(frozen=True)
class Glance:
    """The claims on one kind of hardware at a glance."""

    hardware: str
    suites: tuple[str, ...]
    cards: list[Card]


def overview_page(runs: Sequence[SiteRun], judged: Sequence[ClaimsOnHardware]) -> str:
    """The page. The hardware with the most cells behind its verdicts comes first."""
    rows = [row for shown in runs for row in _rows(shown)]
    several = len({shown.hardware for shown in runs}) > 1
    columns = (*headline(rows), label("Suite", "suite"), *([label("Hardware class", "hardware")] if several else ()))
    placed = sorted(enumerate(judged, 1), key=lambda one: -sum(len(found.cells) for found in one[1].findings))
    return template("overview.html").render(
        frame=Frame("assets"),
        trainings=f"{sum(shown.run.status().get('ok', 0) for shown in runs):,}",
        judged=[Glance(one.hardware, one.suites, _cards(place, one.findings)) for place, one in placed],
        figure=_first_figure(placed[0][1].findings) if placed else None,
        runs=runs,
        table=elements.table(columns, rows, lambda row: row["href"], _facets),
        facets=elements.facets(map(_facets, rows), FACETS),
    )


def findings_page(opening: str) -> str:
    """The page of what was found: Markdown by whoever publishes, in which HTML is shown and not obeyed."""
    markdown = MarkdownIt("commonmark").enable("table").disable(["html_block", "html_inline"])
    return template("findings.html").render(
        frame=Frame("assets", (("Overview", "index.html"),)),
        opening=Markup(markdown.render(opening)),  # noqa: S704 - HTML in it is shown as it is
    )


def _cards(place: int, findings: Sequence[Conclusion]) -> list[Card]:
    return [
        Card(
            found.statement,
            found.verdict.value,
            effect_shown(found) or found.reason,
            f"claims.html#{anchor(found, place)}",
        )
        for found in measured_first(findings)
    ]


def _first_figure(findings: Sequence[Conclusion]) -> Figure | None:
    drawings = [
        drawing for drawn in of_claims([found for found in findings if found.id == _MOST]).values() for drawing in drawn
    ]
    return Figure(drawings[0].name, drawings[0].title, drawings[0].caption, drawings[0].figure()) if drawings else None


def _rows(shown: SiteRun) -> list[Row]:
    methods = shown.methods
    return [
        {
            **row,
            "suite": shown.suite,
            "hardware": shown.hardware,
            "href": f"{shown.path}/{methods[row['method'], row['solver']]}",
        }
        for row in shown.run.leaderboard().rows.to_dict("records")
    ]


def _facets(row: Row) -> dict[str, str]:
    return {name: str(row[name]) for name in FACETS}
