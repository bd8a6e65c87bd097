"""The parts of a verdict on a claim, and the one rule that combines comparisons into it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from dtcbench.analysis import stats

MIN_SEEDS = 5
"""No comparison on fewer paired seeds supports or refutes anything."""


class Verdict(StrEnum):
    """What the cells say about a claim, or about one of its comparisons."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    NOT_SHOWN = "not shown"
    """The measured numbers do not decide."""
    NOT_MEASURED = "not measured"
    """Nothing was measured."""


@dataclass(frozen=True)
class Effect:
    """One number, and the uncertainty that the seeds leave."""

    name: str
    value: float
    """NaN if it is missing."""
    low: float = math.nan
    high: float = math.nan
    """Ends of the interval; NaN if it is missing."""
    unit: Literal["points", "percent", "r"] = "points"
    """How the value is shown: a fraction of 1 in percentage points or per cent, or a correlation."""

    @classmethod
    def of(cls, name: str, estimate: stats.Estimate, unit: Literal["points", "percent", "r"] = "points") -> Effect:
        """A mean over seeds with its interval."""
        return cls(name, estimate.mean, estimate.low, estimate.high, unit)


@dataclass(frozen=True)
class Level:
    """One level of a published curve and of ours, as fractions of 1."""

    width: float
    published: float
    ours: float
    """Mean over our seeds."""
    half_width: float
    """Half of the interval around `ours` in which one more seed of ours would lie."""


@dataclass(frozen=True)
class Comparison:
    """One of the comparisons behind a claim."""

    where: str
    """What is compared, and in which pool."""
    verdict: Verdict
    reason: str
    effects: tuple[Effect, ...] = ()
    """The judged ones come first."""
    seeds: int = 0
    """Paired seeds."""
    cells: tuple[str, ...] = ()
    """Keys of the cells the effects rest on."""
    kind: str = ""
    """The part of the claim that it concerns."""
    p: float = math.nan
    """p-value of the test behind the judgement; NaN without a test."""
    p_adjusted: float = math.nan
    """The same, adjusted for the number of the claim's comparisons."""
    judged: int = 1
    """The number of effects, from the first, that the rule compares with its bounds."""
    levels: tuple[Level, ...] = ()
    """Of a published curve, from the first cycle to the last."""

    def __post_init__(self) -> None:
        if self.verdict in (Verdict.SUPPORTED, Verdict.REFUTED) and self.seeds < MIN_SEEDS:
            raise ValueError(f"{self.where}: {self.verdict} on {self.seeds} seeds; {MIN_SEEDS} are needed")


@dataclass(frozen=True)
class Conclusion:
    """One claim, its verdict and the evidence."""

    name: str
    statement: str
    """What is claimed, in a sentence."""
    verdict: Verdict
    rule: str
    """The rule of the verdict, in a sentence."""
    reason: str
    comparisons: tuple[Comparison, ...]
    bounds: tuple[float, ...] = (0.0,)
    """What the rule compares the judged effects with, in their unit."""

    @property
    def cells(self) -> tuple[str, ...]:
        """Keys of all cells the verdict rests on, sorted."""
        return tuple(sorted({key for comparison in self.comparisons for key in comparison.cells}))


def conclude(
    name: str,
    statement: str,
    rule: str,
    comparisons: Iterable[Comparison],
    *,
    nothing: str,
    kinds: Collection[str] = (),
    bounds: tuple[float, ...] = (0.0,),
) -> Conclusion:
    """The verdict on a claim: that of all its measured comparisons if they agree, else `not shown`.

    Since every one of them must agree, no correction for their number is needed (Berger, Technometrics 24, 295-300,
    1982, the intersection-union test); one of them alone decides nothing, and its p is adjusted. Of each of `kinds`
    at least one must be measured. `nothing` is the reason if there are no comparisons.
    """
    all_of_them = _adjusted(sorted(comparisons, key=lambda comparison: (comparison.where, comparison.kind)))
    measured = [c for c in all_of_them if c.verdict is not Verdict.NOT_MEASURED]
    absent = sorted(set(kinds) - {c.kind for c in measured})
    if not measured:
        verdict, reason = Verdict.NOT_MEASURED, _reasons(all_of_them) or nothing
    elif absent:
        verdict, reason = Verdict.NOT_SHOWN, f"not measured: {', '.join(absent)}; {_tally(measured)}"
    elif len({c.verdict for c in measured}) == 1:
        verdict, reason = measured[0].verdict, _tally(measured)
    else:
        verdict, reason = Verdict.NOT_SHOWN, _tally(measured)
    return Conclusion(name, statement, verdict, rule, reason, all_of_them, bounds)


def obstacle(seeds: int, alone: Sequence[int]) -> str | None:
    """Why a comparison of this many paired seeds decides nothing; `alone` are planned seeds without an ok pair.

    A failed seed cannot be left out: the cause of its failure may be what the comparison is about.
    """
    if alone:
        return f"no ok pair for seed{'s' if len(alone) > 1 else ''} {', '.join(map(str, alone))}"
    return f"{seeds} seed{'' if seeds == 1 else 's'}: five are needed" if seeds < MIN_SEEDS else None


def is_better(estimate: stats.Estimate) -> tuple[Verdict, str]:
    """Whether a mean difference is above 0 (supported) or below it (refuted), with its whole interval."""
    if estimate.interval is None:
        return Verdict.NOT_SHOWN, str(estimate.reason)
    if estimate.low > 0:
        return Verdict.SUPPORTED, "the interval is above 0"
    if estimate.high < 0:
        return Verdict.REFUTED, "the interval is below 0"
    return Verdict.NOT_SHOWN, "the interval holds 0"


def is_equivalent(estimate: stats.Estimate, margin: float = stats.MARGIN) -> tuple[Verdict, str]:
    """Whether a mean difference lies within `margin` of 0 (supported) or outside (refuted), with its whole interval."""
    if estimate.interval is None:
        return Verdict.NOT_SHOWN, str(estimate.reason)
    if estimate.low > -margin and estimate.high < margin:
        return Verdict.SUPPORTED, "the interval is within the margin"
    if estimate.low > margin or estimate.high < -margin:
        return Verdict.REFUTED, "the interval is outside the margin"
    return Verdict.NOT_SHOWN, "the interval crosses the margin"


def _adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    adjusted = stats.holm([comparison.p for comparison in comparisons])
    return tuple(
        replace(c, p_adjusted=float(p) if math.isnan(c.p_adjusted) else c.p_adjusted)  # a rank test adjusts itself
        for c, p in zip(comparisons, adjusted, strict=True)
    )


def _tally(measured: Sequence[Comparison]) -> str:
    """`4 comparisons: 1 for the claim, 3 open (the interval holds 0)`."""
    counts = Counter(comparison.verdict for comparison in measured)
    words = {Verdict.SUPPORTED: "for the claim", Verdict.REFUTED: "against it", Verdict.NOT_SHOWN: "open"}
    parts = [f"{counts[verdict]} {text}" for verdict, text in words.items() if counts[verdict]]
    of_open = _reasons([comparison for comparison in measured if comparison.verdict is Verdict.NOT_SHOWN])
    number = f"{len(measured)} comparison{'' if len(measured) == 1 else 's'}"
    return f"{number}: {', '.join(parts)}" + (f" ({of_open})" if of_open else "")


def _reasons(comparisons: Sequence[Comparison]) -> str:
    """Their distinct reasons, the most frequent first."""
    counts = Counter(comparison.reason for comparison in comparisons)
    return "; ".join(sorted(counts, key=lambda reason: (-counts[reason], reason)))
