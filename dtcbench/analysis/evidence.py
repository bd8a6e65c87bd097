"""What a pair of arms says at a number of seeds: the estimate, the p-values of both ways, and its power.

Every p-value here is two-sided: twice the smaller of two one-sided ones, so that a claim and its opposite are judged
at the same level. docs/statistics.md, section 2, has the tests with their sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.differences import Difference, difference
from dtcbench.analysis.power import MOST_SEEDS, POINT
from dtcbench.analysis.rivals import MISSING, Pair
from dtcbench.analysis.stats import Estimate
from dtcbench.analysis.verdicts import MIN_SEEDS, Comparison, Effect, Side, Verdict, lacks_seeds
from dtcbench.plan.claim import TO_TARGET, Claim

Seeds = Callable[[float], int | None]
"""How many more seeds would decide, given the share of the error rate that a comparison has."""


def unknown(_: float) -> None:
    """No number of seeds is known to decide."""


@dataclass(frozen=True)
class Evidence:
    """What some seeds of one comparison say."""

    shown: Comparison
    """Without a verdict yet."""
    p_for: float = math.nan
    """p-value of the claim's opposite: a small one is evidence for the claim. NaN without a test."""
    p_against: float = math.nan
    """p-value of the claim: a small one is evidence against it."""
    p_equal: float = math.nan
    """p-value of a difference of the margin or more; NaN where no equivalence is asked for."""
    more_seeds: Seeds = unknown
    most: int | None = None
    """The seeds that are planned at most, where they grow until it is decided."""

    @property
    def p_values(self) -> tuple[float, float, float]:
        """For, against, equal."""
        return self.p_for, self.p_against, self.p_equal

    @property
    def p(self) -> float:
        """The smaller of both ways."""
        return min(self.p_for, self.p_against)

    @property
    def leans_for(self) -> bool:
        """Which way the numbers point."""
        return self.p_for <= self.p_against


def of_pair(claim: Claim, pair: Pair) -> Evidence:
    """What all seeds of this pair say, by the claim's test."""
    ok = pair.ok()
    if not len(ok.ours):
        ended = any((rows["status"] != MISSING).any() for rows in (pair.ours, pair.theirs))
        reason = "no ok pair" if ended else "not run yet"
        return Evidence(Comparison(pair.where, Verdict.NOT_MEASURED, reason, sides=_sides(pair)))
    if claim.estimand.quantity in TO_TARGET:
        return _by_signs(claim, pair, ok)
    return _by_accuracy(claim, pair, ok)


def two_sided(estimate: Estimate) -> tuple[float, float]:
    """p-values of "not above 0" and of "not below 0", each two-sided; NaN without an interval."""
    p = float(stats.p_of([estimate])[0])
    return (p, 1.0) if estimate.mean > 0 else (1.0, p) if not math.isnan(p) else (p, p)


def within(estimate: Estimate, margin: float) -> float:
    """p-value of "the margin or more away from 0", two-sided: at most α if the interval of 1 − α lies within."""
    if not margin > 0:
        return math.nan
    return min(1.0, 2 * float(stats.equivalence_p_of([estimate], margin)[0])) if estimate.interval else math.nan


def outside(estimate: Estimate, margin: float) -> float:
    """p-value of "within the margin", two-sided: at most α if the interval of 1 − α lies outside."""
    if not margin > 0 or estimate.interval is None:
        return math.nan
    above = stats.p_of([estimate], margin, alternative="greater")[0]
    below = stats.p_of([estimate], -margin, alternative="less")[0]
    return min(1.0, 2 * float(min(above, below)))


def _more_seeds(claim: Claim, found: Difference, margin: float, smallest: float, share: float) -> int:
    """How many more seeds would decide in 80 % of cases, if the true difference is the one seen: `MOST_SEEDS` at most.

    They show the difference, or that it is within the margin, whichever takes fewer; without a margin a difference
    below the smallest one of interest counts as that. `share` is that of the error rate.
    """
    size = abs(found.estimate.mean)
    wanted = [size, margin - size] if margin > 0 else [max(size, 0.0 if math.isnan(smallest) else smallest), size]
    if claim.test == "equivalence":
        wanted = [abs(margin - size)]
    seeds = len(found.values)
    needed = (found.seeds_for(true, alpha=claim.alpha * share) for true in wanted)
    return min((n - seeds for n in needed if n is not None and n > seeds), default=MOST_SEEDS)


def _by_accuracy(claim: Claim, pair: Pair, ok: Pair) -> Evidence:
    found = difference(*ok.accuracies, confidence=1 - claim.alpha)
    estimate = found.estimate
    margin = claim.margin.of(ok.dense_error) if claim.margin else math.nan
    smallest = claim.smallest_effect.of(ok.dense_error) if claim.smallest_effect else math.nan
    why = pair.obstacle(claim.estimand.equal)
    if why is None and claim.test == "equivalence" and math.isnan(margin):
        why = "no ok dense cell: the margin is a share of its error"
    shown = Comparison(
        pair.where,
        Verdict.UNDECIDED,
        why or estimate.reason or "",
        (Effect.of("difference in accuracy", estimate),),
        len(ok.ours),
        ok.keys,
        sides=_sides(pair),
        margin=margin,
        detectable=found.detectable(alpha=claim.alpha),
        seeds_for_point=found.seeds_for(POINT, alpha=claim.alpha),
        seeds_for_smallest=found.seeds_for(smallest, alpha=claim.alpha),
    )
    if shown.reason:
        return Evidence(replace(shown, seeds_needed=_until_five(shown)))

    def more(share: float) -> int:
        return _more_seeds(claim, found, margin, smallest, share)

    if claim.test == "equivalence":
        return Evidence(shown, within(estimate, margin), outside(estimate, margin), more_seeds=more)
    return Evidence(shown, *two_sided(estimate), within(estimate, margin), more_seeds=more)


def _until_five(shown: Comparison) -> int | None:
    """What a comparison on too few seeds lacks at least; None if it is something else that bars it."""
    return MIN_SEEDS - shown.seeds if lacks_seeds(shown.reason) else None


def scores(claim: Claim, ok: Pair) -> NDArray[np.float64]:
    """Per seed 1 where the claim's arm took less until the target, −1 where it took more, 0 for a tie, `[seeds]`.

    What never reached the target took without end: both without end is a tie. NaN where it is not known.
    """
    ours, theirs = (np.asarray(side[claim.estimand.quantity], dtype=np.float64) for side in (ok.ours, ok.theirs))
    signs = np.where(ours < theirs, 1.0, np.where(ours > theirs, -1.0, 0.0))
    return np.where(np.isnan(ours) | np.isnan(theirs), np.nan, signs)


def _by_signs(claim: Claim, pair: Pair, ok: Pair) -> Evidence:
    """The sign test, which needs no mean: what is never reached has none."""
    signs = scores(claim, ok)
    known = signs[~np.isnan(signs)]
    faster, slower = int((known > 0).sum()), int((known < 0).sum())
    effects = tuple(_of_target(claim, ok, known, faster))
    why = pair.obstacle(claim.estimand.equal)
    if why is None and len(known) < len(signs):
        why = f"not recorded in {len(signs) - len(known)} of {len(signs)} seeds"
    shown = Comparison(pair.where, Verdict.UNDECIDED, why or "", effects, len(known), ok.keys, sides=_sides(pair))
    if not len(known):
        return Evidence(replace(shown, verdict=Verdict.NOT_MEASURED))
    if why or not faster + slower:
        return Evidence(replace(shown, reason=why or "no seed differs"))
    p = float(scipy.stats.binomtest(faster, faster + slower).pvalue)
    ways = (p, 1.0) if faster > slower else (1.0, p)
    return Evidence(shown, *ways, more_seeds=lambda share: _more_signs(faster, slower, claim.alpha * share))


def _more_signs(faster: int, slower: int, alpha: float) -> int:
    """How many more seeds would decide if they fall as those that differed so far; `MOST_SEEDS` at most."""
    differing = faster + slower
    share = max(faster, slower) / differing
    n = differing
    while n < MOST_SEEDS and scipy.stats.binomtest(round(share * n), n).pvalue > alpha:
        n = n + 1 if n < 100 else math.ceil(1.1 * n)
    return max(1, n - differing)


def _of_target(claim: Claim, ok: Pair, known: NDArray[np.float64], faster: int) -> list[Effect]:
    """Net share of the seeds in which the arm was faster, the median ratio, and how often the target was missed."""
    ours, theirs = (np.asarray(side[claim.estimand.quantity], dtype=float) for side in (ok.ours, ok.theirs))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = ours / theirs
    ratios = ratios[~np.isnan(ratios)]
    median = float(np.quantile(ratios, 0.5, method="lower")) if ratios.size else math.nan
    return [
        Effect("faster minus slower, share of seeds", stats.mean(known), unit="percent"),
        Effect("of the other's cost, median", median, unit="times"),
        Effect("never reached the target", float(np.isinf(ours).mean()), unit="percent"),
        Effect("the other never reached it", float(np.isinf(theirs).mean()), unit="percent"),
    ]


def _sides(pair: Pair) -> tuple[Side, Side]:
    return pair.one.side, pair.other.side
