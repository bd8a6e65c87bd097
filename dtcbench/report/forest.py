"""One claim as a figure: all its comparisons, and the bounds of its rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import takewhile

from dtcbench.analysis.verdicts import Comparison, Conclusion, Effect, LawPoint, Verdict
from dtcbench.report.claims_view import effect_text
from dtcbench.report.score import ACCURACY
from dtcbench.report.score_axis import score_axis
from dtcbench.report.vega import (
    COLOURS,
    FROM_ZERO,
    LINEAR,
    MARKERS,
    NEUTRAL,
    Axis,
    Panel,
    Spec,
    Style,
    bound,
    figure,
    notes,
    point,
)
from dtcbench.text import percent, with_interval

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
_OURS, _PUBLISHED, _LAW = "ours, and where one more seed would lie", "published", "the law"
_DIAGONAL = Style(NEUTRAL, "stroke")
_ROW_PX = 48
_LABEL_ABOVE, _POOL_ABOVE = 0.38, 0.66
"""Of an interval, in rows."""
_BETWEEN = 0.24
"""Between two effects of one comparison, in rows."""


def has_figure(conclusion: Conclusion) -> bool:
    """Whether any of a claim's comparisons has a value to draw."""
    return any(comparison.levels or _judged(comparison) for comparison in conclusion.comparisons)


def claim_figure(conclusion: Conclusion) -> Spec:
    """The judged effects of each comparison, from top to bottom, of a conclusion that has any.

    Comparisons are in the order of the conclusion, bounds are dashed lines. Where they are of published curves, the
    curves themselves are drawn.
    """
    if any(comparison.levels for comparison in conclusion.comparisons):
        return _curves(conclusion)
    drawn = [comparison for comparison in conclusion.comparisons if _judged(comparison)]
    unit, several = drawn[0].effects[0].unit, any(comparison.judged > 1 for comparison in drawn)
    x = Axis(f"{_effect(drawn[0])}, {AXES[unit]}", LINEAR)
    ends = [len(drawn) - 0.4, -0.9]
    y = Axis("", {"domain": ends, "nice": False, "zero": False}, {"grid": False, "minExtent": 0, "maxExtent": 0})
    points = [point for row, comparison in enumerate(drawn) for point in _row(row, comparison, several)]
    above, labels = _labels([comparison.where for comparison in drawn])
    behind = [
        *(bound(x, SCALES[unit] * value) for value in conclusion.bounds),
        notes(y, above, "heading"),
        notes(y, labels),
    ]
    return figure([Panel(points, y, behind, height=_ROW_PX * (len(drawn) + 1))], x, _looks(points))


def _row(row: int, comparison: Comparison, several: bool) -> Iterator[Spec]:
    """The judged effects of a comparison, beside one another in its row."""
    for place, effect in enumerate(_judged(comparison)):
        scale, name = SCALES[effect.unit], _WORDS[comparison.verdict]
        yield point(
            f"{name}: {effect.name.rpartition(': ')[2]}" if several else name,
            scale * effect.value,
            row + (place - (comparison.judged - 1) / 2) * _BETWEEN,
            words=f"{comparison.where}: {effect_text(effect)}",
            reach=(scale * effect.low, scale * effect.high),
            along="x",
            hollow=place > 0,
            joined=False,
        )


def _looks(points: Sequence[Spec]) -> dict[str, Style]:
    """A colour for each verdict, in the order of verdicts."""
    names = dict.fromkeys(point["name"] for point in points)
    found = ((verdict, name) for verdict in _WORDS for name in names if name.partition(": ")[0] == _WORDS[verdict])
    return {name: Style(_COLOURS[verdict], "circle") for verdict, name in found}


def _curves(conclusion: Conclusion) -> Spec:
    """Published accuracies and the intervals in which one more seed of ours would lie, by cycle, a panel per curve."""
    panels = []
    for comparison in conclusion.comparisons:
        if levels := comparison.levels:
            method = comparison.where.rpartition(": ")[2].partition(" against ")[0]
            values = [value for level in levels for value in (level.ours, level.published)]
            y, points = score_axis(ACCURACY, f"{method}, %", values), []
            for cycle, level in enumerate(levels):
                low, high = level.ours - level.half_width, level.ours + level.half_width
                ours = f"cycle {cycle}, ours: {with_interval(level.ours, low, high, '.2f', '%', 100)}"
                reach, theirs = y.reach(low, high), f"published, width {level.width:g}: {percent(level.published)}"
                points.append(point(_OURS, cycle, y.at(level.ours), words=ours, reach=reach, joined=False))
                points.append(point(_PUBLISHED, cycle, y.at(level.published), words=theirs))
            panels.append(Panel(points, y.axis))
    looks = {_OURS: Style(NEUTRAL, "circle"), _PUBLISHED: Style(COLOURS[1], "diamond")}
    return figure(panels, Axis("Train-compress cycle"), looks)


def law_figure(conclusion: Conclusion) -> Spec:
    """The entropies of a conclusion's measurements against those that the entropy law predicts, the diagonal.

    Points of comparisons that differ only after their first comma, such as in layer and side, look alike.
    """
    drawn: dict[str, list[LawPoint]] = {}
    for comparison in conclusion.comparisons:
        if comparison.law:
            drawn.setdefault(comparison.where.partition(", layer")[0], []).extend(comparison.law)
    most = max(max(point.predicted, point.measured) for points in drawn.values() for point in points)
    points = [point(_LAW, end, end, dash="dash", marked=False) for end in (0.0, most)]
    for name, measured in drawn.items():
        for one in measured:
            words = f"{name}: {one.measured:.3f}, by the law {one.predicted:.3f}"
            points.append(point(name, one.predicted, one.measured, words=words, joined=False))
    looks = {name: Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(drawn)}
    panel = Panel(points, Axis("Measured entropy", FROM_ZERO), height=300)
    return figure([panel], Axis("Entropy predicted from n and the norm", FROM_ZERO), {_LAW: _DIAGONAL, **looks})


def shared_part(places: Sequence[str]) -> str:
    """What the names of all places begin with, up to a ` · ` before what is compared there."""
    pools = [place.partition(": ")[0].split(" · ")[:-1] for place in places]
    # A mean over pools has none of its own.
    same = takewhile(lambda column: len(set(column)) == 1, zip(*filter(None, pools), strict=False))
    return "".join(f"{column[0]} · " for column in same)


def _judged(comparison: Comparison) -> list[Effect]:
    """The judged effects that have a value; those of a simulation have none."""
    found = [] if comparison.verdict is Verdict.NOT_MEASURED else comparison.effects[: comparison.judged]
    return list(found) if all(math.isfinite(effect.value) for effect in found) else []


def _effect(comparison: Comparison) -> str:
    """What the axis shows: the name of the effect, without what only this comparison has in it."""
    return comparison.effects[0].name.partition(" at ")[0].partition(" by schedule")[0].partition(": ")[0]


def _labels(places: Sequence[str]) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """By row, the pools where they begin, without what all share, and what is compared in each place.

    They stand above their intervals, not beside them: on a phone there is no room beside.
    """
    shared, above, pools, labels = shared_part(places), "", [], []
    for row, place in enumerate(places):
        where, colon, what = place.removeprefix(shared).partition(": ")
        pool, _, rest = where.rpartition(" · ")
        if pool not in ("", above):
            pools.append((row - _POOL_ABOVE, pool))
        labels.append((row - _LABEL_ABOVE, f"{rest}{colon}{what}"))
        above = pool
    return pools, labels
