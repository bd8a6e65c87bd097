"""The claim of the published curves: whether each lies where another seed of ours could."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.pairing import registered_name, tidy
from dtcbench.analysis.rivals import Series, all_series
from dtcbench.analysis.verdicts import Comparison, Effect, Level, Verdict, obstacle
from dtcbench.dtc.sensing import PUBLISHED_SEED

PROTOCOL = "published"
"""The recipe whose curves they are."""
TOLERATED = 0.05
"""Of the levels, as many may lie outside their 95 % intervals."""


@dataclass(frozen=True)
class Levels:
    """One published curve beside ours, level by level."""

    widths: NDArray[np.float64]
    published: NDArray[np.float64]
    """Accuracy [levels]."""
    ours: NDArray[np.float64]
    """Accuracy [levels, seeds]."""

    def __iter__(self) -> Iterator[Level]:
        columns = (self.widths, self.published, self.means, self.half_widths)
        return (Level(*map(float, level)) for level in zip(*columns, strict=True))

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean of our accuracies [levels]."""
        return np.array([stats.mean(level) for level in self.ours])

    @property
    def departures(self) -> NDArray[np.float64]:
        """Published accuracy minus the mean of ours [levels]."""
        return np.subtract(self.published, self.means)

    @property
    def half_widths(self) -> NDArray[np.float64]:
        """Half of the interval in which one more seed of ours would lie [levels]."""
        n = self.ours.shape[1]
        # The prediction interval of one further normal value: t s √(1 + 1/n).
        t = scipy.stats.t.ppf((1 + stats.CONFIDENCE) / 2, n - 1)
        half: NDArray[np.float64] = t * np.sort(self.ours, axis=1).std(axis=1, ddof=1) * np.sqrt(1 + 1 / n)
        return half

    @property
    def p_values(self) -> NDArray[np.float64]:
        """Of "the published figure is one more seed of ours" [levels]; NaN where our seeds are all equal."""
        # The two-sample t-test with one value on one side: its pooled variance is ours.
        found = scipy.stats.ttest_ind(self.published[:, None], np.sort(self.ours, axis=1), axis=1).pvalue
        return np.where(np.ptp(self.ours, axis=1) < stats.ROUNDING, np.nan, found)


def comparisons(cells: pd.DataFrame, cycles: pd.DataFrame, reference: pd.DataFrame) -> Iterator[Comparison]:
    """Each published curve against our cells of protocol `published`, of the method its column names.

    The paper's own seed is left out: run again, it is no second draw of what a seed does.
    """
    by_key = {str(key): rows for key, rows in cycles[cycles["group"].notna()].groupby("key")}
    for series in all_series(tidy(cells)):
        is_published = registered_name(series.pool.protocol) == PROTOCOL and series.method in reference
        if is_published:
            curve = reference[["cycle", "width", series.method]].dropna()
            yield from _comparison(series, curve.set_index("cycle").sort_index(), by_key)


def _comparison(series: Series, curve: pd.DataFrame, by_key: dict[str, pd.DataFrame]) -> Iterator[Comparison]:
    where = f"{series.pool.title}: {series.label} against the published curve"
    others = series.cells.where(series.cells["seed"] != PUBLISHED_SEED)
    ok = others.where(others["status"] == "ok")
    keys = tuple(ok["key"])
    alone = sorted(int(seed) for seed in set(others["seed"]) - set(ok["seed"]))
    if not keys:
        yield Comparison(where, Verdict.NOT_MEASURED, "no ok cell with a seed other than the paper's")
        return
    columns = [_of_cell(by_key[key], curve) if key in by_key else curve["width"] * np.nan for key in keys]
    if not any(column.notna().any() for column in columns):
        return  # another network: the published curve has no level of these widths
    ours = pd.concat(columns, axis=1)
    there = ours.notna().all(axis=1).to_numpy()
    levels = Levels(curve["width"].to_numpy()[there], curve[series.method].to_numpy()[there], ours[there].to_numpy())
    why = obstacle(len(keys), alone)
    if not there.all():
        why = f"{(~there).sum()} of {len(there)} published levels have no counterpart of the same width"
    if why:
        yield Comparison(where, Verdict.NOT_SHOWN, why, seeds=len(keys), cells=keys)
        return
    verdict, reason = _judged(levels)
    yield Comparison(where, verdict, reason, tuple(_effects(levels)), len(keys), keys, levels=tuple(levels))


def _of_cell(rows: pd.DataFrame, curve: pd.DataFrame) -> pd.Series:
    """Test accuracy of one cell at the curve's cycles; NaN where its width there is another."""
    alone = rows[~rows["cycle"].duplicated(keep=False)].set_index("cycle").reindex(curve.index)
    same_width = alone["width_after"].astype(float) == curve["width"]
    return alone["test_after"].astype(float).where(same_width)


def _judged(levels: Levels) -> tuple[Verdict, str]:
    p = levels.p_values
    if np.isnan(p).any():
        return Verdict.NOT_SHOWN, "our seeds are equal at a level: no test"
    number = len(p)
    outside, far_outside = (int((found < stats.SIGNIFICANCE).sum()) for found in (p, stats.adjusted(p)))
    spread = f"one more seed of ours would lie within ±{100 * levels.half_widths.max():.1f} points at the widest level"
    if far_outside:
        return Verdict.REFUTED, f"{far_outside} of {number} levels lie outside, adjusted for their number; {spread}"
    if outside <= TOLERATED * number:
        return Verdict.SUPPORTED, f"{number - outside} of {number} levels lie within; {spread}"
    return Verdict.NOT_SHOWN, f"{outside} of {number} levels lie outside, none once adjusted for their number; {spread}"


def _effects(levels: Levels) -> Iterator[Effect]:
    farthest = int(np.argmin(levels.p_values)) if not np.isnan(levels.p_values).all() else 0
    departure, half = float(levels.departures[farthest]), float(levels.half_widths[farthest])
    yield Effect(
        f"published minus ours at width {levels.widths[farthest]:g}, the least likely level",
        departure,
        departure - half,
        departure + half,
    )
    yield Effect("mean absolute departure over levels", stats.mean(np.abs(levels.departures)))
    yield Effect("levels within", float((levels.p_values >= stats.SIGNIFICANCE).mean()), unit="percent")
