"""Two methods at equal widths, seed by seed: the comparisons of accuracy that claims rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import DENSE, IDENTITY, Pool, Rows, groups, registered_name
from dtcbench.analysis.verdicts import Comparison, Effect, Verdict, obstacle
from dtcbench.text import percent

DTC = ("dtc", "dtc-published")
"""The claims are about these two with their default options; variants are for ablations."""
Judge = Callable[[stats.Estimate], tuple[Verdict, str]]
Test = Callable[[list[NDArray[np.float64]]], NDArray[np.float64]]


@dataclass(frozen=True)
class Series:
    """The planned cells of one method, with its solver, in one pool and at one sparsity."""

    pool: Pool
    sparsity: float | None
    """Planned; None where the protocol's schedule decides."""
    method: str
    solver: str
    cells: Rows

    @property
    def place(self) -> tuple[Pool, float | None]:
        """Pool and sparsity: what two series must share to be compared."""
        return self.pool, self.sparsity

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


def all_series(cells: pd.DataFrame) -> list[Series]:
    """The series of tidy `cells`, in their order."""
    return [
        Series(Pool(*pool), None if math.isnan(sparsity) else sparsity, method, solver, group)
        for (*pool, sparsity, method, solver), group in groups(cells, IDENTITY)
        if method != DENSE
    ]


def of_dtc(series: list[Series]) -> list[Series]:
    """The series that the claims are about."""
    return [one for one in series if one.method in DTC]


def compared(one: Series, other: Series, judge: Judge, test: Test, kind: str = "") -> Comparison:
    """Accuracy of `one` minus that of `other`, over the seeds that both were planned on, at equal widths."""
    ours, theirs, alone = _paired(one, other)
    where = f"{one.where}: {one.label} − {other.label}"
    if not len(ours):
        return Comparison(where, Verdict.NOT_MEASURED, "no ok pair", kind=kind)
    differences = ours["accuracy"] - theirs["accuracy"]
    estimate = stats.mean_estimate(differences)
    effects = (Effect.of("difference in accuracy", estimate),)
    keys = (*ours["key"], *theirs["key"])
    why = _unequal(ours, theirs) or obstacle(len(ours), alone)
    verdict, reason = (Verdict.NOT_SHOWN, why) if why else judge(estimate)
    p = math.nan if why else float(test([differences])[0])
    return Comparison(where, verdict, reason, effects, len(ours), keys, kind, p)


def _paired(one: Series, other: Series) -> tuple[Rows, Rows, list[int]]:
    """The ok cells of both sides in pairs, by seed, and the planned seeds without a pair."""
    left, right = one.ok, other.ok
    shared = np.intersect1d(left["seed"], right["seed"])
    # Tidy cells are sorted by seed, so both sides have the shared seeds in the same order.
    ours, theirs = (side.where(np.isin(side["seed"], shared)) for side in (left, right))
    planned = {*one.cells["seed"], *other.cells["seed"]}
    return ours, theirs, sorted(int(seed) for seed in planned - set(shared))


def _unequal(ours: Rows, theirs: Rows) -> str | None:
    """The reason, if the two sides ended on networks of different sizes."""
    same_size = ours["parameters"] == theirs["parameters"]
    same_share = np.abs(ours["sparsity_reached"] - theirs["sparsity_reached"]) < stats.ROUNDING
    return None if (same_size & same_share).all() else "the two end on different widths"


def unmeasured(one: Series, what: str) -> Comparison:
    """A comparison that was not measured, since no cell of `what` was planned."""
    where = f"{one.where}: {one.label} − {what}"
    return Comparison(where, Verdict.NOT_MEASURED, f"no cell of {what} was planned", kind=what)


def counterparts(one: Series, series: list[Series], names: tuple[str, ...]) -> Iterator[Series]:
    """The `series` with the pool and sparsity of `one`, of methods with these names and any options."""
    for other in series:
        if other.place == one.place and registered_name(other.method) in names:
            yield other
