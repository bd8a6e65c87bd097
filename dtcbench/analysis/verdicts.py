"""The parts of a verdict on a claim: effects, comparisons, conclusions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from dtcbench.analysis import stats
from dtcbench.analysis.pairing import Pool
from dtcbench.analysis.power import MOST_SEEDS
from dtcbench.text import count_of

MIN_SEEDS = 5
"""No comparison on fewer paired seeds decides anything."""


class Verdict(StrEnum):
    """What the cells say about a claim, or about one of its comparisons."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    EQUIVALENT = "equivalent"
    """The difference is shown to be smaller than the margin."""
    UNDECIDED = "undecided"
    """The measured numbers do not decide."""
    NOT_MEASURED = "not measured"
    """Nothing was measured."""


_LACKING = re.compile(r"\d+ seeds?: (five are needed|the first look is at \d+)")
DECIDED = (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.EQUIVALENT)
Unit = Literal["points", "percent", "r", "times"]
"""How a value is shown: a fraction of 1 in percentage points or per cent, a correlation, or a ratio."""


@dataclass(frozen=True)
class Effect:
    """One number, and the uncertainty that the seeds leave."""

    name: str
    value: float
    """NaN if it is missing."""
    low: float = math.nan
    high: float = math.nan
    """Ends of the interval; NaN if it is missing."""
    unit: Unit = "points"

    @classmethod
    def of(cls, name: str, estimate: stats.Estimate, unit: Unit = "points") -> Effect:
        """A mean with its interval."""
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


class Side(NamedTuple):
    """One of the two sides of a comparison: the planned cells of one method in one pool at one sparsity."""

    pool: Pool
    sparsity: float | None
    """Planned; None where the protocol's schedule decides, and for dense."""
    method: str
    solver: str


@dataclass(frozen=True)
class LawPoint:
    """The entropy of one cycle's measurements and what the entropy law predicts for it."""

    predicted: float
    measured: float


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
    p: float = math.nan
    """p-value of the test behind the judgement, over all looks at the seeds; NaN without a test."""
    p_adjusted: float = math.nan
    """The same, adjusted for the number of comparisons where one of them alone can decide."""
    judged: int = 1
    """The number of effects, from the first, that the rule compares with its bounds."""
    levels: tuple[Level, ...] = ()
    """Of a published curve, from the first cycle to the last."""
    law: tuple[LawPoint, ...] = ()
    """Of measurements, from the first cycle to the last: their entropy beside the predicted one."""
    sides: tuple[Side, ...] = ()
    """The two arms that are compared; empty where the comparison is of something else."""
    margin: float = math.nan
    """The claim's margin here, as a fraction of 1; NaN without one."""
    detectable: float = math.nan
    """The smallest true difference that these seeds find in 80 % of cases."""
    seeds_for_point: int | None = None
    """Seeds on which a true difference of one point is found in 80 % of cases."""
    seeds_for_smallest: int | None = None
    """The same for the claim's smallest effect of interest."""
    seeds_needed: int | None = None
    """How many more seeds would decide, by the spread seen so far; None if decided, or if seeds alone would not."""

    def __post_init__(self) -> None:
        if self.verdict in DECIDED and self.seeds < MIN_SEEDS:
            raise ValueError(f"{self.where}: {self.verdict} on {self.seeds} seeds; {MIN_SEEDS} are needed")


@dataclass(frozen=True)
class Conclusion:
    """One claim, its verdict and the evidence."""

    id: str
    """Of the claim."""
    title: str
    statement: str
    """What is claimed, in a sentence."""
    verdict: Verdict
    rule: str
    """The rule of the verdict, in a sentence."""
    reason: str
    comparisons: tuple[Comparison, ...]
    bounds: tuple[float, ...] = (0.0,)
    """What the rule compares the judged effects with, in their unit."""
    sources: tuple[str, ...] = ()
    """Each source's words, with work and version."""
    seeds_needed: int | None = None
    """How many more seeds would decide; None if decided, or if something else is lacking."""

    @property
    def cells(self) -> tuple[str, ...]:
        """Keys of all cells the verdict rests on, sorted."""
        return tuple(sorted({key for comparison in self.comparisons for key in comparison.cells}))

    @property
    def undecided(self) -> tuple[Comparison, ...]:
        """The comparisons that more seeds would decide, of a claim that is undecided itself."""
        if self.verdict is not Verdict.UNDECIDED:
            return ()
        return tuple(one for one in self.comparisons if one.verdict is Verdict.UNDECIDED and one.seeds_needed)


def obstacle(seeds: int, failed: tuple[int, ...] | list[int]) -> str | None:
    """Why a comparison of this many paired seeds decides nothing; `failed` are planned seeds without an ok pair.

    A failed seed cannot be left out: the cause of its failure may be what the comparison is about.
    """
    if failed:
        return f"no ok pair for seed{'s' if len(failed) > 1 else ''} {', '.join(map(str, failed))}"
    return f"{count_of(seeds, 'seed')}: five are needed" if seeds < MIN_SEEDS else None


def lacks_seeds(reason: str) -> bool:
    """Whether a comparison of this reason lacks nothing but seeds."""
    return _LACKING.fullmatch(reason) is not None


def would_decide(seeds: int) -> str:
    """`5 more seeds would decide`."""
    if seeds >= MOST_SEEDS:
        return f"not even {count_of(MOST_SEEDS, 'more seed')} would decide"
    return f"{count_of(seeds, 'more seed')} would decide"
