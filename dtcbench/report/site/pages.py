"""All pages of the site, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import pandas as pd

from dtcbench.analysis.leaderboard import series_label
from dtcbench.records.run import Run
from dtcbench.report import elements
from dtcbench.report.blocks import Row
from dtcbench.report.build import claims_notes, compared_use
from dtcbench.report.elements import Frame
from dtcbench.report.html import page
from dtcbench.report.site.cell_page import cell_page
from dtcbench.report.site.claims_page import ClaimsOnHardware, claims_page
from dtcbench.report.site.method_page import method_page
from dtcbench.report.site.overview import findings_page, overview_page
from dtcbench.report.site.site_run import SiteRun, cell_file
from dtcbench.report.site.suite_page import suite_page


def site(runs: Sequence[SiteRun], opening: str, judged: Sequence[ClaimsOnHardware]) -> Iterator[tuple[str, str]]:
    """Name in the site and content of every page and of what they share. The same records give the same bytes.

    Parameters
    ----------
    opening : Markdown, the page of the findings
    judged : the claims, by kind of hardware, as `judge` gives them
    """
    first, second = Frame("assets"), Frame("assets", (("Overview", "index.html"),))
    yield "index.html", page("Results", overview_page(runs, judged), first)
    yield "findings.html", page("Findings", findings_page(opening), second)
    yield "claims.html", page("The claims", claims_page(judged, runs), second)
    yield f"assets/{elements.VEGA}", elements.vega_js()
    for name in elements.ASSETS:
        yield f"assets/{name}", elements.template(name).render()
    for shown in runs:
        for name, content in _of_run(shown):
            yield f"{shown.path}/{name}", content


def judge(runs: Sequence[SiteRun], reference: pd.DataFrame | None) -> list[ClaimsOnHardware]:
    """The claims by the cells of all runs on one kind of hardware, for each kind on which something was measured.

    Every claim says itself which of the cells count. Without any that does, each kind says what is lacking.
    """
    groups = groupby(sorted(runs, key=lambda shown: shown.hardware), key=lambda shown: shown.hardware)
    judged = [_judged(hardware, list(same), reference) for hardware, same in groups]
    return [one for one in judged if any(finding.cells for finding in one.findings)] or judged


def _judged(hardware: str, runs: Sequence[SiteRun], reference: pd.DataFrame | None) -> ClaimsOnHardware:
    pooled = Run.pool([shown.run for shown in runs])
    suites = tuple(dict.fromkeys(shown.suite for shown in runs))
    return ClaimsOnHardware(hardware, suites, pooled.claims(reference), pooled.rules(), tuple(claims_notes(pooled)))


def _of_run(shown: SiteRun) -> Iterator[tuple[str, str]]:
    run, methods = shown.run, shown.methods
    attempts = run.store.read().attempts
    traces = dict(run.traces)

    def of_method(row: Row) -> str:
        return methods[row["method"], row["solver"]]

    def of_cell(row: Row) -> str:
        return cell_file(row["key"])

    suite = suite_page(run.leaderboard(), run.cells, run.cycles, traces, of_method, of_cell, compared_use(run))
    yield "index.html", page(shown.suite, suite, shown.frame(0))
    for (method, solver), name in methods.items():
        title = f"{series_label(method, solver)} in {shown.suite}"
        yield name, page(title, method_page(shown, method, solver), shown.frame(1))
    names = zip(run.cells["key"], run.cells["method"], run.cells["solver"], strict=True)
    competitors = {str(key): (str(method), "" if pd.isna(solver) else str(solver)) for key, method, solver in names}
    for cell in run.plan.cells:
        competitor = competitors[cell.key]
        frame = shown.frame(1, (series_label(*competitor), f"../{methods[competitor]}"))
        yield cell_file(cell.key), page(cell.label, cell_page(shown, cell, attempts.get(cell.key, ())), frame)
