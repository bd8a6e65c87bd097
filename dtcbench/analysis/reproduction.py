"""The claim on the published curves: whether each lies where another seed of ours could lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.pairing import registered_name, tidy
from dtcbench.analysis.rivals import Series, all_series
from dtcbench.analysis.verdicts import Comparison, Effect, Level, Verdict, obstacle
from dtcbench.dtc.sensing import PUBLISHED_SEED
from dtcbench.errors import UserError

PROTOCOL = "published"
"""The protocol of the published curves."""
TOLERATED = 0.05
"""The share of levels that may lie outside their 95 % intervals."""


def read_reference(reference: pd.DataFrame | str | PathLike[str], method: str | None = None) -> pd.DataFrame:
    """Published accuracies: `cycle`, `width`, and one column per method, one row per cycle.

    Parameters
    ----------
    reference : a CSV file's path, or a DataFrame. It has `cycle`, `width`, and per method a column `NAME_accuracy`,
        which stands for method `NAME-published`, or one column `accuracy`; a DataFrame's other columns are methods
    method : whose `accuracy` is

    Raises
    ------
    UserError : the reference cannot be read; the message names what is wrong
    """
    frame, name = (reference, "reference") if isinstance(reference, pd.DataFrame) else _csv(reference)
    columns = [str(column) for column in frame.columns]
    names = {c: f"{c.removesuffix('_accuracy')}-published" for c in columns if c.endswith("_accuracy")}
    if "accuracy" in columns:
        if method is None:
            raise UserError(
                f"{name}: has one column `accuracy`; say whose with --method, such as --method magnitude-published"
            )
        names["accuracy"] = method
    absent = {"cycle", "width"} - set(columns)
    if isinstance(reference, pd.DataFrame):  # whose columns may be methods already
        names |= {column: column for column in columns if column not in {"cycle", "width", *names}}
    if absent or not names:
        needed = ", ".join(sorted(absent)) or "accuracy or NAME_accuracy"
        raise UserError(f"{name}: has no column {needed}; it has {', '.join(columns)}")
    try:
        return frame.rename(columns=names)[["cycle", "width", *names.values()]].astype(float)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: {error}; write plain numbers, one row per cycle") from None


def _csv(path: str | PathLike[str]) -> tuple[pd.DataFrame, str]:
    """The table in a CSV file, as text, and its name for messages."""
    name = f"--reference {fspath(path)}"
    try:
        return pd.read_csv(path, dtype=str), name  # as text: not every pandas reads a number to its last bit
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).strip()
        raise UserError(f"{name}: cannot be read as CSV: {reason}; give a table with commas") from None


def comparisons(cells: pd.DataFrame, cycles: pd.DataFrame, reference: pd.DataFrame) -> Iterator[Comparison]:
    """Each published curve against our cells of protocol `published`, of the method its column names.

    The paper's own seed is left out: running it again draws the same values, not new ones.
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
    levels = _levels(curve["width"].to_numpy()[there], curve[series.method].to_numpy()[there], ours[there].to_numpy())
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


def _levels(widths: NDArray[Any], published: NDArray[Any], ours: NDArray[Any]) -> list[Level]:
    """The levels of widths and published accuracies [levels], and of our accuracies [levels, seeds]."""
    ours = np.sort(ours, axis=1)
    n = ours.shape[1]
    # The prediction interval of one further normal value: t s √(1 + 1/n).
    t = scipy.stats.t.ppf((1 + stats.CONFIDENCE) / 2, n - 1)
    half_widths = t * ours.std(axis=1, ddof=1) * np.sqrt(1 + 1 / n)
    # The two-sample t-test with one value on one side: its pooled variance is ours.
    p = scipy.stats.ttest_ind(published[:, None], ours, axis=1).pvalue
    p = np.where(np.ptp(ours, axis=1) < stats.ROUNDING, np.nan, p)
    columns = (widths, published, map(stats.mean, ours), half_widths, p)
    return [Level(*map(float, level)) for level in zip(*columns, strict=True)]


def _judged(levels: Sequence[Level]) -> tuple[Verdict, str]:
    p = np.array([level.p for level in levels])
    if np.isnan(p).any():
        return Verdict.NOT_SHOWN, "our seeds are equal at a level: no test"
    number, widest = len(p), max(level.half_width for level in levels)
    outside, far_outside = (int((found < stats.SIGNIFICANCE).sum()) for found in (p, stats.holm(p)))
    spread = f"one more seed of ours would lie within ±{100 * widest:.1f} points at the widest level"
    if far_outside:
        return Verdict.REFUTED, f"{far_outside} of {number} levels lie outside, adjusted for their number; {spread}"
    if outside <= TOLERATED * number:
        return Verdict.SUPPORTED, f"{number - outside} of {number} levels lie within; {spread}"
    return Verdict.NOT_SHOWN, f"{outside} of {number} levels lie outside, none once adjusted for their number; {spread}"


def _effects(levels: Sequence[Level]) -> Iterator[Effect]:
    p = np.array([level.p for level in levels])
    farthest = levels[0 if np.isnan(p).all() else int(np.argmin(p))]
    departures = [level.published - level.ours for level in levels]
    departure = farthest.published - farthest.ours
    yield Effect(
        f"published minus ours at width {farthest.width:g}, the least likely level",
        departure,
        departure - farthest.half_width,
        departure + farthest.half_width,
    )
    yield Effect("mean absolute departure over levels", stats.mean(np.abs(departures)))
    yield Effect("levels within", float((p >= stats.SIGNIFICANCE).mean()), unit="percent")
