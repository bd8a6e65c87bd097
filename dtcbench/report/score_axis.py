"""The axis of accuracy, on the logarithm of the error, so that neither 99 % nor an outlier is lost; R2's is linear."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from dtcbench.report.score import ACCURACY, Score
from dtcbench.report.vega import LINEAR, Axis

_STEPS = (1, 2, 5)
"""Of the labels within a power of ten."""
_ENOUGH = 3
"""Labels of these steps; where fewer fit, Vega chooses."""
_EDGE = 0.25
"""Of the smallest error of a score: where the axis ends, and with it intervals that reach 100 % or nearly so."""


@dataclass(frozen=True)
class ScoreAxis:
    """Where scores stand."""

    axis: Axis
    score: Score
    least: float | None
    """The least error of the axis in per cent; None if it is linear."""

    def at(self, value: float) -> float:
        """The place of an accuracy, or R2; NaN stays NaN."""
        if self.least is None or math.isnan(value):
            return self.score.scale * value
        return max(100 - 100 * value, self.least)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """The places of an interval's ends."""
        return self.at(low), self.at(high)


def score_axis(score: Score, title: str, values: Iterable[float]) -> ScoreAxis:
    """The axis for these accuracies, or R2s: logarithmic in the error if none of them is free of error."""
    errors = [100 - 100 * value for value in values if math.isfinite(value)]
    if score is not ACCURACY or not errors or min(errors) <= 0:
        return ScoreAxis(Axis(title, LINEAR), score, None)
    scale = {"type": "log", "reverse": True, "nice": False, "padding": 8}
    first, last = (math.floor(math.log10(end(errors))) for end in (min, max))
    steps = [step * 10.0**power for power in range(first, last + 1) for step in _STEPS]
    labels = {"labelExpr": "format(100 - datum.value, '.6~f')"}
    chosen = [step for step in steps if min(errors) <= step <= max(errors)]
    values_of = {"values": chosen} if len(chosen) >= _ENOUGH else {}
    return ScoreAxis(Axis(title, scale, labels | values_of), score, _EDGE * min(errors))
