"""The rules of verdicts: what each test of a claim makes of the p-values of its comparisons, look by look.

`average` rests on the mean over pairs of network and data, `everywhere` falls to one counterexample, `equivalence` asks
that every difference lie within a margin, `saving` that one place save enough. docs/statistics.md, section 2, has each
with its error rate and power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from dtcbench.analysis import stats
from dtcbench.analysis.evidence import Evidence, of_pair
from dtcbench.analysis.pooling import of_all
from dtcbench.analysis.rivals import Pair
from dtcbench.analysis.sequential import Looks
from dtcbench.analysis.verdicts import Comparison, Verdict
from dtcbench.plan.claim import Claim

RULES = {
    "average": "Supported where the mean difference over pairs of network and data, pooled by random effects, is above "
    "0 (adjusted p at most {alpha}); refuted where it is below 0.{equal} The single comparisons are shown, and decide "
    "nothing.",
    "everywhere": "Refuted by one comparison whose difference is below 0 with an adjusted p of at most {alpha}; "
    "supported where every comparison's is above 0 with a p of at most {alpha}.{equal}",
    "equivalence": "Supported where in every comparison the interval lies within the margin, {margin} (two one-sided "
    "tests); refuted by one comparison outside of it with an adjusted p of at most {alpha}.",
    "saving": "Supported by one place whose saving reaches {at_least} % at an accuracy at most {margin} below dense, "
    "with an adjusted p of at most {alpha}; refuted where at every place the saving is shown to be less, or the "
    "accuracy lower.",
    "curves": "Refuted by one curve that departs more than our own seeds do, with an adjusted p of at most {alpha}; "
    "supported where enough seeds show no such curve.",
    "entropy_law": "Supported where in every comparison entropy tracks accuracy beyond what the number of "
    "measurements and the size of the weights give; refuted by one in which it is shown not to.",
}
"""By test, its rule in a sentence."""


@dataclass(frozen=True)
class Case:
    """What a claim's comparisons say over all looks."""

    claim: Claim
    deciding: tuple[Evidence, ...]
    """The comparisons by which the claim stands or falls: for `average` the pooled one alone."""
    beside: tuple[Evidence, ...] = ()
    """Comparisons that are shown and decide nothing."""
    nothing: str = ""
    """The reason, if there is no comparison."""

    @property
    def p(self) -> tuple[float, ...]:
        """Per deciding comparison, the p-value that is adjusted: of the way in which one alone can decide."""
        return tuple(_alone(self.claim, one) for one in self.deciding)


def rule_of(claim: Claim) -> str:
    """The rule of the claim's test in a sentence, with its numbers."""
    equal = f" Equivalent where it is shown to be within {claim.margin}." if claim.margin else ""
    return RULES[claim.test].format(
        alpha=f"{claim.alpha:g}",
        margin=claim.margin,
        equal=equal,
        at_least=f"{100 * (claim.estimand.at_least or 0):g}",
    )


def case_of_pairs(claim: Claim, pairs: Sequence[Pair], looks: Mapping[str, Looks]) -> Case:
    """What these pairs of arms say of a claim; those of a suite with several looks are judged at each of them."""
    nothing = f"no {' or '.join(claim.estimand.minus)} at the place of a cell of {' or '.join(claim.estimand.of)}"
    ordered = sorted(pairs, key=lambda pair: pair.where)
    at_looks = [(pair, looks_of(claim, pair, looks)) for pair in ordered]
    single = tuple(
        over_looks(looks, [of_pair(claim, part) for part in parts_of(pair, looks)]) for pair, looks in at_looks
    )
    if claim.test != "average":
        return Case(claim, single, nothing=nothing)
    measured = [(pair, looks) for (pair, looks), one in zip(at_looks, single, strict=True) if not _is_unmeasured(one)]
    pooled = (_pooled(claim, measured),) if measured else ()
    return Case(claim, pooled, single, nothing=nothing)


def looks_of(claim: Claim, pair: Pair, looks: Mapping[str, Looks]) -> Looks:
    """The looks of the suite that the pair's cells belong to, or one look at all its seeds."""
    order = claim.cells.suites or sorted(pair.suites)
    planned = [looks[suite] for suite in order if suite in pair.suites and suite in looks]
    return planned[0] if planned else Looks.fixed(len(pair.seeds))


def parts_of(pair: Pair, looks: Looks) -> list[Pair]:
    """The pair at each look that its seeds have reached; at the only look in any case."""
    if len(looks.sizes) == 1:
        return [pair.first(looks.sizes[0])]
    return [pair.first(size) for size in looks.sizes[: looks.reached(pair.ended)]] or [pair.first(pair.ended)]


def over_looks(looks: Looks, found: Sequence[Evidence]) -> Evidence:
    """The last look's numbers, with the p-values of the whole sequence of looks."""
    if len(looks.sizes) == 1:
        return found[-1]
    if found[-1].shown.seeds < looks.first:
        lacking = looks.first - found[-1].shown.seeds
        why = f"{found[-1].shown.seeds} seeds: the first look is at {looks.first}"
        return Evidence(replace(found[-1].shown, reason=why, seeds_needed=lacking))
    ways = zip(*(one.p_values for one in found), strict=True)
    return Evidence(found[-1].shown, *(looks.p_value(way) for way in ways))


def _pooled(claim: Claim, at_looks: Sequence[tuple[Pair, Looks]]) -> Evidence:
    parts = [(parts_of(pair, looks), looks) for pair, looks in at_looks]
    longest = max((looks for _, looks in parts), key=lambda looks: len(looks.sizes))
    reached = min((len(part) for part, looks in parts if len(looks.sizes) > 1), default=1)
    found = [of_all(claim, [part[min(look, len(part) - 1)] for part, _ in parts]) for look in range(reached)]
    return over_looks(longest, found)


def families(cases: Sequence[Case]) -> list[list[float]]:
    """Per case, the p-values of its deciding comparisons, adjusted over all of its family (Holm)."""
    adjusted: dict[int, list[float]] = {}
    numbered = sorted(enumerate(cases), key=lambda one: one[1].claim.family)
    for _, same in groupby(numbered, key=lambda one: one[1].claim.family):
        members = list(same)
        flat = iter(stats.holm([p for _, case in members for p in case.p]).tolist())
        for number, case in members:
            adjusted[number] = [next(flat) for _ in case.p]
    return [adjusted[number] for number in range(len(cases))]


def judged(case: Case, adjusted: Sequence[float]) -> tuple[list[Comparison], list[Comparison]]:
    """The deciding comparisons and those beside them, with their verdicts."""
    deciding = [_verdict(case.claim, one, p) for one, p in zip(case.deciding, adjusted, strict=True)]
    p_beside = stats.holm([one.p for one in case.beside]).tolist()
    beside = [_of_two_ways(case.claim, one, p) for one, p in zip(case.beside, p_beside, strict=True)]
    return deciding, beside


def _alone(claim: Claim, one: Evidence) -> float:
    if claim.test == "saving":
        return one.p_for
    return one.p if claim.test == "average" else one.p_against


def _verdict(claim: Claim, one: Evidence, adjusted: float) -> Comparison:
    """The verdict of a comparison; the p shown is of the way that the numbers point."""
    if math.isnan(one.p):
        return one.shown
    if claim.test == "average":
        return _of_two_ways(claim, one, adjusted)
    alpha, all_must = claim.alpha, one.p_against if claim.test == "saving" else one.p_for
    ends = (Verdict.SUPPORTED, Verdict.REFUTED)
    decisive, otherwise = ends if claim.test == "saving" else ends[::-1]
    if claim.test == "equivalence":
        otherwise = Verdict.EQUIVALENT
    if adjusted <= alpha:
        return _decided(one, decisive, _alone(claim, one), adjusted)
    if all_must <= alpha:
        return _decided(one, otherwise, all_must, all_must)
    if one.p_equal <= alpha:
        return _decided(one, Verdict.EQUIVALENT, one.p_equal, one.p_equal)
    is_alone = one.leans_for == (claim.test == "saving")
    shown = (_alone(claim, one), adjusted) if is_alone else (all_must, all_must)
    return replace(one.shown, reason=one.shown.reason or _open(claim, one), p=shown[0], p_adjusted=shown[1])


def _of_two_ways(claim: Claim, one: Evidence, adjusted: float) -> Comparison:
    if math.isnan(one.p):
        return one.shown
    if adjusted <= claim.alpha:
        return _decided(one, Verdict.SUPPORTED if one.leans_for else Verdict.REFUTED, one.p, adjusted)
    if one.p_equal <= claim.alpha:
        return _decided(one, Verdict.EQUIVALENT, one.p_equal, one.p_equal)
    return replace(one.shown, reason=one.shown.reason or _open(claim, one), p=one.p, p_adjusted=adjusted)


def _decided(one: Evidence, verdict: Verdict, p: float, adjusted: float) -> Comparison:
    words = {
        Verdict.SUPPORTED: "shown for the claim",
        Verdict.REFUTED: "shown against it",
        Verdict.EQUIVALENT: "shown to be within the margin",
    }
    return replace(one.shown, verdict=verdict, reason=words[verdict], p=p, p_adjusted=adjusted, seeds_needed=None)


def _open(claim: Claim, one: Evidence) -> str:
    return (
        "the margin is neither kept nor passed for certain" if claim.test == "equivalence" else "not shown either way"
    )


def _is_unmeasured(one: Evidence) -> bool:
    return one.shown.verdict is Verdict.NOT_MEASURED
