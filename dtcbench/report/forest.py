"""One claim as a figure: all its comparisons, and the bounds of its rule."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from itertools import takewhile

import plotly.graph_objects as go

from dtcbench.analysis.verdicts import Comparison, Conclusion, Effect, LawPoint, Verdict
from dtcbench.report import figures
from dtcbench.report.figures import COLOURS, NEUTRAL

AXES = {"points": "points", "percent": "%", "r": "correlation with accuracy", "times": "times"}
"""What the axis of a claim's effects is called, by their unit."""
SCALES = {"points": 100, "percent": 100, "r": 1, "times": 1}
_COLOURS = {
    Verdict.SUPPORTED: COLOURS[2],
    Verdict.REFUTED: COLOURS[1],
    Verdict.EQUIVALENT: COLOURS[0],
    Verdict.UNDECIDED: COLOURS[4],
    Verdict.NOT_MEASURED: NEUTRAL,
}
_WORDS = {
    Verdict.SUPPORTED: "for the claim",
    Verdict.REFUTED: "against it",
    Verdict.EQUIVALENT: "within the margin",
    Verdict.UNDECIDED: "open",
}
_SYMBOLS = ("circle", "circle-open")
"""Of the first effect that was judged, and of the second."""
_ROW_PX, _AROUND_PX = 60, 140
_LABEL_ABOVE = 0.45
"""Of an interval, in rows."""
_BETWEEN = 0.24
"""Between two effects of one comparison, in rows."""


def has_figure(conclusion: Conclusion) -> bool:
    """Whether any of a claim's comparisons has a value to draw."""
    return any(comparison.levels or _judged(comparison) for comparison in conclusion.comparisons)


def claim_figure(conclusion: Conclusion) -> go.Figure:
    """The judged effects of each comparison, from top to bottom, of a conclusion that has any.

    Comparisons are in the order of the conclusion, bounds are dashed lines. Where they are of published curves, the
    curves themselves are drawn.
    """
    if any(comparison.levels for comparison in conclusion.comparisons):
        return _curves(conclusion)
    drawn = [comparison for comparison in conclusion.comparisons if _judged(comparison)]
    unit, most = drawn[0].effects[0].unit, max(comparison.judged for comparison in drawn)
    figure = figures.blank(1)
    for verdict in _WORDS:
        for place in range(most):
            points = [
                (row + (place - (comparison.judged - 1) / 2) * _BETWEEN, _judged(comparison)[place])
                for row, comparison in enumerate(drawn)
                if comparison.verdict is verdict and place < len(_judged(comparison))
            ]
            if points:
                figure.add_trace(_trace(points, verdict, place, several=most > 1))
    for bound in conclusion.bounds:
        figure.add_vline(x=SCALES[unit] * bound, line={"color": NEUTRAL, "dash": "dash"})
    labels = _labels([comparison.where for comparison in drawn])
    figure.update_xaxes(title=f"{_effect(drawn[0])}, {AXES[unit]}")
    for row, label in enumerate(labels):
        # Above its interval, not beside it: on a phone there is no room beside.
        figure.add_annotation(
            **{"x": 0, "xref": "paper", "xanchor": "left", "y": row - _LABEL_ABOVE, "yanchor": "middle"},
            **{"text": label, "align": "left", "showarrow": False, "font": {"size": 11}},
        )
    figure.update_yaxes(showticklabels=False, showgrid=False, range=[len(drawn) - 0.6, -0.9])
    margin = figure.layout.margin.to_plotly_json() | {"l": 8}  # there are no labels beside
    return figure.update_layout(height=_AROUND_PX + _ROW_PX * len(drawn), margin=margin, showlegend=True)


def _curves(conclusion: Conclusion) -> go.Figure:
    """Published accuracies and the intervals in which one more seed of ours would lie, by cycle, a panel per curve."""
    curves = [comparison for comparison in conclusion.comparisons if comparison.levels]
    figure = figures.blank(len(curves))
    for panel, comparison in enumerate(curves, 1):
        cycles = list(range(len(comparison.levels)))
        ours = go.Scatter(
            x=cycles,
            y=_drawn((level.ours for level in comparison.levels), 100),
            error_y={"array": _drawn((level.half_width for level in comparison.levels), 100), "color": NEUTRAL},
            name="ours, and where one more seed would lie",
            mode="markers",
            marker={"color": NEUTRAL, "symbol": "circle", "size": 6},
            showlegend=panel == 1,
        )
        published = go.Scatter(
            x=cycles,
            y=_drawn((level.published for level in comparison.levels), 100),
            text=[f"width {level.width:g}" for level in comparison.levels],
            hovertemplate="%{text}: %{y:.2f} %<extra></extra>",
            name="published",
            mode="lines+markers",
            line={"color": COLOURS[1], "width": 2},
            marker={"color": COLOURS[1], "symbol": "diamond", "size": 6},
            showlegend=panel == 1,
        )
        figure.add_trace(ours, row=panel, col=1).add_trace(published, row=panel, col=1)
        method = html.escape(comparison.where.rpartition(": ")[2].partition(" against ")[0])
        figure.update_yaxes(title=f"{method}, %", row=panel, col=1)
    figure.update_xaxes(title="Train-compress cycle", row=len(curves), col=1)
    return figure.update_layout(height=_AROUND_PX + 260 * len(curves))


def law_figure(conclusion: Conclusion) -> go.Figure:
    """The entropies of a conclusion's measurements against those that the entropy law predicts, the diagonal.

    Points of comparisons that differ only after their first comma, such as in layer and side, look alike.
    """
    figure = figures.blank(1)
    drawn: dict[str, list[LawPoint]] = {}
    for comparison in conclusion.comparisons:
        if comparison.law:
            drawn.setdefault(comparison.where.partition(", layer")[0], []).extend(comparison.law)
    ends = [0.0, max(max(point.predicted, point.measured) for points in drawn.values() for point in points)]
    diagonal = {"color": NEUTRAL, "dash": "dash", "width": 1.5}
    figure.add_trace(go.Scatter(x=ends, y=_drawn(ends, 1), name="the law", mode="lines", line=diagonal))
    for place, (name, points) in enumerate(drawn.items()):
        look = {
            "color": COLOURS[place % len(COLOURS)],
            "symbol": figures.MARKERS[place % len(figures.MARKERS)],
            "size": 6,
        }
        x, y = (_drawn(values, 1) for values in zip(*((p.predicted, p.measured) for p in points), strict=True))
        figure.add_trace(go.Scatter(x=x, y=y, name=html.escape(name), mode="markers", marker=look))
    figure.update_xaxes(title="Entropy predicted from n and the norm")
    figure.update_yaxes(title="Measured entropy")
    return figure


def shared_part(places: Sequence[str]) -> str:
    """What the names of all places begin with, up to a ` · ` before what is compared there."""
    pools = [place.partition(": ")[0].split(" · ")[:-1] for place in places]
    same = takewhile(lambda column: len(set(column)) == 1, zip(*pools, strict=False))
    return "".join(f"{column[0]} · " for column in same)


def _judged(comparison: Comparison) -> list[Effect]:
    """The judged effects that have a value; those of a simulation have none."""
    found = [] if comparison.verdict is Verdict.NOT_MEASURED else comparison.effects[: comparison.judged]
    return list(found) if all(math.isfinite(effect.value) for effect in found) else []


def _trace(points: Sequence[tuple[float, Effect]], verdict: Verdict, place: int, several: bool) -> go.Scatter:
    """The effects in this place of all comparisons with one verdict, each with its row."""
    effects, colour, words = [effect for _, effect in points], _COLOURS[verdict], _WORDS[verdict]
    scale = SCALES[effects[0].unit]
    return go.Scatter(
        x=_drawn((effect.value for effect in effects), scale),
        y=[row for row, _ in points],
        error_x={
            "array": _drawn((effect.high - effect.value for effect in effects), scale),
            "arrayminus": _drawn((effect.value - effect.low for effect in effects), scale),
            "color": colour,
        },
        name=html.escape(f"{words}: {effects[0].name.rpartition(': ')[2]}" if several else words),
        mode="markers",
        marker={"color": colour, "symbol": _SYMBOLS[place], "size": 9},
        text=[html.escape(effect.name) for effect in effects],
        hovertemplate="%{text}: %{x:.2f}<extra></extra>",
    )


def _drawn(values: Iterable[float], scale: float) -> list[float]:
    """The values to scale. Their last digit differs from processor to processor, and what is drawn must not."""
    return [round(scale * value, 9) for value in values]


def _effect(comparison: Comparison) -> str:
    """What the axis shows: the name of the effect, without what only this comparison has in it."""
    return comparison.effects[0].name.partition(" at ")[0].partition(" by schedule")[0].partition(": ")[0]


def _labels(places: Sequence[str]) -> list[str]:
    """What is compared in each place, escaped; above it the pool, without what all share, where a new one begins."""
    shared, above, labels = shared_part(places), "", []
    for place in places:
        where, colon, what = place.removeprefix(shared).partition(": ")
        pool, _, rest = where.rpartition(" · ")
        label = html.escape(f"{rest}{colon}{what}")
        labels.append(f"<b>{html.escape(pool)}</b><br>{label}" if pool not in ("", above) else label)
        above = pool
    return labels
