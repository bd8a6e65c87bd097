"""The claim on entropy: whether it tracks accuracy over the cycles, beyond the number of measurements.

n measurements bound the entropy by log2 n, and n falls with every cycle, as accuracy does: any entropy would
correlate. Hence the partial correlation given log2 n, and the same of a reshuffled projection.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.pairing import tidy
from dtcbench.analysis.rivals import Series, all_series, of_dtc
from dtcbench.analysis.verdicts import Comparison, Effect, Verdict, obstacle

STRONG = 0.5
"""From this correlation on, entropy tracks accuracy: Cohen's "large"."""
MIN_CYCLES = 6
"""A correlation needs this many cycles with a measurement."""
SIDES = {"in": "incoming", "out": "outgoing"}
OTHERS = {
    "entropy_{side}_published": "published estimator",
    "compressed_bits": "compressed size of the weights",
    "lempel_ziv": "Lempel-Ziv complexity of the projection",
}
"""Further measures, if the cycles have them: shown, but no rule judges them."""
_CERTAIN = 1 - 1e-9
"""A correlation beyond this is 1 up to rounding."""


def comparisons(cells: pd.DataFrame, cycles: pd.DataFrame) -> Iterator[Comparison]:
    """Per DTC method, solver and pool at its highest sparsity: both projections of every layer."""
    measured = cycles[cycles["measurements"].notna() & cycles["group"].notna()]
    by_key = {str(key): rows for key, rows in measured.groupby("key")}
    highest = {(s.pool, s.method, s.solver): s for s in sorted(of_dtc(all_series(tidy(cells))), key=_removed)}
    for series in highest.values():
        frames = {int(seed): by_key[key] for seed, key in _keys(series) if key in by_key}
        if not frames:
            yield Comparison(f"{series.where}: {series.label}", Verdict.NOT_MEASURED, "no cycle with a measurement")
        for group in sorted({str(name) for frame in frames.values() for name in frame["group"]}):
            layers = {seed: frame[frame["group"] == group].sort_values("cycle") for seed, frame in frames.items()}
            yield from (_comparison(series, group, side, layers) for side in SIDES)


def partial_correlation(xy: float, xz: float, yz: float) -> float:
    """Correlation of x and y given z, from the three plain ones; NaN where z decides x or y.

    Source: Fisher, Metron 3, 329-332, 1924; first order, (r_xy − r_xz r_yz) / √((1 − r_xz²)(1 − r_yz²)).
    """
    if not max(abs(xz), abs(yz)) < _CERTAIN:  # also NaN
        return math.nan
    return float(np.clip((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)), -1, 1))


def mean_correlation(correlations: ArrayLike) -> stats.Estimate:
    """Mean over seeds by Fisher's z = artanh r, with Student's t interval of z, both taken back to r.

    Source: Fisher, Metron 1, 3-32, 1921, for z.
    """
    z = stats.mean_estimate(np.arctanh(np.clip(correlations, -_CERTAIN, _CERTAIN)))
    ends = (math.tanh(z.low), math.tanh(z.high)) if z.interval else None
    return stats.Estimate(math.tanh(z.mean), ends, z.reason)


def _removed(series: Series) -> float:
    return -1.0 if series.sparsity is None else series.sparsity


def _keys(series: Series) -> list[tuple[int, str]]:
    return sorted(zip(series.ok["seed"], series.ok["key"], strict=True))


def _comparison(series: Series, group: str, side: str, layers: dict[int, pd.DataFrame]) -> Comparison:
    where = f"{series.where}: {series.label}, layer {group}, {SIDES[side]}"
    keys = tuple(key for seed, key in _keys(series) if seed in layers)
    alone = sorted(int(seed) for seed in set(series.cells["seed"]) - set(layers))
    entropy = _correlations(layers, f"entropy_{side}_bits")
    shuffled = _correlations(layers, f"entropy_{side}_shuffled_bits")
    cycles = min(map(len, layers.values()))
    why = obstacle(len(layers), alone)
    if why is None and cycles < MIN_CYCLES:
        why = f"{cycles} cycles with a measurement: six are needed"
    verdict, reason = (Verdict.UNDECIDED, why) if why else _judged(entropy, shuffled)
    effects = tuple(_effects(layers, entropy, shuffled, side))
    return Comparison(where, verdict, reason, effects, judged=2, seeds=len(layers), cells=keys)


def _correlations(layers: dict[int, pd.DataFrame], measure: str) -> pd.DataFrame | None:
    """Per seed, Pearson's r of one column with accuracy over the cycles (`plain`, NaN if either does not vary), and the
    same given log2 n (`partial`, NaN also if n alone decides the measure). None if no cycle has the column.
    """
    frames = list(layers.values())
    if not all(measure in frame and frame[measure].notna().any() for frame in frames):
        return None
    found = [_of_cell(frame, measure, _accuracy(frames)) for frame in frames]
    return pd.DataFrame(found, columns=["plain", "partial"], dtype=float)


def _accuracy(frames: list[pd.DataFrame]) -> str:
    """Test accuracy just after a compression, as published, or validation's where test was not looked at."""
    return "test_after" if all(frame["test_after"].notna().all() for frame in frames) else "validation_after"


def _of_cell(frame: pd.DataFrame, measure: str, accuracy: str) -> tuple[float, float]:
    known = frame[[measure, accuracy, "measurements"]].astype(float).dropna()
    x, y, n = known.to_numpy().T
    z = np.log2(n)
    xy = _pearson(x, y)
    return xy, partial_correlation(xy, _pearson(x, z), _pearson(y, z))


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Pearson's correlation with correctly rounded sums; NaN where either does not vary."""
    x, y = x - stats.mean(x), y - stats.mean(y)
    square = math.fsum(x * x) * math.fsum(y * y)
    return math.fsum(x * y) / math.sqrt(square) if square > 1e-24 else math.nan


def _judged(entropy: pd.DataFrame | None, shuffled: pd.DataFrame | None) -> tuple[Verdict, str]:
    if entropy is None:
        return Verdict.UNDECIDED, "no entropy was recorded"
    if entropy["plain"].isna().any():
        return Verdict.UNDECIDED, "in a seed entropy or accuracy does not vary"
    if entropy["partial"].isna().any():
        return Verdict.UNDECIDED, "in a seed the number of measurements alone decides entropy or accuracy"
    plain, partial = mean_correlation(entropy["plain"]), mean_correlation(entropy["partial"])
    if plain.high < STRONG:
        return Verdict.REFUTED, f"the correlation is below {STRONG:g}"
    if partial.high < STRONG:
        return Verdict.REFUTED, f"given log2 n, the correlation is below {STRONG:g}"
    if not (plain.low >= STRONG and partial.low >= STRONG):
        return Verdict.UNDECIDED, f"an interval holds {STRONG:g}"
    if shuffled is None:
        return Verdict.UNDECIDED, "strong given log2 n, but no reshuffled projection was measured"
    beyond = mean_difference(entropy["partial"], shuffled["partial"])
    if not beyond.low > 0:
        return Verdict.UNDECIDED, "strong given log2 n, but a reshuffled projection's is not shown to be less"
    return Verdict.SUPPORTED, "strong, also given log2 n, and more than a reshuffled projection's"


def mean_difference(one: ArrayLike, other: ArrayLike) -> stats.Estimate:
    """Mean over seeds of the difference of two correlations in Fisher's z, with Student's t interval."""
    z = [np.arctanh(np.clip(np.asarray(r, dtype=float), -_CERTAIN, _CERTAIN)) for r in (one, other)]
    return stats.mean_estimate(z[0] - z[1])


def _effects(
    layers: dict[int, pd.DataFrame], entropy: pd.DataFrame | None, shuffled: pd.DataFrame | None, side: str
) -> Iterator[Effect]:
    measures = {"entropy": entropy, "reshuffled projection's entropy": shuffled}
    measures |= {name: _correlations(layers, column.format(side=side)) for column, name in OTHERS.items()}
    for name, found in measures.items():
        if found is not None:
            yield Effect.of(f"{name}: r with accuracy", mean_correlation(found["plain"]), "r")
            yield Effect.of(f"{name}: r given log2 n", mean_correlation(found["partial"]), "r")
