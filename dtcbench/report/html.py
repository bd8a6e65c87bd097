"""The report of one suite as a single HTML page that loads nothing from anywhere."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import pandas as pd
import plotly.graph_objects as go
import plotly.offline
from markupsafe import Markup

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.analysis.pairing import IDENTITY, POOL, one_line, tidy
from dtcbench.report import figures
from dtcbench.report.columns import ABSENT, SUMMARY_COLUMNS, Column, Row, shown, sparsity, summary_pools
from dtcbench.report.power import power_figure

_POWER_CAPTION = (
    "One seed's GPU power as the driver told it: dense, and each method at its highest planned sparsity. Solid where "
    "the energy counts, faint elsewhere; a cell shorter than the window is repeated inside it."
)


@dataclass(frozen=True)
class Cell:
    """One table cell: what is read and, as text, what it sorts by; empty where there is nothing."""

    text: str
    value: str
    is_number: bool


@dataclass(frozen=True)
class Figure:
    """One figure of the page: the id of its element, what it shows, and plotly's description of it."""

    id: str
    title: str
    caption: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Pool:
    """The results of one (protocol, dataset, model)."""

    title: str
    columns: tuple[Column, ...]
    table: list[list[Cell]]
    figures: list[Figure]


def page(board: Leaderboard, cells: pd.DataFrame, cycles: pd.DataFrame, traces: Mapping[str, pd.DataFrame]) -> str:
    """The page: leaderboard, figures, failures and notes. The same frames give the same bytes."""
    looks = figures.styles(board)
    return template("page.html").render(
        board=board,
        pools=[
            _pool(f"pool-{number}", pool, rows, _of_pool(cycles, pool), _shown(_of_pool(cells, pool), traces), looks)
            for number, (pool, rows) in enumerate(board.pools, 1)
        ],
        summaries=[_summary(title, rows) for title, rows in summary_pools(board)],
        has_results=bool((cells["status"] == "ok").any()),
        failures=_failures(cells),
        plotly_js=Markup(plotly.offline.get_plotlyjs()),  # noqa: S704 - the installed plotly's own source
    )


@functools.cache
def template(name: str) -> jinja2.Template:
    """A page's template: everything that it is given is escaped, and nothing that it asks for may be missing."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dtcbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _pool(
    id: str,
    pool: Sequence[str],
    rows: pd.DataFrame,
    cycles: pd.DataFrame,
    traces: Mapping[str, pd.DataFrame],
    looks: dict[str, figures.Style],
) -> Pool:
    records = rows.to_dict("records")
    columns = shown(records)
    table = [[_cell(column, row) for column in columns] for row in records]
    drawn = _figures(id, rows, cycles, looks) if rows["ok"].any() else []
    if traces:
        drawn.append(_figure(f"{id}-power", "Power over time", _POWER_CAPTION, power_figure(traces, looks)))
    return Pool(" · ".join(pool), columns, table, drawn)


def _summary(title: str, rows: Sequence[Row]) -> Pool:
    return Pool(title, SUMMARY_COLUMNS, [[_cell(column, row) for column in SUMMARY_COLUMNS] for row in rows], [])


def _cell(column: Column, row: Row) -> Cell:
    return Cell(column.text(row), _sortable(column.value(row)), column.is_number)


def _sortable(value: float | str) -> str:
    """`value` as the page's script reads it; empty where there is none."""
    if not isinstance(value, float) or math.isfinite(value):
        return str(value)
    return "" if math.isnan(value) else "Infinity"


def _figures(id: str, rows: pd.DataFrame, cycles: pd.DataFrame, looks: dict[str, figures.Style]) -> list[Figure]:
    drawn = [
        _figure(
            f"{id}-sparsity",
            "Accuracy against sparsity",
            "Mean over seeds; bars are the 95 % intervals, where there are three seeds or more. "
            "The dashed line is dense, with its interval as a band.",
            figures.accuracy_by_sparsity(rows, looks),
        ),
        _figure(
            f"{id}-flops",
            "Accuracy against training FLOPs",
            "FLOPs of training relative to the paired dense cells; FLOPs are not energy. The dotted line is "
            "the Pareto front: no other point is at least as good in both and better in one. "
            "Hollow points are beaten.",
            figures.accuracy_by_training_flops(rows, looks),
        ),
    ]
    if not cycles.empty:
        drawn.append(
            _figure(
                f"{id}-cycles",
                "Accuracy and entropy over the cycles",
                _cycles_caption(cycles),
                figures.over_cycles(cycles, looks),
            )
        )
    return drawn


def _cycles_caption(cycles: pd.DataFrame) -> str:
    caption = (
        f"{figures.accuracy_shown(cycles).capitalize()} accuracy after each cycle, just after its compression "
        "where it has one, each method at "
        "its highest planned sparsity, mean over seeds. Entropies are means over layers of the incoming "
        "(solid) and outgoing (dashed) measurements. n measurements bound the entropy by log2 n, so bits "
        "fall as layers shrink; the lowest panel divides by that bound."
    )
    silent = figures.without_entropy(cycles)
    return f"{caption} These measure nothing and have no entropy: {', '.join(silent)}." if silent else caption


def _figure(id: str, title: str, caption: str, drawing: go.Figure) -> Figure:
    # Plotly's own JSON turns NaN into null, which a browser's parser needs.
    return Figure(id, title, caption, json.loads(drawing.to_json()))


def _shown(cells: pd.DataFrame, traces: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """By label, the traces of one seed: of dense, and of every other competitor at its highest planned sparsity."""
    metered = tidy(cells)
    metered = metered[metered["key"].isin(list(traces))]
    if metered.empty:
        return {}
    one_seed = metered[metered["seed"] == metered["seed"].min()].sort_values("sparsity", kind="stable")
    names = zip(one_seed["method"], one_seed["solver"], strict=True)
    labelled = one_seed.assign(label=[series_label(method, solver) for method, solver in names])
    highest = labelled.drop_duplicates("label", keep="last").sort_values("label", kind="stable")
    return {str(label): traces[key] for label, key in zip(highest["label"], highest["key"], strict=True)}


def _of_pool(table: pd.DataFrame, pool: Sequence[str]) -> pd.DataFrame:
    return table[(table[POOL] == list(pool)).all(axis=1)]


def _failures(cells: pd.DataFrame) -> list[dict[str, str]]:
    """One line per cell that is not ok, by identity and seed."""
    failed = tidy(cells)
    failed = failed[failed["status"] != "ok"]
    return [
        {
            **{name: str(cell[name]) or ABSENT for name in IDENTITY},
            "sparsity": sparsity(cell),
            "seed": str(cell["seed"]),
            "status": str(cell["status"]),
            "attempt": ABSENT if pd.isna(cell["attempt"]) else f"{cell['attempt']:.0f}",
            "reason": ABSENT if pd.isna(cell["reason"]) else one_line(str(cell["reason"])),
        }
        for cell in failed.to_dict("records")
    ]
