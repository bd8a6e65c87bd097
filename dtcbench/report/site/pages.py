"""All pages of the site, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import pandas as pd

from dtcbench.analysis.claims import conclusions
from dtcbench.analysis.verdicts import MIN_SEEDS
from dtcbench.report import elements, html
from dtcbench.report.build import pool, pooling_notes
from dtcbench.report.columns import Row
from dtcbench.report.site.cells import cell_page
from dtcbench.report.site.claims import Judged, claims_page
from dtcbench.report.site.methods import method_page
from dtcbench.report.site.overview import overview_page
from dtcbench.report.site.volumes import Volume, cell_file


def site(volumes: Sequence[Volume], opening: str, judged: Sequence[Judged]) -> Iterator[tuple[str, str]]:
    """Name in the site and content of every page and of what they share. The same records give the same bytes.

    Parameters
    ----------
    opening : Markdown that the overview begins with
    judged : the claims, by kind of hardware, as `judge` gives them
    """
    yield "index.html", overview_page(volumes, opening, judged)
    yield "claims.html", claims_page(judged, volumes)
    yield f"assets/{elements.PLOTLY}", elements.plotly_js()
    for name in elements.ASSETS:
        yield f"assets/{name}", elements.template(name).render()
    for volume in volumes:
        for name, content in _of_volume(volume):
            yield f"{volume.path}/{name}", content


def judge(volumes: Sequence[Volume], reference: pd.DataFrame | None) -> list[Judged]:
    """The claims by the cells of all volumes on one kind of hardware, and of each kind.

    A suite of fewer seeds than a verdict needs is left out, since it could only leave every claim open.
    """
    by_hardware = sorted(volumes, key=lambda volume: volume.hardware)
    groups = groupby(by_hardware, key=lambda volume: volume.hardware)
    return [_judged(hardware, list(same), reference) for hardware, same in groups]


def _judged(hardware: str, volumes: Sequence[Volume], reference: pd.DataFrame | None) -> Judged:
    heard = [volume for volume in volumes if volume.seeds >= MIN_SEEDS]
    pooled = pool([(volume.plan, volume.store) for volume in heard])
    tables = pooled.tables
    left_out = [
        f"{volume.suite} is left out: it has {volume.seeds} seeds, and a verdict needs {MIN_SEEDS}."
        for volume in volumes
        if volume not in heard
    ]
    suites = tuple(dict.fromkeys(volume.suite for volume in heard))
    found = conclusions(tables.cells, tables.cycles, reference)
    return Judged(hardware, suites, found, tuple(left_out), tuple(pooling_notes(pooled)))


def _of_volume(volume: Volume) -> Iterator[tuple[str, str]]:
    methods, tables = volume.methods, volume.derived.tables
    attempts = volume.store.read().attempts
    traces = {r.key: trace for r in tables.metered if (trace := volume.store.trace(r)) is not None}

    def of_method(row: Row) -> str:
        return methods[row["method"], row["solver"]]

    links = html.Links(of_method, lambda row: cell_file(row["key"]))
    yield "index.html", html.page(volume.derived.board, tables.cells, tables.cycles, traces, volume.frame(0), links)
    for (method, solver), name in methods.items():
        yield name, method_page(volume, method, solver)
    names = zip(tables.cells["key"], tables.cells["method"], tables.cells["solver"], strict=True)
    of_cell = {str(key): (str(method), "" if pd.isna(solver) else str(solver)) for key, method, solver in names}
    for cell in volume.plan.cells:
        yield cell_file(cell.key), cell_page(volume, cell, attempts.get(cell.key, ()), of_cell[cell.key])
