"""The difference in accuracy of two methods, seed by seed: its interval, its p-value and what it could have shown.

If both sides kept which test images they got right (`hits`), the interval is over seeds and test images, else over
seeds alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtcbench.analysis import power, stats
from dtcbench.analysis.pairing import HITS, Rows
from dtcbench.hits import unpacked

SEEDS, BOTH = "seeds", "seeds and images"


@dataclass(frozen=True)
class Difference:
    """The mean over paired seeds of one method's accuracy minus another's."""

    values: NDArray[np.float64]
    """Per paired seed."""
    estimate: stats.Estimate
    """Over seeds, or over seeds and test images."""
    sources: str
    """What the interval takes to vary: `SEEDS`, or `BOTH`."""
    sd: float = math.nan
    """Standard deviation over seeds; NaN without an interval."""
    images_error: float = 0.0
    """The part of the standard error that more seeds would not lessen."""

    def detectable(self, seeds: int | None = None, *, alpha: float = stats.SIGNIFICANCE) -> float:
        """The smallest true difference that a test of so many seeds, by default of these, finds in 80 % of cases."""
        seeds = len(self.values) if seeds is None else seeds
        return power.detectable(self.sd, seeds, alpha=alpha, images_error=self.images_error)

    def seeds_for(self, difference: float, *, alpha: float = stats.SIGNIFICANCE) -> int | None:
        """The seeds on which a test finds a true `difference` in 80 % of cases; None as `power.seeds_to_detect`."""
        return power.seeds_to_detect(self.sd, difference, alpha=alpha, images_error=self.images_error)


class Accuracies(NamedTuple):
    """The test accuracies of one side of a difference, a value per seed, and the test images behind them."""

    accuracy: NDArray[Any]
    hits: NDArray[Any]
    """Packed, as `dtcbench.hits` does; a missing value where there are none."""
    samples: NDArray[Any]
    """Test images."""

    @classmethod
    def of(cls, cells: Rows | pd.DataFrame, suffix: str = "", *, column: str = "accuracy") -> Accuracies:
        """Those of tidy cells, or of the cells in their columns with this suffix; of a regression, `score` has R2."""
        return cls(*(np.asarray(cells[f"{name}{suffix}"]) for name in (column, *HITS)))


def difference(ours: Accuracies, theirs: Accuracies, *, confidence: float = stats.CONFIDENCE) -> Difference:
    """Accuracy of `ours` minus `theirs`, seed by seed; a seed that lacks one of them is left out.

    The mean is that of the accuracies, also where these are means over batches of unequal size.
    """
    accuracies = (ours.accuracy - theirs.accuracy).astype(float)
    known = np.isfinite(accuracies)
    values = accuracies[known]
    alone = stats.mean_estimate(values, confidence=confidence, of="paired seed")
    if alone.interval is None:
        return Difference(values, alone, SEEDS)
    sd = alone.error * math.sqrt(len(values))
    table = _by_image(*(Accuracies(*(column[known] for column in side)) for side in (ours, theirs)))
    crossed = None if table is None else stats.crossed_estimate(table, confidence=confidence, of="paired seed")
    if crossed is None or crossed.interval is None:
        return Difference(values, alone, SEEDS, sd)
    # The hits' own mean may differ from the accuracies' in the last bits, or as batches do.
    moved = alone.mean - crossed.mean
    both = replace(crossed, mean=alone.mean, interval=(crossed.low + moved, crossed.high + moved))
    return Difference(values, both, BOTH, sd, math.sqrt(max(crossed.error**2 - alone.error**2, 0.0)))


def _by_image(ours: Accuracies, theirs: Accuracies) -> NDArray[np.float64] | None:
    """Differences of hits [seeds, images]; None if a seed lacks them, or two have other numbers of images."""
    if not all(isinstance(text, str) for text in (*ours.hits, *theirs.hits)):
        return None
    numbers = {int(number) for number in (*ours.samples, *theirs.samples)}
    if len(numbers) > 1:
        return None
    (images,) = numbers
    first, second = (np.stack([unpacked(text, images) for text in side.hits]) for side in (ours, theirs))
    return first.astype(float) - second
