"""Which figures there are of a leaderboard and of the claims: chosen here once, for the pages as for paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pandas as pd

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.analysis.pairing import DENSE, POOL, Pool, tidy
from dtcbench.analysis.verdicts import Conclusion
from dtcbench.report import figures, forest
from dtcbench.report.power_chart import power_figure
from dtcbench.report.score import Score, score_of
from dtcbench.report.vega import Spec, Style
from dtcbench.text import file_name, file_names

Traces = Mapping[str, pd.DataFrame]
"""Samples of power by cell key."""
_POWER_CAPTION = (
    "One seed's GPU power as the driver reported it: dense, and each method at its highest planned sparsity. Thick "
    "in the repeats of a training, where the energy counts; thin elsewhere."
)

_COMPARISONS = (
    "One line per comparison: the mean over seeds with its 95 % interval. The dashed lines are what the rule holds the "
    "interval against."
)
_CURVES = (
    "The published accuracies after each compression, and ours: mean over seeds, and the interval in which one more "
    "seed would lie."
)
_LAW = (
    "The entropy of each cycle's measurements against what n Gaussian numbers of the same norm are expected to have. "
    "Ours in bits, means over seeds; the paper's as published, bits incoming and nats outgoing, from 3 measurements on."
)


_USE = (
    "{quantity} per sample of using the network against its FLOPs, both in per cent of the paired dense network in the "
    "same mode at the same batch size. On the dotted line it falls as the FLOPs do. Hollow points are networks whose "
    "widths are padded to multiples of 8; dashed lines are CUDA graphs."
)


@dataclass(frozen=True)
class Drawing:
    """One figure, before it is drawn."""

    name: str
    """Lower-case words with hyphens; of all a pool's figures, only this one has it."""
    title: str
    caption: str
    figure: Callable[[], Spec]


def of_leaderboard(
    leaderboard: Leaderboard,
    cells: pd.DataFrame,
    cycles: pd.DataFrame,
    traces: Traces,
    use: pd.DataFrame | None = None,
) -> list[list[Drawing]]:
    """The figures of each of the leaderboard's pools, in their order; empty for a pool without an ok cell.

    `use` compares the ways of use (`records/use.py`); None if none was measured.
    """
    looks = figures.styles(leaderboard)
    drawn = [list(_of_pool(pool, rows, cells, cycles, traces, looks)) for pool, rows in leaderboard.pools]
    if use is not None:
        for (pool, _), of_pool in zip(leaderboard.pools, drawn, strict=True):
            of_pool += _of_use(_part(use, pool), looks)
    return drawn


def by_file_name(leaderboard: Leaderboard, drawn: Sequence[Sequence[Drawing]]) -> dict[str, Drawing]:
    """The figures of `of_leaderboard` by plain names that start with their pool's, no two alike."""
    names = file_names([pool.title for pool, _ in leaderboard.pools])
    return {
        f"{name}-{drawing.name}": drawing for name, of_pool in zip(names, drawn, strict=True) for drawing in of_pool
    }


def of_rows(rows: pd.DataFrame, cycles: pd.DataFrame, looks: dict[str, Style]) -> Iterator[Drawing]:
    """The figures of some rows of one pool and of their cycles; none without an ok cell."""
    if not rows["ok"].any():
        return
    score = score_of(rows.to_dict("records"))
    name = score.noun[0].upper() + score.noun[1:]
    yield Drawing(
        f"{score.name}-by-sparsity",
        f"{name} against sparsity",
        "Mean over seeds; bars are the 95 % intervals over three or more seeds. "
        "The dashed line is dense, with its interval as a band. Accuracy is on the logarithm of its error.",
        partial(figures.score_by_sparsity, rows, looks, score),
    )
    if rows["training_flops_ratio"].notna().any():
        yield Drawing(
            f"{score.name}-by-training-flops",
            f"{name} against training FLOPs",
            "FLOPs of training relative to the paired dense cells; FLOPs are not energy. The dotted line is "
            "the Pareto front: no other point is at least as good in both and better in one. "
            "Hollow points are beaten.",
            partial(figures.score_by_training_flops, rows, looks, score),
        )
    if not cycles.empty:
        yield Drawing(
            "over-cycles",
            f"{name} and entropy over the cycles",
            _cycles_caption(cycles, score),
            partial(figures.over_cycles, cycles, looks, score),
        )


def of_claims(conclusions: Sequence[Conclusion]) -> dict[int, list[Drawing]]:
    """The figures of each claim, by its place, counted from 1; a claim without any value has none."""
    drawn: dict[int, list[Drawing]] = {}
    for number, conclusion in enumerate(conclusions, 1):
        if forest.has_figure(conclusion):
            caption = _CURVES if any(comparison.levels for comparison in conclusion.comparisons) else _COMPARISONS
            name = f"claim-{file_name(conclusion.id)}"
            figure = partial(forest.claim_figure, conclusion)
            drawn.setdefault(number, []).append(Drawing(name, conclusion.title, caption, figure))
        if any(comparison.law for comparison in conclusion.comparisons):
            name = f"claim-{file_name(conclusion.id)}-law"
            law = Drawing(name, "The entropy law", _LAW, partial(forest.law_figure, conclusion))
            drawn.setdefault(number, []).append(law)
    return drawn


def _of_pool(
    pool: Pool,
    rows: pd.DataFrame,
    cells: pd.DataFrame,
    cycles: pd.DataFrame,
    traces: Traces,
    looks: dict[str, Style],
) -> Iterator[Drawing]:
    yield from of_rows(rows, _part(cycles, pool), looks)
    if shown := _shown(_part(cells, pool), traces):
        yield Drawing("power", "Power over time", _POWER_CAPTION, partial(_power, shown, traces, looks))


def _of_use(use: pd.DataFrame, looks: dict[str, Style]) -> Iterator[Drawing]:
    quantities: tuple[Literal["time", "energy"], ...] = ("time", "energy")
    for quantity in quantities:
        if use.loc[use["method"] != DENSE, f"{quantity}_ratio"].notna().any():
            words = quantity.capitalize()
            figure = partial(figures.use_by_flops, use, looks, quantity)
            yield Drawing(f"{quantity}-of-use", f"{words} of use", _USE.format(quantity=words), figure)


def _power(shown: Mapping[str, str], traces: Traces, looks: Mapping[str, Style]) -> Spec:
    return power_figure({label: traces[key] for label, key in shown.items()}, looks)


def _cycles_caption(cycles: pd.DataFrame, score: Score) -> str:
    caption = (
        f"{figures.score_shown(cycles).capitalize()} {score.noun} after each cycle, just after its compression "
        "where it has one, each method at "
        "its highest planned sparsity, mean over seeds. Entropies are means over layers of the incoming "
        "(solid) and outgoing (dashed) measurements. n measurements bound the entropy by log2 n, so bits "
        "fall as layers shrink; the lowest panel divides by that bound."
    )
    silent = figures.without_entropy(cycles)
    return f"{caption} These measure nothing and have no entropy: {', '.join(silent)}." if silent else caption


def _shown(cells: pd.DataFrame, traces: Traces) -> dict[str, str]:
    """By label, the key of one seed's cell: of dense, and of every other competitor at its highest planned sparsity."""
    metered = tidy(cells)
    metered = metered[metered["key"].isin(list(traces))]
    if metered.empty:
        return {}
    one_seed = metered[metered["seed"] == metered["seed"].min()].sort_values("sparsity", kind="stable")
    names = zip(one_seed["method"], one_seed["solver"], strict=True)
    labelled = one_seed.assign(label=[series_label(method, solver) for method, solver in names])
    highest = labelled.drop_duplicates("label", keep="last").sort_values("label", kind="stable")
    return {str(label): str(key) for label, key in zip(highest["label"], highest["key"], strict=True)}


def _part(table: pd.DataFrame, pool: Pool) -> pd.DataFrame:
    """The rows of a table that belong to a pool."""
    return table[(table[POOL] == list(pool)).all(axis=1)]
