"""The claim on entropy: whether it tracks accuracy, once it is known what the entropy of any such measurement is.

y = Φ a with a Gaussian Φ is n draws of N(0, ‖a‖²), whichever neurons carry the weight: the *entropy law*. So the
entropy of y by bins of fixed width is, but for sampling, a function of n and ‖a‖ alone, and only its residual could say
more. docs/statistics.md has the rule, its error rates and its power.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.correlation import (
    correlation,
    fisher_z,
    mean_correlation,
    partial_correlation,
    partial_correlations,
    smoothed,
)
from dtcbench.analysis.pairing import tidy
from dtcbench.analysis.power import seeds_to_detect
from dtcbench.analysis.rivals import Series, all_series
from dtcbench.analysis.verdicts import MIN_SEEDS, Comparison, Effect, LawPoint, Verdict, obstacle
from dtcbench.entropy import expected_entropy
from dtcbench.plan.claim import plain_label

STRONG = 0.5
"""From this correlation on, entropy tracks accuracy, where a claim does not say otherwise: Cohen's "large"."""
DTC = ("dtc", "dtc-published")
"""DTC with its default options: its variants are for ablations."""
POWERS = 3
"""What accuracy and entropy have in common with log2 n, its square and its cube is taken out."""
MIN_MEASUREMENTS, MIN_CYCLES = 3, 10
"""A residual needs this many measurements in a cycle, and a partial correlation this many such cycles."""
SIDES = {"in": "incoming", "out": "outgoing"}
OTHERS = {
    "entropy_{side}_shuffled_bits": "reshuffled projection",
    "entropy_{side}_published": "published estimator",
    "compressed_bits": "compressed size of the weights",
    "lempel_ziv": "Lempel-Ziv complexity of the projection",
}
"""Further measures, if the cycles have them: shown, but no rule judges them."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Course:
    """One layer's measurements in one cell, by cycle, and what other networks' accuracy was in these cycles."""

    cycle: Array
    n: Array
    entropy: Array
    accuracy: Array
    norm: Array
    """‖a‖; NaN where it was not recorded."""
    others: Array
    """[cycles, networks]."""

    @property
    def has_law(self) -> bool:
        """Whether every norm was recorded."""
        return bool(np.isfinite(self.norm).all())

    @functools.cached_property
    def predicted(self) -> Array:
        """The entropy that n and the norm predict, in bits."""
        return np.array([expected_entropy(int(n), float(norm)) for n, norm in zip(self.n, self.norm, strict=True)])

    @property
    def counts_only(self) -> NDArray[np.bool_]:
        """Where the entropy is log2 n: every value has a bin of its own."""
        found: NDArray[np.bool_] = self.entropy > np.log2(self.n) - stats.ROUNDING
        return found

    @property
    def judged(self) -> NDArray[np.bool_]:
        """The cycles with enough measurements for a residual."""
        found: NDArray[np.bool_] = self.n >= MIN_MEASUREMENTS
        return found

    def residual_correlations(self) -> tuple[float, float]:
        """Of what the law leaves of the entropy, given log2 n to the third power: with this network's accuracy, and
        with others', their mean in Fisher's z. NaN where a norm is missing, and 0 where the entropy is log2 n in every
        cycle: it says nothing beyond n.
        """
        if not self.has_law:
            return math.nan, math.nan
        chosen = self.judged
        if self.counts_only[chosen].all():
            return 0.0, 0.0
        residual, z = (self.entropy - self.predicted)[chosen], np.log2(self.n[chosen])
        own = partial_correlation(residual, self.accuracy[chosen], z, POWERS)
        theirs = fisher_z(partial_correlations(residual, self.others[chosen], z, POWERS))
        return own, math.tanh(stats.mean(theirs))


def comparisons(
    cells: pd.DataFrame,
    cycles: pd.DataFrame,
    *,
    of: Collection[str] = DTC,
    at_least: float = STRONG,
    alpha: float = stats.SIGNIFICANCE,
) -> Iterator[Comparison]:
    """Per DTC method, solver and pool at its highest sparsity: both projections of every layer.

    Parameters
    ----------
    of : the methods that are judged, as tables label them; all others are the control
    at_least : the correlation from which on entropy tracks accuracy
    alpha : of the intervals over seeds
    """
    found = list(_of_ours(cells, cycles, of, at_least, alpha))
    adjusted = stats.holm([one.p for one in found])
    yield from (_once_adjusted(one, float(p), alpha) for one, p in zip(found, adjusted, strict=True))


def _of_ours(
    cells: pd.DataFrame, cycles: pd.DataFrame, of: Collection[str], least: float, alpha: float
) -> Iterator[Comparison]:
    by_key = {str(key): rows.sort_values("cycle") for key, rows in cycles[cycles["group"].notna()].groupby("key")}
    series = all_series(tidy(cells))
    judged = [one for one in series if plain_label(one.method) in of]
    highest = {(s.pool, s.method, s.solver): s for s in sorted(judged, key=_removed)}
    for one in highest.values():
        frames = {seed: _measured(by_key[key]) for seed, key in _keys(one) if key in by_key}
        frames = {seed: frame for seed, frame in frames.items() if len(frame)}
        if not frames:
            yield Comparison(f"{one.where}: {one.label}", Verdict.NOT_MEASURED, "no cycle with a measurement")
            continue
        column = _accuracy(list(frames.values()))
        keys = [
            key
            for other in series
            if (other.pool, other.sparsity) == (one.pool, one.sparsity)
            for _, key in _keys(other)
            if key in by_key
        ]
        networks = pd.DataFrame({key: _by_cycle(by_key[key])[column] for key in keys}).astype(float)
        for group in sorted({str(name) for frame in frames.values() for name in frame["group"]}):
            layers = {seed: frame[frame["group"] == group] for seed, frame in frames.items()}
            layers = {seed: frame for seed, frame in layers.items() if len(frame)}
            for side in SIDES:
                where = f"{one.where}: {one.label}, layer {group}, {SIDES[side]}"
                courses = {seed: _course(frame, side, column, networks) for seed, frame in layers.items()}
                further = tuple(_further(layers, side, column))
                yield _comparison(where, one, courses, further, least, alpha)


def _once_adjusted(one: Comparison, p: float, alpha: float) -> Comparison:
    """A comparison with its p adjusted: one alone refutes the claim, so it must hold among all of them."""
    if one.verdict is Verdict.REFUTED and p > alpha:
        why = f"{one.reason}, but not once adjusted for the number of comparisons"
        return replace(one, verdict=Verdict.UNDECIDED, reason=why, p_adjusted=p)
    return replace(one, p_adjusted=p)


def _removed(series: Series) -> float:
    return -1.0 if series.sparsity is None else series.sparsity


def _keys(series: Series) -> list[tuple[int, str]]:
    return sorted(zip(series.ok["seed"], series.ok["key"], strict=True))


def _measured(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["measurements"].notna()]


def _accuracy(frames: list[pd.DataFrame]) -> str:
    """Test accuracy just after a compression, as published, or validation's where test was not looked at."""
    return "test_after" if all(frame["test_after"].notna().all() for frame in frames) else "validation_after"


def _by_cycle(rows: pd.DataFrame) -> pd.DataFrame:
    """The first row of each cycle: accuracies are the same in all layers."""
    return rows.drop_duplicates("cycle").set_index("cycle")


def _course(frame: pd.DataFrame, side: str, column: str, networks: pd.DataFrame) -> _Course:
    """One layer of one cell; `networks` are the accuracies of all networks at its place, [cycles, keys]."""
    norm = f"projection_{side}_norm"
    n = frame["measurements"].to_numpy(dtype=float)
    norms = frame[norm].to_numpy(dtype=float) if norm in frame else np.full(len(frame), np.nan)
    others = networks.drop(columns=str(frame["key"].iloc[0])).reindex(frame["cycle"]).dropna(axis=1)
    return _Course(
        cycle=frame["cycle"].to_numpy(dtype=float),
        n=n,
        entropy=frame[f"entropy_{side}_bits"].to_numpy(dtype=float),
        accuracy=frame[column].to_numpy(dtype=float),
        norm=norms,
        others=others.to_numpy(),
    )


def _comparison(
    where: str, series: Series, courses: dict[int, _Course], further: tuple[Effect, ...], least: float, alpha: float
) -> Comparison:
    found = list(courses.values())
    keys = tuple(key for seed, key in _keys(series) if seed in courses)
    failed = sorted(int(seed) for seed in set(series.cells["seed"]) - set(courses))
    own, theirs = (np.array(r) for r in zip(*(course.residual_correlations() for course in found), strict=True))
    why = obstacle(len(found), failed)
    verdict, reason = (Verdict.UNDECIDED, why) if why else (Verdict.NOT_MEASURED, "")
    few = min(int(course.judged.sum()) for course in found)
    if few < MIN_CYCLES:
        verdict = Verdict.NOT_MEASURED
        reason = f"{few} cycles with {MIN_MEASUREMENTS} or more measurements: {MIN_CYCLES} are needed"
    elif why is None:
        verdict, reason = _judged(found, own, theirs, least, alpha)
    effects = (*_effects(found, own, theirs, alpha), *further)
    tested = verdict is not Verdict.NOT_MEASURED and why is None
    z = fisher_z(own)
    return Comparison(
        where,
        verdict,
        reason,
        effects,
        len(found),
        keys,
        p=float(stats.p_values([z], null=math.atanh(least))[0]) if tested else math.nan,
        law=tuple(_points(found)),
        sides=(series.side,),
        seeds_needed=_seeds_needed(z, least, alpha) if verdict is Verdict.UNDECIDED and not failed else None,
    )


def _seeds_needed(z: Array, least: float, alpha: float) -> int | None:
    """How many more seeds would decide with 80 %, if they went on like these; None where no number is known to."""
    if len(z) < MIN_SEEDS:
        return MIN_SEEDS - len(z)
    if stats.untested(z) is not None:
        return None
    away = abs(stats.mean(z) - math.atanh(least))
    needed = seeds_to_detect(float(np.std(z, ddof=1)), away, alpha=alpha)
    return max(1, needed - len(z)) if needed else None


def _judged(found: list[_Course], own: Array, theirs: Array, least: float, alpha: float) -> tuple[Verdict, str]:
    if all(course.counts_only[course.judged].all() for course in found):
        return Verdict.REFUTED, "the entropy is log2 n in every cycle: it counts the measurements"
    if not all(course.has_law for course in found):
        return Verdict.NOT_MEASURED, "the norm of the projection was not recorded: an older version made the records"
    if np.isnan(own).any():
        return Verdict.UNDECIDED, "in a seed accuracy does not vary beyond a cubic of log2 n"
    estimate = mean_correlation(own, confidence=1 - alpha)
    if estimate.interval is None:
        return Verdict.UNDECIDED, str(estimate.reason)
    if estimate.high < least:
        return Verdict.REFUTED, f"once n and the norm are known, the correlation is below {least:g}"
    if estimate.low < least:
        return Verdict.UNDECIDED, f"the interval holds {least:g}"
    if np.isnan(theirs).any():
        return Verdict.UNDECIDED, "no other network at this place: the control lacks"
    beyond = stats.mean_estimate(fisher_z(own) - fisher_z(theirs), confidence=1 - alpha)
    if not beyond.low > 0:
        return Verdict.UNDECIDED, "it follows the accuracy of other networks as well"
    return Verdict.SUPPORTED, "beyond n and the norm, and more than the accuracy of other networks"


def _effects(found: list[_Course], own: Array, theirs: Array, alpha: float) -> Iterator[Effect]:
    def over_seeds(name: str, correlations: list[float] | Array) -> Effect:
        return Effect.of(name, mean_correlation(correlations, confidence=1 - alpha), "r")

    yield over_seeds(f"residual: r with accuracy given log2 n to the power {POWERS}", own)
    yield over_seeds("residual: the same with the accuracy of other networks", theirs)
    if all(course.has_law for course in found):
        yield over_seeds("predicted from n and the norm: r with the entropy", [_of_law(course) for course in found])
        yield over_seeds("predicted at a constant norm: r with accuracy", [_at_constant(course) for course in found])
    yield over_seeds("entropy: r with accuracy", [correlation(c.entropy, c.accuracy) for c in found])
    smooth = [correlation(c.entropy, smoothed(c.accuracy, c.cycle)) for c in found]
    yield over_seeds("entropy: r with accuracy smoothed by LOWESS, as published", smooth)
    control = [math.tanh(stats.mean(fisher_z(partial_correlations(c.entropy, c.others, c.cycle, 0)))) for c in found]
    yield over_seeds("entropy: r with the accuracy of other networks", control)
    for power in range(1, POWERS + 1):
        given = [partial_correlation(c.entropy, c.accuracy, np.log2(c.n), power) for c in found]
        yield over_seeds(f"entropy: r given log2 n to the power {power}", given)
    counted = stats.mean([float(course.counts_only.mean()) for course in found])
    yield Effect("cycles in which the entropy is log2 n", counted, unit="percent")


def _of_law(course: _Course) -> float:
    """Correlation of the predicted and the measured entropy, over the judged cycles."""
    return correlation(course.predicted[course.judged], course.entropy[course.judged])


def _at_constant(course: _Course) -> float:
    """The null of n: correlation with accuracy of what is expected of as many Gaussian numbers of one norm."""
    norm = math.sqrt(stats.mean(course.norm**2))
    return correlation(np.array([expected_entropy(int(n), norm) for n in course.n]), course.accuracy)


def _further(layers: dict[int, pd.DataFrame], side: str, column: str) -> Iterator[Effect]:
    """Correlations of the other measures with accuracy, where every seed has them."""
    for measure, name in OTHERS.items():
        of_side = measure.format(side=side)
        if all(of_side in frame and frame[of_side].notna().any() for frame in layers.values()):
            known = [frame[[of_side, column]].astype(float).dropna().to_numpy().T for frame in layers.values()]
            yield Effect.of(f"{name}: r with accuracy", mean_correlation([correlation(x, y) for x, y in known]), "r")


def _points(found: list[_Course]) -> Iterator[LawPoint]:
    """Predicted and measured entropy by cycle, means over the seeds that have it; none where a norm is missing."""
    if not all(course.has_law for course in found):
        return
    rows = [row for course in found for row in zip(course.cycle, course.predicted, course.entropy, strict=True)]
    table = pd.DataFrame(rows, columns=["cycle", "predicted", "measured"])
    for _, group in table.groupby("cycle"):
        yield LawPoint(stats.mean(group["predicted"]), stats.mean(group["measured"]))
