"""Claims as data: each claim's verdict by the cells that count for it, with the evidence.

A claim is a YAML file (plan/claim.py) and says which cells count; which runs are named decides nothing else.
docs/statistics.md has the rules with their sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from dtcbench.analysis import draws, energy_columns, entropy_law, paper_entropy, reproduction, saving, target
from dtcbench.analysis.evidence import Evidence
from dtcbench.analysis.pairing import of_regression, tidy
from dtcbench.analysis.power import MOST_SEEDS
from dtcbench.analysis.rivals import counted, pairs
from dtcbench.analysis.rules import Adjusted, Case, case_of_pairs, families, judged, rule_of
from dtcbench.analysis.sequential import Looks
from dtcbench.analysis.verdicts import Comparison, Conclusion, Verdict, lacks_seeds, would_decide
from dtcbench.plan.claim import Claim, plain_label
from dtcbench.text import count_of


def conclusions(
    claims: Sequence[Claim],
    cells: pd.DataFrame,
    cycles: pd.DataFrame,
    *,
    looks: Mapping[str, Looks] | None = None,
    use: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
    measurements: pd.DataFrame | None = None,
) -> tuple[Conclusion, ...]:
    """Each claim's verdict, in the order of `claims`, from the tables of one or several runs.

    Parameters
    ----------
    cells : one row a key; `suite` names the suites that plan it, with commas
    looks : by suite, the numbers of seeds at which it is looked at; others are looked at once, with all their seeds
    use : one row per ok cell and way of using its network; nothing is known of use without it
    reference : published accuracies: `cycle`, `width`, one column a method
    measurements : what DTC measured in the published run: `cycle`, `side`, `y`
    """
    planned = target.with_costs(energy_columns.with_targets(tidy(cells), cycles), cycles)
    of_use = pd.DataFrame(columns=saving.OF_USE) if use is None else use
    cases = [_case(claim, planned, cycles, looks or {}, of_use, reference, measurements) for claim in claims]
    return tuple(concluded(case, adjusted) for case, adjusted in zip(cases, families(cases), strict=True))


def _case(
    claim: Claim,
    planned: pd.DataFrame,
    cycles: pd.DataFrame,
    looks: Mapping[str, Looks],
    use: pd.DataFrame,
    reference: pd.DataFrame | None,
    measurements: pd.DataFrame | None,
) -> Case:
    cells = counted(planned, claim.cells)
    if not len(cells):
        regression = "; cells of a regression have no accuracy" if of_regression(planned).any() else ""
        return Case(claim, (), nothing=f"no cell that counts: {_which(claim)}{regression}")
    if claim.test == "curves":
        ours = cells[cells["method"].map(plain_label).isin(claim.estimand.of)]
        nothing = "no cell of a published curve" if reference is not None else "no published curves were given"
        found = reproduction.comparisons(ours, cycles, reference, alpha=claim.alpha) if reference is not None else ()
        return Case(claim, _given(found), nothing=nothing)
    nothing = f"no cell of {' or '.join(claim.estimand.of)}"
    if claim.test == "entropy_law":
        of, at_least = claim.estimand.of, claim.estimand.at_least or entropy_law.STRONG
        laws = list(entropy_law.comparisons(cells, cycles, of=of, at_least=at_least, alpha=claim.alpha))
        if measurements is not None and reference is not None:
            laws += paper_entropy.comparisons(measurements, reference)
        measured = [one for one in laws if one.verdict is not Verdict.NOT_MEASURED]
        shown = [one for one in laws if one.verdict is Verdict.NOT_MEASURED]
        return Case(claim, _given(measured or shown), _given(shown if measured else ()), nothing=nothing)
    if claim.test == "saving":
        return Case(claim, tuple(saving.evidence(claim, cells, use)), nothing=nothing)
    return draws.beside(case_of_pairs(claim, list(pairs(claim, cells)), looks), cells)


def _given(comparisons: Iterable[Comparison]) -> tuple[Evidence, ...]:
    """Comparisons that their own module has judged, and adjusted for their number, by place."""
    found = sorted(comparisons, key=lambda one: one.where)
    return tuple(map(Evidence, found))


def _which(claim: Claim) -> str:
    """The lists that a cell must fit, for a person."""
    lists = claim.cells.model_dump(exclude_none=True, exclude={"exclude_seeds"})
    return "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in lists.items())


def concluded(case: Case, adjusted: Sequence[Adjusted]) -> Conclusion:
    """The verdict on a case, whose deciding comparisons have the `adjusted` p-values of `families`."""
    claim = case.claim
    deciding, beside = judged(case, adjusted)
    verdict = _verdict(claim, deciding)
    open_ones = [one for one in deciding if one.verdict is Verdict.UNDECIDED and verdict is Verdict.UNDECIDED]
    more = max((one.seeds_needed for one in open_ones if one.seeds_needed), default=None)
    if not deciding:
        reason = case.nothing
    elif verdict is Verdict.NOT_MEASURED:
        reason = _reasons(deciding)
    else:
        tally = _tally(deciding) if claim.test != "average" else _pooled_reason(deciding[0], beside)
        is_known = not any(lacks_seeds(one.reason) for one in open_ones)
        reason = f"{tally}; {_asked(more, case)}" if more and is_known else tally
    if claim.test == "average":
        beside = [_asks_for(one, more) for one in beside]
    bounds = (claim.estimand.at_least,) if claim.estimand.at_least is not None else (0.0,)
    sources = tuple(map(str, claim.sources))
    comparisons = (*deciding, *beside)
    return Conclusion(
        claim.id, claim.title, claim.statement, verdict, rule_of(claim), reason, comparisons, bounds, sources, more
    )


def _verdict(claim: Claim, deciding: Sequence[Comparison]) -> Verdict:
    """By the claim's test: what one comparison decides alone comes first, then what all must show."""
    said = [one.verdict for one in deciding]
    if all(verdict is Verdict.NOT_MEASURED for verdict in said):
        return Verdict.NOT_MEASURED
    alone, together = Verdict.REFUTED, Verdict.SUPPORTED
    if claim.test == "saving":
        alone, together = together, alone
    if alone in said:
        return alone
    if claim.test == "equivalence":
        return together if set(said) == {Verdict.EQUIVALENT} else Verdict.UNDECIDED
    return said[0] if len(set(said)) == 1 else Verdict.UNDECIDED


def _asks_for(one: Comparison, more: int | None) -> Comparison:
    """A comparison beside a pooled one: it needs seeds if the pooled one does, whatever it says itself."""
    return replace(one, seeds_needed=more if one.verdict is Verdict.UNDECIDED else None)


_WORDS = {
    Verdict.SUPPORTED: "for the claim",
    Verdict.REFUTED: "against it",
    Verdict.EQUIVALENT: "within the margin",
    Verdict.UNDECIDED: "open",
    Verdict.NOT_MEASURED: "not measured",
}


def _tally(comparisons: Sequence[Comparison]) -> str:
    """`4 comparisons: 1 for the claim, 3 open (not shown either way)`."""
    counts = Counter(one.verdict for one in comparisons)
    parts = [f"{counts[verdict]} {words}" for verdict, words in _WORDS.items() if counts[verdict]]
    of_open = _reasons([one for one in comparisons if one.verdict is Verdict.UNDECIDED])
    return f"{count_of(len(comparisons), 'comparison')}: {', '.join(parts)}" + (f" ({of_open})" if of_open else "")


def _pooled_reason(pooled: Comparison, beside: Sequence[Comparison]) -> str:
    """What the pooled comparison says, and which of the single ones point the other way."""
    other = Verdict.SUPPORTED if pooled.verdict is Verdict.REFUTED else Verdict.REFUTED
    counter = [one for one in beside if one.verdict is other]
    exceptions = f"; {len(counter)} of {len(beside)} single comparisons are {_WORDS[other]}" if counter else ""
    return f"{pooled.where}: {pooled.reason}{exceptions}"


def _reasons(comparisons: Sequence[Comparison]) -> str:
    """Their distinct reasons, the most frequent first."""
    counts = Counter(one.reason for one in comparisons)
    return "; ".join(sorted(counts, key=lambda reason: (-counts[reason], reason)))


def _asked(more: int, case: Case) -> str:
    """How many more seeds would decide, and whether so many are planned."""
    beyond = [one.most for one in case.deciding if one.most is not None and one.shown.seeds + more > one.most]
    is_beyond = bool(beyond) and more < MOST_SEEDS
    return would_decide(more) + (f"; {count_of(max(beyond), 'seed')} are planned at most" if is_beyond else "")
