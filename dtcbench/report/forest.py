"""One claim as a figure: every comparison it rests on, with its interval, beside what the rule holds it against."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from itertools import takewhile

import plotly.graph_objects as go

from dtcbench.analysis.verdicts import Comparison, Effect, Finding, Verdict
from dtcbench.report import figures
from dtcbench.report.figures import COLOURS, NEUTRAL

AXES = {"points": "points", "percent": "%", "r": "correlation with accuracy"}
"""What the axis of a claim's effects is called, by their unit."""
SCALES = {"points": 100, "percent": 100, "r": 1}
_COLOURS = {
    Verdict.SUPPORTED: COLOURS[2],
    Verdict.REFUTED: COLOURS[1],
    Verdict.NOT_SHOWN: COLOURS[4],
    Verdict.NOT_MEASURED: NEUTRAL,
}
_WORDS = {Verdict.SUPPORTED: "for the claim", Verdict.REFUTED: "against it", Verdict.NOT_SHOWN: "open"}
_SYMBOLS = ("circle", "circle-open")
"""Of the first effect that was judged, and of the second."""
_ROW_PX, _AROUND_PX = 60, 140
_LABEL_ABOVE = 0.45
"""Of an interval, in rows."""
_BETWEEN = 0.24
"""Between two effects of one comparison, in rows."""


def claim_figure(finding: Finding) -> go.Figure | None:
    """The judged effects of each comparison, from top to bottom; None where none has a figure.

    Comparisons are in the order of the finding, bounds are dashed lines.
    """
    drawn = [comparison for comparison in finding.comparisons if _judged(comparison)]
    if not drawn:
        return None
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
    for bound in finding.bounds:
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


def shared_part(places: Sequence[str]) -> str:
    """What the names of all places begin with, up to a ` · ` before what is compared there."""
    pools = [place.partition(": ")[0].split(" · ")[:-1] for place in places]
    same = takewhile(lambda column: len(set(column)) == 1, zip(*pools, strict=False))
    return "".join(f"{column[0]} · " for column in same)


def _judged(comparison: Comparison) -> list[Effect]:
    """The effects that were judged, where they have a value."""
    found = comparison.effects[: comparison.judged]
    return list(found) if found and all(math.isfinite(effect.value) for effect in found) else []


def _trace(points: Sequence[tuple[float, Effect]], verdict: Verdict, place: int, several: bool) -> go.Scatter:
    """The effects in this place of all comparisons with one verdict, each with its row."""
    effects, colour, words = [effect for _, effect in points], _COLOURS[verdict], _WORDS[verdict]
    scale = SCALES[effects[0].unit]

    def shown(values: Iterable[float]) -> list[float]:
        # Logarithms differ in the last digit from processor to processor, and what is drawn must not.
        return [round(scale * value, 9) for value in values]

    return go.Scatter(
        x=shown(effect.value for effect in effects),
        y=[row for row, _ in points],
        error_x={
            "array": shown(effect.high - effect.value for effect in effects),
            "arrayminus": shown(effect.value - effect.low for effect in effects),
            "color": colour,
        },
        name=html.escape(f"{words}: {effects[0].name.rpartition(': ')[2]}" if several else words),
        mode="markers",
        marker={"color": colour, "symbol": _SYMBOLS[place], "size": 9},
        text=[html.escape(effect.name) for effect in effects],
        hovertemplate="%{text}: %{x:.2f}<extra></extra>",
    )


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
