"""The claim on the published curves: whether each could be one more of ours, by one rank test a curve.

If the published run is one more draw of what we run, it and our n other seeds are exchangeable: each of the n + 1 is as
likely as any other to be the one that departs most. docs/statistics.md has the test, its error rate and its power.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from os import PathLike, fspath

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.pairing import registered_name, tidy
from dtcbench.analysis.rank_test import detectable_departure, maximal_departures, rank_p_values
from dtcbench.analysis.rivals import Series, all_series
from dtcbench.analysis.verdicts import Comparison, Effect, Level, Side, Verdict
from dtcbench.dtc.sensing import PUBLISHED_SEED
from dtcbench.errors import UserError
from dtcbench.text import count_of

PROTOCOL = "published"
"""The protocol of the published curves."""
ANY_LEVEL = "departure found with 80 %: at any one level"
Array = NDArray[np.float64]


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


@dataclass(frozen=True)
class _Curve:
    """A published curve and ours of the same method."""

    where: str
    side: Side
    widths: Array
    published: Array
    """[levels]."""
    ours: Array
    """[levels, seeds]."""
    keys: dict[int, str]
    """The cells by seed, in the order of `ours`."""
    own: Array | None
    """[levels]: our accuracies from the paper's own seed, if it was run."""
    obstacle: str | None
    """Why the curve cannot be judged."""

    def of(self, seeds: Sequence[int]) -> Array:
        """Ours of some seeds, [levels, seeds]."""
        places = {seed: place for place, seed in enumerate(self.keys)}
        return self.ours[:, [places[seed] for seed in seeds]]


def comparisons(
    cells: pd.DataFrame, cycles: pd.DataFrame, reference: pd.DataFrame, *, alpha: float = stats.SIGNIFICANCE
) -> Iterator[Comparison]:
    """Each published curve against our cells of protocol `published`, of the method its column names.

    The paper's own seed is left out: running it again draws the same values, not new ones. `p_adjusted` is adjusted for
    the number of curves (`rank_p_values`).

    Parameters
    ----------
    reference : as `read_reference` returns it
    alpha : the error rate of "the published curves are ours" being refuted wrongly
    """
    by_key = {str(key): rows for key, rows in cycles[cycles["group"].notna()].groupby("key")}
    chosen = [
        series
        for series in all_series(tidy(cells))
        if registered_name(series.pool.protocol) == PROTOCOL and series.method in reference
    ]
    for _, of_pool in groupby(chosen, key=lambda series: series.pool):
        curves = []
        for series in of_pool:
            curve = reference[["cycle", "width", series.method]].dropna().set_index("cycle").sort_index()
            made = _curve(series, curve, by_key)
            if isinstance(made, Comparison):
                yield made
            elif made is not None:
                curves.append(made)
        yield from _judged(curves, alpha)


def _curve(series: Series, curve: pd.DataFrame, by_key: dict[str, pd.DataFrame]) -> _Curve | Comparison | None:
    """A published curve and ours; a comparison without a measurement; None for another network than the paper's."""
    where = f"{series.pool.title}: {series.label} against the published curve"
    of_seed = {int(seed): str(key) for seed, key in zip(series.ok["seed"], series.ok["key"], strict=True)}
    accuracies = {seed: _of_cell(by_key[key], curve) if key in by_key else None for seed, key in of_seed.items()}
    lost = sorted({int(seed) for seed in series.cells["seed"]} - of_seed.keys() - {PUBLISHED_SEED})
    own = accuracies.pop(PUBLISHED_SEED, None)
    if not accuracies:
        return Comparison(where, Verdict.NOT_MEASURED, "no ok cell with a seed other than the paper's")
    blank = curve["width"] * np.nan
    ours = pd.DataFrame({seed: blank if found is None else found for seed, found in sorted(accuracies.items())})
    if not ours.notna().any(axis=None):
        return None  # the published curve has no level of these widths
    there = ours.notna().all(axis=1).to_numpy()
    why = f"no ok cell for seed{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))}" if lost else None
    if not there.all():
        why = f"{(~there).sum()} of {len(there)} published levels have no counterpart of the same width"
    widths, published = (curve[name].to_numpy()[there] for name in ("width", series.method))
    keys = {seed: of_seed[seed] for seed in sorted(accuracies)}
    own_there = None if own is None else own.to_numpy()[there]
    return _Curve(where, series.side, widths, published, ours.to_numpy()[there], keys, own_there, why)


def _of_cell(rows: pd.DataFrame, curve: pd.DataFrame) -> pd.Series:
    """Test accuracy of one cell at the curve's cycles; NaN where its width there is another."""
    alone = rows[~rows["cycle"].duplicated(keep=False)].set_index("cycle").reindex(curve.index)
    same_width = alone["width_after"].astype(float) == curve["width"]
    return alone["test_after"].astype(float).where(same_width)


def _judged(curves: Sequence[_Curve], alpha: float) -> Iterator[Comparison]:
    """The curves of one pool: those that can be judged together, over the seeds that they share."""
    barred = [curve for curve in curves if curve.obstacle]
    for curve in barred:
        yield _comparison(curve, list(curve.keys), Verdict.UNDECIDED, str(curve.obstacle))
    family = [curve for curve in curves if not curve.obstacle]
    if not family:
        return
    seeds = sorted(set.intersection(*(set(curve.keys) for curve in family)))
    needed = math.ceil(1 / alpha - stats.ROUNDING) - 1
    if len(seeds) < needed:
        for curve in family:
            why = f"{count_of(len(seeds), 'seed')} other than the paper's: a rank among {needed + 1} needs {needed}"
            lacking = _comparison(curve, seeds, Verdict.UNDECIDED, why)
            yield replace(lacking, seeds_needed=needed - len(seeds))
        return
    ours = [curve.of(seeds) for curve in family]
    together = [np.column_stack([curve.published, mine]) for curve, mine in zip(family, ours, strict=True)]
    departures = np.stack([maximal_departures(curve) for curve in together])
    adjusted = rank_p_values(departures)
    alone = np.stack([maximal_departures(mine) for mine in ours])  # [curves, seeds]
    for place, curve in enumerate(family):
        p = float(rank_p_values(departures[[place]])[0])
        others = np.delete(alone, place, axis=0).max(axis=0, initial=0.0)
        rank = round(p * (len(seeds) + 1))
        reason = f"its largest departure ranks {rank} of {len(seeds) + 1}, the most unusual first"
        verdict = Verdict.REFUTED if adjusted[place] <= alpha + stats.ROUNDING else Verdict.SUPPORTED
        power = tuple(_power(ours[place], others))
        yield _comparison(curve, seeds, verdict, reason, p, float(adjusted[place]), power)


def _comparison(
    curve: _Curve,
    seeds: Sequence[int],
    verdict: Verdict,
    reason: str,
    p: float = math.nan,
    p_adjusted: float = math.nan,
    power: tuple[Effect, ...] = (),
) -> Comparison:
    levels = tuple(_levels(curve, seeds))
    return Comparison(
        curve.where,
        verdict,
        reason,
        (*_effects(curve, levels), *power),
        len(seeds),
        tuple(curve.keys[seed] for seed in seeds),
        p=p,
        p_adjusted=p_adjusted,
        levels=levels,
        sides=(curve.side,),
        detectable=next((effect.value for effect in power if effect.name == ANY_LEVEL), math.nan),
    )


def _levels(curve: _Curve, seeds: Sequence[int]) -> Iterator[Level]:
    """Each level with the prediction interval of one further normal value: t s √(1 + 1/n)."""
    ours = curve.of(seeds)
    n = ours.shape[1]
    t = scipy.stats.t.ppf((1 + stats.CONFIDENCE) / 2, n - 1) if n > 1 else math.nan
    for width, published, mine in zip(curve.widths, curve.published, ours, strict=True):
        half_width = t * float(np.std(mine, ddof=1)) * math.sqrt(1 + 1 / n) if n > 1 else math.nan
        yield Level(float(width), float(published), stats.mean(mine), half_width)


def _effects(curve: _Curve, levels: Sequence[Level]) -> Iterator[Effect]:
    if not levels:
        return
    departures = np.array([level.published - level.ours for level in levels])
    spread = np.array([max(level.half_width, stats.ROUNDING) for level in levels])
    farthest = int(np.argmax(np.where(np.isfinite(spread), np.abs(departures) / spread, np.abs(departures))))
    departure, half_width = float(departures[farthest]), levels[farthest].half_width
    yield Effect(
        f"published minus ours at width {levels[farthest].width:g}, the farthest level",
        departure,
        departure - half_width,
        departure + half_width,
    )
    yield Effect("mean absolute departure over levels", stats.mean(np.abs(departures)))
    if curve.own is not None and np.isfinite(curve.own).all():
        own = np.abs(curve.own - curve.published)
        yield Effect("our run of the paper's own seed, departure from the published curve: largest", float(own.max()))
        yield Effect("median of the same", float(np.median(own)))


def _power(ours: Array, others: Array) -> Iterator[Effect]:
    """What the test would have found in 80 % of replays."""
    each = np.eye(len(ours), dtype=bool)
    alone = [detectable_departure(ours, level, others) for level in each]
    least = min(alone, key=lambda found: (math.isnan(found), found))
    most = math.nan if any(map(math.isnan, alone)) else max(alone)
    yield Effect("departure found with 80 %: at the level that shows it best", least)
    yield Effect(ANY_LEVEL, most)
    yield Effect(
        "departure found with 80 %: at every level alike",
        detectable_departure(ours, np.ones(len(ours), dtype=bool), others),
    )
