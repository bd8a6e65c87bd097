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
from typing import NamedTuple

from dtcbench.analysis import stats
from dtcbench.analysis.evidence import Evidence, of_pair
from dtcbench.analysis.pooling import of_all
from dtcbench.analysis.rivals import Pair
from dtcbench.analysis.sequential import Looks
from dtcbench.analysis.verdicts import Comparison, Verdict
from dtcbench.plan.claim import IN_USE, TO_TARGET, Claim
from dtcbench.text import count_of

RULES = {
    "average": "Supported where the mean difference over pairs of network and data, {pooled}, is above 0 (adjusted p "
    "at most {alpha}); refuted where it is below 0.{equal} The single comparisons are shown, and decide nothing.",
    "everywhere": "Refuted by one comparison whose difference is below 0 with an adjusted p of at most {alpha}; "
    "supported where every comparison's is above 0 with a p of at most {alpha}.{equal}",
    "equivalence": "Supported where in every comparison the interval lies within the margin, {margin} (two one-sided "
    "tests); refuted by one comparison outside of it with an adjusted p of at most {alpha}.",
    "saving": "Supported by one place whose saving{use} reaches {at_least} % at an accuracy at most {margin} below "
    "dense, with an adjusted p of at most {alpha}; refuted where at every place the saving is shown to be less, or the "
    "accuracy lower.",
    "curves": "Refuted by one curve that departs more than our own seeds do, with an adjusted p of at most {alpha}; "
    "supported where enough seeds show no such curve.",
    "entropy_law": "Supported where in every comparison entropy tracks accuracy beyond what the number of "
    "measurements and the size of the weights give; refuted by one in which it is shown not to.",
}
"""By test, its rule in a sentence."""
_POOLED = "pooled by random effects, over pairs and with each data set counted once"


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


class Adjusted(NamedTuple):
    """The p-values of a comparison, adjusted for its family."""

    alone: float
    """Of the way in which it can decide its claim alone."""
    together: float
    """Of the way in which it must agree with all others of its claim; NaN for `average`."""
    equal: float
    """Of a difference of the margin or more."""


def rule_of(claim: Claim) -> str:
    """The rule of the claim's test in a sentence, with its numbers."""
    equal = f" Equivalent where it is shown to be within {claim.margin}." if claim.margin else ""
    return RULES[claim.test].format(
        alpha=f"{claim.alpha:g}",
        margin=claim.margin,
        equal=equal,
        at_least=f"{100 * (claim.estimand.at_least or 0):g}",
        use=f" in use ({claim.estimand.use})" if claim.estimand.quantity == IN_USE else "",
        pooled="by an exact sign-flip test"
        if claim.estimand.quantity in TO_TARGET
        else "pooled by random effects, over pairs and with each data set counted once",
    )


def case_of_pairs(claim: Claim, pairs: Sequence[Pair], looks: Mapping[str, Looks]) -> Case:
    """What these pairs of arms say of a claim; those of a suite with several looks are judged at each of them."""
    nothing = f"no {' or '.join(claim.estimand.minus)} at the place of a cell of {' or '.join(claim.estimand.of)}"
    ordered = sorted(pairs, key=lambda pair: pair.where)
    at_looks = [(pair, looks_of(claim, pair, looks)) for pair in ordered]
    single = tuple(
        over_looks(claim, looks, [of_pair(claim, part) for part in parts_of(pair, looks)]) for pair, looks in at_looks
    )
    if claim.test != "average":
        return Case(claim, single, nothing=nothing)
    measured = [(pair, looks) for (pair, looks), one in zip(at_looks, single, strict=True) if not _is_unmeasured(one)]
    if not measured:  # nothing to pool: the single ones say why
        return Case(claim, single, nothing=nothing)
    pooled = _pooled(claim, measured)
    if len(measured) < len(single):
        # A network that was planned counts: it may lack because of what the claim is about, or because it is slow.
        lacking = len(single) - len(measured)
        why = f"{lacking} of {len(single)} planned comparisons are not measured, and every one counts"
        pooled = Evidence(replace(pooled.shown, reason=why, seeds_needed=None))
    return Case(claim, (pooled,), single, nothing=nothing)


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


def over_looks(claim: Claim, looks: Looks, found: Sequence[Evidence]) -> Evidence:
    """The last look's numbers, with the p-values of the whole sequence of looks."""
    last = found[-1]
    if len(looks.sizes) == 1 or _is_unmeasured(last):
        return last
    if last.shown.seeds < looks.first:
        why = f"{count_of(last.shown.seeds, 'seed')}: the first look is at {looks.first}"
        return Evidence(replace(last.shown, reason=why, seeds_needed=looks.first - last.shown.seeds))
    level = looks.levels(claim.alpha)[min(len(found), len(looks.sizes) - 1)]

    def more(share: float) -> int | None:
        """By the next look's level, and up to a look."""
        seeds, needed = last.shown.seeds, last.more_seeds(share * level / claim.alpha)
        return needed and next((size - seeds for size in looks.sizes if size >= seeds + needed), needed)

    p_for, p_against, p_equal = (looks.p_value(way) for way in zip(*(one.p_values for one in found), strict=True))
    return Evidence(last.shown, p_for, p_against, p_equal, more, looks.most)


def _pooled(claim: Claim, at_looks: Sequence[tuple[Pair, Looks]]) -> Evidence:
    parts = [(parts_of(pair, looks), looks) for pair, looks in at_looks]
    longest = max((looks for _, looks in parts), key=lambda looks: len(looks.sizes))
    reached = min((len(part) for part, looks in parts if len(looks.sizes) > 1), default=1)
    found = [of_all(claim, [part[min(look, len(part) - 1)] for part, _ in parts]) for look in range(reached)]
    return over_looks(claim, longest, found)


def families(cases: Sequence[Case]) -> list[list[Adjusted]]:
    """Per case and deciding comparison, its p-values adjusted over all of the claim's family."""
    adjusted: dict[int, list[Adjusted]] = {}
    numbered = sorted(enumerate(cases), key=lambda one: one[1].claim.family)
    for _, same in groupby(numbered, key=lambda one: one[1].claim.family):
        members = list(same)
        flat = iter(_adjusted([(case.claim, case.deciding) for _, case in members]))
        for number, case in members:
            adjusted[number] = [next(flat) for _ in case.deciding]
    return [adjusted[number] for number in range(len(cases))]


def _adjusted(members: Sequence[tuple[Claim, Sequence[Evidence]]]) -> list[Adjusted]:
    """Of all comparisons of one family.

    What one comparison decides alone is adjusted for their number (Holm). What all comparisons of a claim must show
    errs as one test does (Berger 1982), and is adjusted for the number of claims (Bonferroni).
    """
    every = [(claim, one) for claim, evidence in members for one in evidence]
    # An average is decided by its difference or by its equivalence alone, and their nulls exclude each other.
    alone = [_alone(claim, one) for claim, one in every]
    equal = [one.p_equal if claim.test == "average" else math.nan for claim, one in every]
    holm = stats.holm([*alone, *equal], [*range(len(every))] * 2).tolist()
    claims = sum(any(not math.isnan(one.p) for one in evidence) for _, evidence in members)
    found = []
    for (claim, one), of_alone, of_equal in zip(every, holm[: len(every)], holm[len(every) :], strict=True):
        together = min(1.0, claims * _together(claim, one))
        is_average = claim.test == "average"
        found.append(Adjusted(of_alone, together, of_equal if is_average else min(1.0, claims * one.p_equal)))
    return found


def judged(case: Case, adjusted: Sequence[Adjusted]) -> tuple[list[Comparison], list[Comparison]]:
    """The deciding comparisons and those beside them, with their verdicts."""
    deciding = [_verdict(case.claim, one, p) for one, p in zip(case.deciding, adjusted, strict=True)]
    p_beside = _adjusted([(case.claim, case.beside)])
    beside = [_of_two_ways(case.claim, one, p) for one, p in zip(case.beside, p_beside, strict=True)]
    return deciding, beside


def _alone(claim: Claim, one: Evidence) -> float:
    if claim.test == "saving":
        return one.p_for
    return one.p if claim.test == "average" else one.p_against


def _together(claim: Claim, one: Evidence) -> float:
    if claim.test == "average":
        return math.nan
    return one.p_against if claim.test == "saving" else one.p_for


def _verdict(claim: Claim, one: Evidence, adjusted: Adjusted) -> Comparison:
    """The verdict of a comparison; the p shown is of the way that the numbers point."""
    if math.isnan(one.p):
        return one.shown
    if claim.test == "average":
        return _of_two_ways(claim, one, adjusted)
    ends = (Verdict.SUPPORTED, Verdict.REFUTED)
    decisive, otherwise = ends if claim.test == "saving" else ends[::-1]
    if claim.test == "equivalence":
        otherwise = Verdict.EQUIVALENT
    alone, together = _alone(claim, one), _together(claim, one)
    if adjusted.alone <= claim.alpha:
        return _decided(one, decisive, alone, adjusted.alone)
    if adjusted.together <= claim.alpha:
        return _decided(one, otherwise, together, adjusted.together)
    if adjusted.equal <= claim.alpha:
        return _decided(one, Verdict.EQUIVALENT, one.p_equal, adjusted.equal)
    is_alone = one.leans_for == (claim.test == "saving")
    return _left_open(claim, one, *((alone, adjusted.alone) if is_alone else (together, adjusted.together)))


def _of_two_ways(claim: Claim, one: Evidence, adjusted: Adjusted) -> Comparison:
    if math.isnan(one.p):
        return one.shown
    if adjusted.alone <= claim.alpha:
        return _decided(one, Verdict.SUPPORTED if one.leans_for else Verdict.REFUTED, one.p, adjusted.alone)
    if adjusted.equal <= claim.alpha:
        return _decided(one, Verdict.EQUIVALENT, one.p_equal, adjusted.equal)
    return _left_open(claim, one, one.p, adjusted.alone)


def _decided(one: Evidence, verdict: Verdict, p: float, adjusted: float) -> Comparison:
    words = {
        Verdict.SUPPORTED: "shown for the claim",
        Verdict.REFUTED: "shown against it",
        Verdict.EQUIVALENT: "shown to be within the margin",
    }
    return replace(one.shown, verdict=verdict, reason=words[verdict], p=p, p_adjusted=adjusted, seeds_needed=None)


def _left_open(claim: Claim, one: Evidence, p: float, adjusted: float) -> Comparison:
    margin = "the margin is neither kept nor passed for certain"
    reason = one.shown.reason or (margin if claim.test == "equivalence" else "not shown either way")
    needed = one.more_seeds(p / adjusted if adjusted > 0 else 1.0)
    return replace(one.shown, reason=reason, p=p, p_adjusted=adjusted, seeds_needed=needed)


def _is_unmeasured(one: Evidence) -> bool:
    return one.shown.verdict is Verdict.NOT_MEASURED
