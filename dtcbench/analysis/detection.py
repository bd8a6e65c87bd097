"""What a suite's seeds can show: the spread of each comparison in finished records, and the seeds that a difference
takes. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import scipy.stats

from dtcbench.analysis import differences
from dtcbench.analysis.pairing import DENSE, of_regression
from dtcbench.analysis.rivals import Pair, all_series, counted, paired, pairs
from dtcbench.analysis.verdicts import Side
from dtcbench.plan.claim import Claim


@dataclass(frozen=True)
class Detection:
    """What the seeds of one comparison of accuracies can show, by the pairs that have finished."""

    where: str
    pairs: int
    """Seeds of which both cells are ok."""
    spread: float
    """Standard deviation of the differences, a fraction of 1; NaN with fewer than three pairs, or if all are equal."""
    planned: int
    """Seeds that the suite plans at most."""
    smallest: float
    """The smallest true difference that the planned seeds find in 80 % of cases; NaN if it is not known."""
    needed: int | None
    """Seeds that find the difference asked for in 80 % of cases; None if the spread is not known, or no number is
    enough: other test images could differ by as much."""


def detections(
    claims: Sequence[Claim], cells: pd.DataFrame, planned: Collection[str], difference: float, most: int | None = None
) -> tuple[Detection, ...]:
    """The comparisons of the claims, and each method with dense, among the planned rows; none of a regression.

    Parameters
    ----------
    claims : those that count cells of the suite
    cells : tidy; those of further runs may be among them, for the spread
    planned : keys of the suite's cells: a comparison without any is left out
    difference : of accuracies, a fraction of 1
    most : seeds per row, if they grow until decided; those in `planned` if None
    """
    found: dict[tuple[Side, Side], Detection] = {}
    for pair in _compared(claims, cells):
        seeds = min(sum(key in planned for key in side["key"]) for side in (pair.ours, pair.theirs))
        if seeds:
            found.setdefault((pair.one.side, pair.other.side), _detection(pair, difference, most or seeds))
    return tuple(sorted(found.values(), key=lambda one: one.where))


def uncertainty(pairs: int) -> tuple[float, float]:
    """Between which multiples of the spread of so many pairs the true one lies, with 95 %: from chi-squared."""
    low, high = scipy.stats.chi2.ppf([0.975, 0.025], pairs - 1)
    return math.sqrt((pairs - 1) / low), math.sqrt((pairs - 1) / high)


def _compared(claims: Iterable[Claim], cells: pd.DataFrame) -> Iterator[Pair]:
    for claim in claims:
        if claim.estimand.quantity == "accuracy":
            yield from pairs(claim, counted(cells, claim.cells.model_copy(update={"suites": None})))
    series = all_series(cells[~of_regression(cells)])
    dense = {one.pool: one for one in series if one.method == DENSE}
    yield from (paired(one, dense[one.pool], None) for one in series if one.method != DENSE and one.pool in dense)


def _detection(pair: Pair, difference: float, planned: int) -> Detection:
    found = differences.difference(*pair.ok().accuracies)
    smallest, needed = found.detectable(planned), found.seeds_for(difference)
    return Detection(pair.where, len(found.values), found.sd, planned, smallest, needed)
