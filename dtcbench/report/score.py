"""What networks are ranked by within a data set, and how it is shown: accuracy in per cent, or R2 of a regression."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dtcbench.record import Metrics
from dtcbench.text import ABSENT, with_interval


@dataclass(frozen=True)
class Score:
    """One of the two."""

    name: str
    """Of the column of `cells`, and the beginning of those of the leaderboard."""
    noun: str
    label: str
    """With its unit."""
    scale: float
    """What a value of the tables is multiplied by."""
    digits: int
    """Behind the point."""
    points: str
    """The unit of a difference."""
    unit: str
    """What is written behind a value."""

    @property
    def title(self) -> str:
        """The label at the beginning of a line."""
        return self.label[0].upper() + self.label[1:]

    def text(self, value: float | None, low: float = math.nan, high: float = math.nan) -> str:
        """`97.12 % [96.90, 97.30]`, or `0.8312`: a value with its unit and interval, if it has one."""
        if value is None:
            return ABSENT
        return with_interval(value, low, high, f".{self.digits}f", self.unit, self.scale)


ACCURACY = Score("accuracy", "accuracy", "accuracy, %", scale=100, digits=2, points="points", unit="%")
R2 = Score("r2", "R2", "R2", scale=1, digits=4, points="R2", unit="")


def score_of(rows: Iterable[Mapping[Hashable, Any]]) -> Score:
    """The score of some rows of one pool of a leaderboard: R2 if an ok one has no accuracy."""
    return R2 if any(row["ok"] and math.isnan(row["accuracy_mean"]) for row in rows) else ACCURACY


def scores_of(table: pd.DataFrame) -> list[Score]:
    """The scores that any cell of a table has; accuracy if none has one."""
    return [score for score in (ACCURACY, R2) if table[score.name].notna().any()] or [ACCURACY]


def score_of_result(result: Metrics) -> Score:
    """The score that a record holds."""
    return R2 if result.is_regression else ACCURACY


def score_text(result: Metrics) -> str:
    """`accuracy 97.12 %`, or `R2 0.8312`; with the reason, if there is none."""
    score = score_of_result(result)
    reason = f" ({result.reasons[score.name]})" if result.score is None else ""
    return f"{score.noun} {score.text(result.score)}{reason}"
