"""The first page of the site: what was found, the verdicts, every bundle, and all rows of all leaderboards."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markupsafe import Markup

from dtcbench.report import elements
from dtcbench.report.columns import Row, headline, label
from dtcbench.report.elements import Frame, template
from dtcbench.report.site.claims_page import ClaimsOnHardware
from dtcbench.report.site.site_run import SiteRun

FACETS = {"model": "Model", "dataset": "Data set", "hardware": "Hardware class", "method": "Method"}


def overview_page(runs: Sequence[SiteRun], opening: str, judged: Sequence[ClaimsOnHardware]) -> str:
    """The page; `opening` is Markdown by whoever publishes, in which HTML is shown and not obeyed."""
    rows = [row for shown in runs for row in _rows(shown)]
    several = len({shown.hardware for shown in runs}) > 1
    columns = (*headline(rows), label("Suite", "suite"), *([label("Hardware class", "hardware")] if several else ()))
    return template("overview.html").render(
        frame=Frame("assets"),
        opening=Markup(MarkdownIt("commonmark").enable("table").disable(["html_block", "html_inline"]).render(opening)),  # noqa: S704
        judged=judged,
        runs=runs,
        table=elements.table(columns, rows, lambda row: row["href"], _facets),
        facets=elements.facets(map(_facets, rows), FACETS),
    )


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
