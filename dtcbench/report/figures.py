"""The figures of one pool. Every method keeps one colour and marker through a whole report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import pandas as pd

from dtcbench.analysis import ranks
from dtcbench.analysis.leaderboard import ENTROPIES, Leaderboard, series_label
from dtcbench.analysis.pairing import DENSE, registered_name
from dtcbench.report import row_texts
from dtcbench.report.blocks import Row
from dtcbench.report.score import Score
from dtcbench.report.score_axis import ScoreAxis, score_axis
from dtcbench.report.vega import (
    COLOURS,
    CROSSED,
    FROM_ZERO,
    MARKERS,
    NEUTRAL,
    Axis,
    Dash,
    Panel,
    Spec,
    Style,
    band,
    figure,
    level,
    point,
)
from dtcbench.text import count_of, number_text, with_interval

_FIRST = (
    *("dtc", "random", "magnitude", "dtc-published", "shuffled", "scratch"),
    *("random-published", "magnitude-published", "taylor", "fpgm", "dense-matched", "anti-magnitude"),
    *("hrank", "slimming", "global-magnitude", "depgraph"),
)
"""Methods in the order of colours: those of one suite that a reader compares first have different ones."""
FRONT, AS_FLOPS = "Pareto front", "as its FLOPs"
_LINE = Style(NEUTRAL, "stroke")
"""Of what is no method."""
_ENTROPIES: tuple[tuple[str, tuple[tuple[str, Dash], ...]], ...] = (
    ("Entropy, bits", (("entropy_in_bits", "solid"), ("entropy_out_bits", "dash"))),
    ("Entropy / log2 n", (("entropy_in_normalised", "solid"), ("entropy_out_normalised", "dash"))),
)
"""The title of each panel under that of the score, and its quantities."""


def styles(leaderboard: Leaderboard) -> dict[str, Style]:
    """The style of each method (with its solver), by its `series_label`; dense is grey.

    A method of the package has the same colour in every suite, its variants other markers.
    """
    named = dict(zip(_labels(leaderboard.rows), map(registered_name, leaderboard.rows["method"]), strict=True))
    named.pop(DENSE, None)
    others = sorted(set(named.values()) - set(_FIRST))
    order = {name: place for place, name in enumerate((*_FIRST, *others))}
    chosen: dict[str, int] = {}
    for label in sorted(named, key=lambda label: (order[named[label]], label)):
        chosen[label] = _free(order[named[label]], set(chosen.values()))
    looks = {label: Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for label, i in sorted(chosen.items())}
    return {DENSE: Style(NEUTRAL, CROSSED), **looks}


def _free(place: int, taken: set[int]) -> int:
    """The first free place of the same colour; without one, the next of any, and where all are taken the same."""
    count = len(COLOURS) * len(MARKERS)
    alike = [(place + step) % count for step in range(0, count, len(COLOURS))]
    return next((one for one in (*alike, *range(count)) if one not in taken), place)


def score_by_sparsity(rows: pd.DataFrame, looks: dict[str, Style], score: Score) -> Spec:
    """Test accuracy, or R2, against sparsity with intervals over seeds, dense as a horizontal band."""
    placed = _placed(rows)
    y = _axis(score, placed)
    mean, low, high = (f"{score.name}_{end}" for end in ("mean", "low", "high"))
    points, behind = [], []
    for row in placed.to_dict("records"):
        if row["method"] == DENSE:
            behind += [band(y.axis, *y.reach(row[low], row[high]))] if math.isfinite(row[low]) else []
            behind += level(y.axis, y.at(row[mean]), DENSE)
        else:
            reach = y.reach(row[low], row[high])
            points.append(point(row["label"], 100 * row["x"], y.at(row[mean]), words=_words(row, score), reach=reach))
    return figure([Panel(points, y.axis, behind, height=300)], Axis("Neurons removed, %"), looks)


def score_by_training_flops(rows: pd.DataFrame, looks: dict[str, Style], score: Score) -> Spec:
    """Test accuracy, or R2, against training FLOPs relative to dense; points off the Pareto front are hollow."""
    placed = _placed(rows).dropna(subset=["training_flops_ratio"])
    placed = placed.sort_values("training_flops_ratio", kind="stable")
    y, mean = _axis(score, placed), f"{score.name}_mean"
    on_front = ranks.pareto_front(placed["training_flops_ratio"], placed[mean])
    of_methods = [
        point(
            row["label"],
            100 * row["training_flops_ratio"],
            y.at(row[mean]),
            words=f"{_words(row, score)}, {row_texts.share(row['training_flops_ratio'])} of the FLOPs",
            hollow=not best,
            joined=False,
        )
        for row, best in zip(placed.to_dict("records"), on_front, strict=True)
    ]
    front = _steps([(place["x"], place["y"]) for place in of_methods if not place["hollow"]])
    points = [*(point(FRONT, *place, dash="dot", marked=False) for place in front), *of_methods]
    return figure([Panel(points, y.axis, height=300)], Axis("Training FLOPs, % of dense"), {FRONT: _LINE, **looks})


def over_cycles(cycles: pd.DataFrame, looks: dict[str, Style], score: Score) -> Spec:
    """Accuracy, or R2, after each compression and the entropies behind it, mean over layers, then seeds.

    `cycles` are those of one pool; each method is shown at its highest planned sparsity.
    """
    means = _cycle_means(cycles)
    y = score_axis(score, score.title, means["score"])
    panels = [Panel(list(_curves(means, "score", "solid", y)), y.axis)]
    for title, quantities in _ENTROPIES:
        points = [point for name, dash in quantities for point in _curves(means, name, dash)]
        panels.append(Panel(points, Axis(title), height=160))
    return figure(panels, Axis("Train-compress cycle"), looks)


def use_by_flops(rows: pd.DataFrame, looks: dict[str, Style], quantity: Literal["time", "energy"]) -> Spec:
    """Time or joules of using the networks against their FLOPs, all relative to dense; a panel for each batch size.

    `rows` are those of one pool of `records.use.compared`. Hollow points are networks at rounded widths, dashed lines
    CUDA graphs; on the dotted line the quantity falls as the FLOPs do.
    """
    ratio, low, high = (f"{quantity}_{end}" for end in ("ratio", "low", "high"))
    placed = rows.assign(label=_labels(rows)).dropna(subset=[ratio]).sort_values("flops_ratio", kind="stable")
    panels = []
    for size in sorted(set(rows["batch_size"])):
        points = [point(AS_FLOPS, at, at, dash="dot", marked=False) for at in (0, 100)]
        at_size = placed[(placed["batch_size"] == size) & (placed["method"] != DENSE)]
        for row in at_size.to_dict("records"):
            name = ", ".join([row["label"], row["widths"], row["mode"]])
            text = with_interval(row[ratio], row[low], row[high], ".1f", "%", 100)
            points.append(
                point(
                    row["label"],
                    100 * row["flops_ratio"],
                    100 * row[ratio],
                    words=f"{name}: {text} of dense's {quantity} at {row_texts.share(row['flops_ratio'])} of its FLOPs",
                    reach=(100 * row[low], 100 * row[high]),
                    hollow=row["widths"] == "rounded",
                    dash="solid" if row["mode"] == "eager" else "dash",
                )
            )
        title = f"{quantity.capitalize()}, %, batch {size}"
        panels.append(Panel(points, Axis(title, FROM_ZERO), height=200))
    return figure(panels, Axis("FLOPs of a sample, % of dense", FROM_ZERO), {AS_FLOPS: _LINE, **looks})


def score_shown(cycles: pd.DataFrame) -> str:
    """Which accuracy, or R2, the cycles of a pool hold: `test`, or `validation` where test was not evaluated."""
    return "test" if cycles[["test_before", "test_after"]].notna().any(axis=None) else "validation"


def without_entropy(cycles: pd.DataFrame) -> list[str]:
    """The methods none of whose cells measured anything, by label, sorted."""
    has_one = cycles[ENTROPIES].notna().any(axis=1).groupby(_labels(cycles)).any()
    return [str(label) for label in has_one.index[~has_one]]


def _curves(means: pd.DataFrame, quantity: str, dash: Dash, y: ScoreAxis | None = None) -> Iterator[Spec]:
    """The points of each method that has any."""
    for row in means[quantity].dropna().reset_index().to_dict("records"):
        label, cycle, value = row["label"], row["cycle"], row[quantity]
        words = f"{label}, cycle {cycle}: {y.score.text(value) if y else number_text(value, '.3f')}"
        yield point(label, cycle, y.at(value) if y else value, words=words, dash=dash)


def _cycle_means(cycles: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, or R2, and entropies by (label, cycle), each method at its highest planned sparsity."""
    after, before = (cycles[f"{score_shown(cycles)}_{when}"].astype(float) for when in ("after", "before"))
    # Where nothing was removed, the score before is the score after.
    known = cycles.assign(label=_labels(cycles), score=after.where(cycles["group"].notna() | after.notna(), before))
    highest = known.groupby("label")["sparsity_planned"].transform("max")
    shown = known[highest.isna() | (known["sparsity_planned"] == highest)]
    # Sums of floats depend on their order, and the order of the table has no meaning.
    quantities = shown.sort_values(["key", "cycle", "group"]).astype(dict.fromkeys(ENTROPIES, float))
    of_cells = quantities.groupby(["label", "key", "cycle"])[["score", *ENTROPIES]].mean()
    return of_cells.groupby(level=["label", "cycle"]).mean()


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that have an accuracy, with label and place on the sparsity axis, in that axis's order."""
    scored = rows[rows["ok"] > 0]
    shown = [row_texts.sparsity_shown(row) for row in scored.to_dict("records")]
    return scored.assign(label=_labels(scored), x=shown).sort_values("x", kind="stable")


def _axis(score: Score, placed: pd.DataFrame) -> ScoreAxis:
    return score_axis(score, f"Test {score.label}", placed[f"{score.name}_mean"])


def _words(row: Row, score: Score) -> str:
    """`dtc / lars, 90 % removed: accuracy 93.20 % [92.80, 93.50], 5 seeds`."""
    mean, low, high = (row[f"{score.name}_{end}"] for end in ("mean", "low", "high"))
    text = score.text(mean, low, high)
    removed = "" if row["method"] == DENSE else f", {row_texts.sparsity(row)} removed"
    return f"{row['label']}{removed}: {score.noun} {text}, {count_of(row['ok'], 'seed')}"


def _steps(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Level from each place to below or above the next, then upright."""
    steps = places[:1]
    for (_, y), place in pairwise(places):
        steps += [(place[0], y), place]
    return steps


def _labels(table: pd.DataFrame) -> list[str]:
    """The competitor each row of a leaderboard, or of cycles, belongs to."""
    solvers = table["solver"].astype(object).where(table["solver"].notna(), "")
    return [series_label(method, solver) for method, solver in zip(table["method"], solvers, strict=True)]
