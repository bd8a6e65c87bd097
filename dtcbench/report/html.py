"""The report of one suite as an HTML page: by itself, loading nothing from anywhere, or as part of a site."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.analysis.pairing import IDENTITY, POOL, one_line, tidy
from dtcbench.report import elements, figures
from dtcbench.report.columns import ABSENT, SUMMARY_COLUMNS, Column, Row, shown, sparsity, summary_pools
from dtcbench.report.elements import ALONE, Figure, Frame, Table, no_link, template
from dtcbench.report.power import power_figure

_POWER_CAPTION = (
    "One seed's GPU power as the driver told it: dense, and each method at its highest planned sparsity. Solid where "
    "the energy counts, faint elsewhere; a cell shorter than the window is repeated inside it."
)
FACETS = {"dataset": "Data set", "model": "Model"}
"""What a leaderboard can be filtered by."""


@dataclass(frozen=True)
class Pool:
    """The results of one (protocol, dataset, model)."""

    title: str
    table: Table
    figures: list[Figure]
    facets: dict[str, str]


@dataclass(frozen=True)
class Links:
    """Where the rows of a page lead."""

    method: Callable[[Row], str] = no_link
    cell: Callable[[Row], str] = no_link


def page(
    board: Leaderboard,
    cells: pd.DataFrame,
    cycles: pd.DataFrame,
    traces: Mapping[str, pd.DataFrame],
    frame: Frame = ALONE,
    links: Links = Links(),
) -> str:
    """The page: leaderboard, figures, failures and notes. The same frames give the same bytes."""
    looks = figures.styles(board)
    pools = [
        _pool(f"pool-{number}", pool, rows, _of_pool(cycles, pool), _shown(_of_pool(cells, pool), traces), looks, links)
        for number, (pool, rows) in enumerate(board.pools, 1)
    ]
    return template("page.html").render(
        frame=frame,
        board=board,
        pools=pools,
        facets=elements.facets((pool.facets for pool in pools), FACETS),
        summaries=[
            Pool(title, elements.table(SUMMARY_COLUMNS, rows, links.method), [], {})
            for title, rows in summary_pools(board)
        ],
        has_results=bool((cells["status"] == "ok").any()),
        failures=_failures(cells, links),
    )


def _pool(
    id: str,
    pool: Sequence[str],
    rows: pd.DataFrame,
    cycles: pd.DataFrame,
    traces: Mapping[str, pd.DataFrame],
    looks: dict[str, figures.Style],
    links: Links,
) -> Pool:
    records = rows.to_dict("records")
    drawn = pool_figures(id, rows, cycles, looks)
    if traces:
        drawn.append(elements.figure(f"{id}-power", "Power over time", _POWER_CAPTION, power_figure(traces, looks)))
    _, dataset, model = pool
    facets = {"dataset": dataset, "model": model}
    return Pool(" · ".join(pool), elements.table(shown(records), records, links.method), drawn, facets)


def pool_figures(id: str, rows: pd.DataFrame, cycles: pd.DataFrame, looks: dict[str, figures.Style]) -> list[Figure]:
    """The figures of some rows of one pool and of their cycles; none where no cell is ok."""
    if not rows["ok"].any():
        return []
    drawn = [
        elements.figure(
            f"{id}-sparsity",
            "Accuracy against sparsity",
            "Mean over seeds; bars are the 95 % intervals, where there are three seeds or more. "
            "The dashed line is dense, with its interval as a band.",
            figures.accuracy_by_sparsity(rows, looks),
        ),
        elements.figure(
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
            elements.figure(
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


def _failures(cells: pd.DataFrame, links: Links) -> Table:
    """One line per cell that is not ok, by identity and seed."""
    failed = tidy(cells)
    failed = failed[failed["status"] != "ok"]
    return elements.table(_OF_FAILURES, failed.to_dict("records"), links.cell)


def _text(title: str, text: Callable[[Row], str]) -> Column:
    """A column that sorts by what it shows."""
    return Column(title, text, lambda row: "" if text(row) == ABSENT else text(row), is_number=False)


def _known(name: str, form: Callable[[Any], str]) -> Callable[[Row], str]:
    """The value of this name as `form` has it, or a dash where there is none."""
    return lambda row: ABSENT if pd.isna(row[name]) or row[name] == "" else form(row[name])


_OF_FAILURES = (
    *(_text(name.capitalize(), _known(name, str)) for name in IDENTITY if name != "sparsity"),
    Column("Sparsity", sparsity, lambda row: float(row["sparsity"])),
    Column("Seed", lambda row: str(row["seed"]), lambda row: float(row["seed"])),
    _text("Status", _known("status", str)),
    _text("Attempt", _known("attempt", "{:.0f}".format)),
    _text("Reason", _known("reason", lambda reason: one_line(str(reason)))),
)
"""The columns of the cells that are not ok."""
