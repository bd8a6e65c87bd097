"""The first pages of the site: the verdicts, the figure that matters most, every bundle, all rows; and the findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dtcbench.report.blocks import (
    Block,
    Bullets,
    Cards,
    Filters,
    Fold,
    Heading,
    Link,
    Paragraph,
    Prose,
    Row,
    Table,
    label,
)
from dtcbench.report.claims_view import cards
from dtcbench.report.columns import headline
from dtcbench.report.drawings import of_claims
from dtcbench.report.site.claims_page import ClaimsOnHardware, anchor, figure_of
from dtcbench.report.site.site_run import SiteRun
from dtcbench.report.site.suite_page import filters

FACETS = {
    "suite": "Suite",
    "protocol": "Protocol",
    "model": "Model",
    "dataset": "Data set",
    "hardware": "Hardware class",
    "method": "Method",
    "solver": "Solver",
}
_LEAD = (
    "DTC removes neurons of a network while it trains. {trainings:,} trainings say what that keeps and what it costs; "
    "anyone can check and repeat each."
)
_ROWS = (
    "Means over seeds with Student's t intervals of 95 %. Rows of different suites, data sets, models or hardware "
    "classes do not compare."
)
_MOST = "3b-choice-against-random"
"""The claim of the first figure: whether DTC's choice of neurons is better than a draw is what the method stands on."""


def overview_page(runs: Sequence[SiteRun], judged: Sequence[ClaimsOnHardware]) -> Iterator[Block]:
    """The page. The hardware with the most cells behind its verdicts comes first."""
    for shown in runs:
        yield from (Paragraph(obstacle, "alarm") for obstacle in shown.obstacles)
    trainings = sum(shown.run.status().get("ok", 0) for shown in runs)
    yield Heading("What Dual Tomographic Compression does, measured", 1)
    yield Paragraph(_LEAD.format(trainings=trainings), "lead")
    placed = sorted(enumerate(judged, 1), key=lambda one: -sum(len(found.cells) for found in one[1].findings))
    for number, (place, one) in enumerate(placed):
        if not number:
            yield from _first(place, one)
        else:
            yield Fold(f"The same on {one.hardware}", [_cards(place, one)])
    yield Heading("Suites")
    yield Bullets(
        [
            (Link(shown.title, f"{shown.path}/index.html"), f": {shown.run.plan.suite.question} {shown.counts}.")
            for shown in runs
        ]
        or ["Nothing is published yet."]
    )
    yield Heading("All rows")
    yield Paragraph(_ROWS)
    rows = [row for shown in runs for row in _rows(shown)]
    several = len({shown.hardware for shown in runs}) > 1
    columns = (*headline(rows), label("Suite", "suite"), *([label("Hardware class", "hardware")] if several else ()))
    yield Filters(filters(map(_facets, rows), FACETS))
    yield Table(columns, rows, "All rows of all suites", lambda row: row["href"], facets=_facets)


def findings_page(opening: str) -> Iterator[Block]:
    """The page of what was found: Markdown by whoever publishes, in which HTML is shown and not obeyed."""
    yield Prose(opening)


def _first(place: int, one: ClaimsOnHardware) -> Iterator[Block]:
    """The verdicts, and the figure that matters most."""
    yield Heading("The claims")
    by = f"On {one.hardware}, by {', '.join(one.suites) or 'no suite'}. "
    yield Paragraph((by, Link("What was found, in words", "findings.html")))
    yield _cards(place, one)
    for drawings in of_claims([found for found in one.findings if found.id == _MOST]).values():
        yield Heading(drawings[0].title)
        yield figure_of(drawings[0], one.hardware, place)


def _cards(place: int, one: ClaimsOnHardware) -> Cards:
    return cards(one.findings, lambda found: found.statement, lambda found: f"claims.html#{anchor(found, place)}")


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
