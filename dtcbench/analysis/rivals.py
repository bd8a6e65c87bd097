"""The arms of a claim and the pairs they form: which cells count, and two arms at one place, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.differences import Accuracies
from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import DENSE, IDENTITY, Pool, Rows, groups, of_regression, registered_name
from dtcbench.analysis.verdicts import Side, obstacle
from dtcbench.plan.claim import Claim, Counted, plain_label
from dtcbench.text import percent

MISSING = "missing"
"""The status of a planned cell that has not run yet."""
FLOPS_TOLERANCE = 0.02
"""Two networks take equal FLOPs if theirs differ by at most this share."""


@dataclass(frozen=True)
class Series:
    """The planned cells of one method, with its solver, in one pool and at one sparsity."""

    pool: Pool
    sparsity: float | None
    """Planned; None where the protocol's schedule decides, and for dense."""
    method: str
    solver: str
    cells: Rows
    """By seed, ascending."""

    @property
    def side(self) -> Side:
        """What tells it from every other series."""
        return Side(self.pool, self.sparsity, self.method, self.solver)

    @property
    def where(self) -> str:
        """Pool and sparsity, for a person."""
        removed = "by schedule" if self.sparsity is None else f"{percent(self.sparsity, '.3g')} removed"
        return f"{self.pool.title} · {removed}"

    @property
    def label(self) -> str:
        """The competitor's name."""
        return series_label(self.method, self.solver)

    @property
    def ok(self) -> Rows:
        """The cells that finished."""
        return self.cells.where(self.cells["status"] == "ok")


def counted(cells: pd.DataFrame, which: Counted) -> pd.DataFrame:
    """The rows of the tidy table `cells` that count; dense counts at every sparsity. No cell of a regression counts:
    claims are about accuracies.

    A cell that several suites have counts if one of them does: its column `suite` names them all.
    """
    suites = set(which.suites or ())
    tests: list[tuple[str, Sequence[Any] | None, Callable[[Any], bool]]] = [
        ("suite", which.suites, lambda suite: not suites.isdisjoint(str(suite).split(", "))),
        ("protocol", which.protocols, lambda label: registered_name(label) in (which.protocols or ())),
        ("model", which.models, lambda label: plain_label(label) in (which.models or ())),
        ("dataset", which.datasets, lambda label: plain_label(label) in (which.datasets or ())),
        ("solver", which.solvers, lambda label: label == "" or plain_label(label) in (which.solvers or ())),
    ]
    keep = ~of_regression(cells).to_numpy(bool)
    for column, wanted, counts in tests:
        if wanted is not None:
            keep &= np.array([counts(value) for value in cells[column]], dtype=bool)
    if which.sparsities is not None:
        planned = cells["sparsity"].to_numpy(float)[:, None]
        near = (np.abs(planned - np.array(which.sparsities)) < stats.ROUNDING).any(axis=1)
        keep &= near | (cells["method"] == DENSE).to_numpy(bool)
    keep &= ~cells["seed"].isin(which.exclude_seeds).to_numpy(bool)
    return cells[keep]


def all_series(cells: pd.DataFrame) -> list[Series]:
    """The series of tidy `cells`, in their order, dense included."""
    return [
        Series(Pool(*pool), None if method == DENSE or math.isnan(sparsity) else sparsity, method, solver, group)
        for (*pool, sparsity, method, solver), group in groups(cells, IDENTITY)
    ]


def arms(claim: Claim, series: Sequence[Series]) -> list[Series]:
    """The series that the claim is about."""
    return [one for one in series if plain_label(one.method) in claim.estimand.of]


@dataclass(frozen=True)
class Pair:
    """Two arms at one place, over the seeds that both were planned on."""

    one: Series
    other: Series
    ours: Rows
    theirs: Rows
    """The cells of both sides, seed by seed in the same order."""
    dense: Rows | None
    """The dense cells of the pool; None if none was planned."""

    @property
    def where(self) -> str:
        """Place and both labels, for a person."""
        return f"{self.one.where}: {self.one.label} − {self.other.label}"

    @property
    def network(self) -> tuple[str, str]:
        """The pair of data set and network."""
        return self.one.pool.dataset, self.one.pool.model

    def first(self, seeds: int) -> Pair:
        """The same over the first `seeds` of its seeds, dense too."""
        chosen = np.arange(len(self.ours)) < seeds
        shared = self.ours["seed"][chosen]
        dense = self.dense and self.dense.where(np.isin(self.dense["seed"], shared))
        return Pair(self.one, self.other, self.ours.where(chosen), self.theirs.where(chosen), dense)

    @property
    def ended(self) -> int:
        """How many of its seeds, from the first, have cells that ended on both sides."""
        there = (self.ours["status"] != MISSING) & (self.theirs["status"] != MISSING)
        return len(there) if there.all() else int(np.argmin(there))

    @property
    def is_ok(self) -> NDArray[np.bool_]:
        """Per seed, whether both cells finished."""
        both: NDArray[np.bool_] = (self.ours["status"] == "ok") & (self.theirs["status"] == "ok")
        return both

    def ok(self) -> Pair:
        """The seeds of which both cells finished."""
        return Pair(self.one, self.other, self.ours.where(self.is_ok), self.theirs.where(self.is_ok), self.dense)

    @property
    def accuracies(self) -> tuple[Accuracies, Accuracies]:
        """Of both sides, seed by seed."""
        return Accuracies.of(self.ours), Accuracies.of(self.theirs)

    @property
    def seeds(self) -> NDArray[Any]:
        """Its seeds, ascending."""
        return self.ours["seed"]

    @property
    def keys(self) -> tuple[str, ...]:
        """Of its cells."""
        return *self.ours["key"], *self.theirs["key"]

    @property
    def suites(self) -> set[str]:
        """The suites that its cells belong to."""
        return {name for suite in self.ours["suite"] for name in str(suite).split(", ")}

    @property
    def dense_error(self) -> float:
        """The mean error of the dense cells; NaN without an ok one."""
        return math.nan if self.dense is None else 1 - stats.mean(self.dense["accuracy"].astype(float))

    def obstacle(self, equal: str) -> str | None:
        """Why these seeds cannot be judged: too few, failed, or not `equal` as the estimand asks; None if they can."""
        failed = [int(seed) for seed in self.seeds[~self.is_ok]]
        ok = self.ok()
        return ok._unequal(equal) or obstacle(len(ok.ours), failed)

    def _unequal(self, equal: str) -> str | None:
        """The reason, if the two sides ended on networks of different sizes."""
        if equal == "widths":
            same_size = self.ours["parameters"] == self.theirs["parameters"]
            same_share = np.abs(self.ours["sparsity_reached"] - self.theirs["sparsity_reached"]) < stats.ROUNDING
            return None if (same_size & same_share).all() else "the two end on different widths"
        if equal == "inference_flops" and len(self.ours):
            off = float(np.max(np.abs(self.ours["inference_flops"] / self.theirs["inference_flops"] - 1)))
            return f"their FLOPs differ by {percent(off, '.2g')}" if off > FLOPS_TOLERANCE else None
        return None


def pairs(claim: Claim, cells: pd.DataFrame) -> Iterator[Pair]:
    """The pairs of arms that the claim compares among its counted, tidy `cells`.

    Two arms stand at the same place, or the other is dense; if both use a solver, it is the same one.
    """
    series = all_series(cells)
    dense = {one.pool: one.ok for one in series if one.method == DENSE}
    for one in arms(claim, series):
        for other in series:
            if plain_label(other.method) in claim.estimand.minus and _meet(one, other):
                pair = paired(one, other, dense.get(one.pool))
                if len(pair.ours):
                    yield pair


def paired(one: Series, other: Series, dense: Rows | None) -> Pair:
    """Two series over the seeds that both were planned on."""
    shared = np.intersect1d(one.cells["seed"], other.cells["seed"])
    ours, theirs = (side.cells.where(np.isin(side.cells["seed"], shared)) for side in (one, other))
    return Pair(one, other, ours, theirs, dense)


def _meet(one: Series, other: Series) -> bool:
    if one.pool != other.pool or (one.method, one.solver) == (other.method, other.solver):
        return False
    at_one_place = other.method == DENSE or one.sparsity == other.sparsity
    return at_one_place and (not one.solver or not other.solver or one.solver == other.solver)
