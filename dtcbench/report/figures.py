"""The figures of one pool, in plotly. Every method keeps one colour and marker through a whole report."""

from __future__ import annotations

import copy
import functools
import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dtcbench.analysis import ranks
from dtcbench.analysis.leaderboard import ENTROPIES, Leaderboard, series_label
from dtcbench.analysis.pairing import DENSE
from dtcbench.report.columns import Row, sparsity, sparsity_shown
from dtcbench.report.score import ACCURACY, Score

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito, Color Universal Design, 2008; black and yellow vanish on dark and on white."""
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
"""One more than colours, so that 42 methods pass before a pair of both repeats."""
NEUTRAL = "#808080"
"""Dense and the Pareto front; readable on light and dark."""
_PANELS = (
    (2, "entropy_in_bits", "solid", 1),
    (2, "entropy_out_bits", "dash", 1),
    (3, "entropy_in_normalised", "solid", 1),
    (3, "entropy_out_normalised", "dash", 1),
)
"""Row, quantity, dash and factor of each line in the figure over cycles, under those of the score."""


@dataclass(frozen=True)
class Style:
    """How one method looks in every figure."""

    colour: str
    marker: str


def styles(leaderboard: Leaderboard) -> dict[str, Style]:
    """The style of each method (with its solver), by its `series_label`; dense is grey."""
    labels = sorted(set(_labels(leaderboard.rows)) - {DENSE})
    chosen = {label: Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(labels)}
    return {DENSE: Style(NEUTRAL, "x"), **chosen}


def score_by_sparsity(rows: pd.DataFrame, looks: dict[str, Style], score: Score) -> go.Figure:
    """Test accuracy, or R2, against sparsity with intervals over seeds, dense as a horizontal band."""
    figure = blank(1)
    scale, (mean, low, high) = score.scale, (f"{score.name}_{end}" for end in ("mean", "low", "high"))
    placed = _placed(rows)
    for label, line in placed[placed["method"] != DENSE].groupby("label"):
        figure.add_trace(
            go.Scatter(
                x=(100 * line["x"]).tolist(),
                y=(scale * line[mean]).tolist(),
                error_y={
                    "array": (scale * (line[high] - line[mean])).tolist(),
                    "arrayminus": (scale * (line[mean] - line[low])).tolist(),
                },
                **look_of(str(label), looks, "lines+markers"),
            )
        )
    for dense in placed[placed["method"] == DENSE].to_dict("records"):
        _add_dense_band(figure, dense, score)
    figure.update_xaxes(title="Neurons removed, %")
    figure.update_yaxes(title=f"Test {score.label}")
    return figure


def score_by_training_flops(rows: pd.DataFrame, looks: dict[str, Style], score: Score) -> go.Figure:
    """Test accuracy, or R2, against training FLOPs relative to dense; points off the Pareto front are hollow."""
    figure = blank(1)
    scale, mean, unit = score.scale, f"{score.name}_mean", " %" if score is ACCURACY else ""
    placed = _placed(rows).dropna(subset=["training_flops_ratio"])
    placed = placed.sort_values("training_flops_ratio", kind="stable")
    on_front = ranks.pareto_front(placed["training_flops_ratio"], placed[mean])
    front = placed[on_front]
    figure.add_trace(
        go.Scatter(
            x=(100 * front["training_flops_ratio"]).tolist(),
            y=(scale * front[mean]).tolist(),
            name="Pareto front",
            mode="lines",
            line={"color": NEUTRAL, "dash": "dot", "shape": "hv"},
            hoverinfo="skip",
        )
    )
    for label, points in placed.assign(on_front=on_front).groupby("label"):
        trace = go.Scatter(
            x=(100 * points["training_flops_ratio"]).tolist(),
            y=(scale * points[mean]).tolist(),
            text=points["sparsity_text"].tolist(),
            hovertemplate=f"%{{text}} removed: %{{y:.{score.digits}f}}{unit} at %{{x:.3g}} % of the FLOPs",
            **look_of(str(label), looks, "markers"),
        )
        trace.marker.symbol = [looks[str(label)].marker + ("" if best else "-open") for best in points["on_front"]]
        figure.add_trace(trace)
    figure.update_xaxes(title="Training FLOPs, % of dense")
    figure.update_yaxes(title=f"Test {score.label}")
    return figure


def over_cycles(cycles: pd.DataFrame, looks: dict[str, Style], score: Score) -> go.Figure:
    """Accuracy, or R2, after each compression and the entropies behind it, mean over layers, then seeds.

    `cycles` are those of one pool; each method is shown at its highest planned sparsity.
    """
    figure = blank(3)
    means = _cycle_means(cycles)
    for label, curve in means.groupby(level="label"):
        look = look_of(str(label), looks, "lines+markers")
        for row, quantity, dash, scale in ((1, "score", "solid", score.scale), *_PANELS):
            values = curve[quantity].droplevel("label").dropna()
            if values.empty:
                continue
            trace = go.Scatter(x=values.index.tolist(), y=(scale * values).tolist(), **look)
            trace.line.dash = dash
            figure.add_trace(trace, row=row, col=1)
            look["showlegend"] = False  # one entry stands for all of the method's lines
    figure.update_xaxes(title="Train-compress cycle", row=3, col=1)
    for row, title in enumerate((score.title, "Entropy, bits", "Entropy / log2 n"), 1):
        figure.update_yaxes(title=title, row=row, col=1)
    return figure.update_layout(height=720)


def use_by_flops(rows: pd.DataFrame, looks: dict[str, Style], quantity: Literal["time", "energy"]) -> go.Figure:
    """Time or joules of using the networks against their FLOPs, all relative to dense; a panel for each batch size.

    `rows` are those of one pool of `records.use.compared`. Hollow points are networks at rounded widths, dashed lines
    CUDA graphs; on the dotted line the quantity falls as the FLOPs do.
    """
    sizes = sorted(set(rows["batch_size"]))
    figure = blank(len(sizes))
    ratio, low, high = (f"{quantity}_{end}" for end in ("ratio", "low", "high"))
    placed = rows.assign(label=_labels(rows)).dropna(subset=[ratio]).sort_values("flops_ratio", kind="stable")
    named: set[str] = set()
    for row, size in enumerate(sizes, 1):
        line = {"x": [0, 100], "y": [0, 100], "name": "as its FLOPs", "mode": "lines", "hoverinfo": "skip"}
        figure.add_trace(
            go.Scatter(**line, line={"color": NEUTRAL, "dash": "dot"}, showlegend=row == 1), row=row, col=1
        )
        at_size = placed[(placed["batch_size"] == size) & (placed["method"] != DENSE)]
        for (label, widths, mode), points in at_size.groupby(["label", "widths", "mode"]):
            name = ", ".join(
                [label, *(["rounded"] if widths == "rounded" else []), *([mode] if mode != "eager" else [])]
            )
            look = {
                **look_of(label, looks, "lines+markers"),
                "name": html.escape(name),
                "showlegend": name not in named,
            }
            trace = go.Scatter(
                x=(100 * points["flops_ratio"]).tolist(),
                y=(100 * points[ratio]).tolist(),
                error_y={
                    "array": (100 * (points[high] - points[ratio])).tolist(),
                    "arrayminus": (100 * (points[ratio] - points[low])).tolist(),
                },
                **look,
            )
            trace.marker.symbol = looks[label].marker + ("-open" if widths == "rounded" else "")
            trace.line.dash = "solid" if mode == "eager" else "dash"
            figure.add_trace(trace, row=row, col=1)
            named.add(name)
        figure.update_yaxes(title=f"{quantity.capitalize()}, %, batch {size}", row=row, col=1)
    figure.update_xaxes(title="FLOPs of a sample, % of dense", row=len(sizes), col=1)
    return figure.update_layout(height=160 + 220 * len(sizes))


def score_shown(cycles: pd.DataFrame) -> str:
    """Which accuracy, or R2, the cycles of a pool hold: `test`, or `validation` where test was not evaluated."""
    return "test" if cycles[["test_before", "test_after"]].notna().any(axis=None) else "validation"


def without_entropy(cycles: pd.DataFrame) -> list[str]:
    """The methods none of whose cells measured anything, by label, sorted."""
    has_one = cycles[ENTROPIES].notna().any(axis=1).groupby(_labels(cycles)).any()
    return [str(label) for label in has_one.index[~has_one]]


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
    records = scored.to_dict("records")
    placed = scored.assign(
        label=_labels(scored),
        x=[sparsity_shown(row) for row in records],
        sparsity_text=[sparsity(row) for row in records],
    )
    return placed.sort_values("x", kind="stable")


def _labels(table: pd.DataFrame) -> list[str]:
    """The competitor each row of a leaderboard, or of cycles, belongs to."""
    solvers = table["solver"].astype(object).where(table["solver"].notna(), "")
    return [series_label(method, solver) for method, solver in zip(table["method"], solvers, strict=True)]


def look_of(label: str, looks: Mapping[str, Style], mode: str) -> dict[str, Any]:
    """The arguments of a trace that make `label` look the same everywhere."""
    style = looks[label]
    return {
        "name": html.escape(label),  # plotly would read a label's tags
        "legendgroup": label,
        "showlegend": True,
        "mode": mode,
        "line": {"color": style.colour, "width": 2},
        "marker": {
            "color": style.colour,
            "symbol": style.marker,
            "size": 9,
            "line": {"color": style.colour, "width": 1.5},
        },
    }


def _add_dense_band(figure: go.Figure, dense: Row, score: Score) -> None:
    """A line at dense's score across the figure and, if there is an interval, a band."""
    mean, low, high = (score.scale * dense[f"{score.name}_{end}"] for end in ("mean", "low", "high"))
    if not math.isnan(low):
        ends = {"y0": low, "y1": high}
        figure.add_hrect(**ends, fillcolor=NEUTRAL, opacity=0.25, line_width=0)
    figure.add_hline(
        y=mean,
        line={"color": NEUTRAL, "dash": "dash"},
        annotation={"text": DENSE, "xanchor": "right", "yanchor": "bottom"},
    )


def blank(panels: int) -> go.Figure:
    """An empty figure of `panels` plots above one another; the page adds the colours of its theme."""
    return copy.deepcopy(_made(panels))  # ten times faster than making it


@functools.cache
def _made(panels: int) -> go.Figure:
    figure = make_subplots(rows=panels, cols=1, shared_xaxes=True, vertical_spacing=0.05)
    return figure.update_layout(
        template=None,
        height=400,
        margin={"l": 60, "r": 16, "t": 16, "b": 56},
        legend={"orientation": "h", "yref": "container", "y": 1, "yanchor": "top"},
        hoverlabel={"namelength": -1},
    )
