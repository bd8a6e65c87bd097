"""Two methods at equal widths, seed by seed: the comparisons of accuracy that claims rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.pairing import DENSE, IDENTITY, Group, groups
from dtcbench.analysis.verdicts import Comparison, Effect, Verdict, obstacle

DTC = ("dtc", "dtc-published")
"""The claims are about these, ours and the published, with their default options: variants are for ablations."""
Judge = Callable[[stats.Estimate], tuple[Verdict, str]]
Test = Callable[[list[NDArray[np.float64]]], NDArray[np.float64]]


@dataclass(frozen=True)
class Series:
    """The planned cells of one method, with its solver, in one pool and at one sparsity."""

    pool: tuple[str, str, str]
    sparsity: float | None
    """Planned; None where the protocol's schedule decides."""
    method: str
    solver: str
    cells: Group

    @property
    def place(self) -> tuple[tuple[str, str, str], float | None]:
        """What two series must share to be compared."""
        return self.pool, self.sparsity

    @property
    def where(self) -> str:
        """Pool and sparsity, for a person."""
        removed = "by schedule" if self.sparsity is None else f"{100 * self.sparsity:.3g} % removed"
        return " · ".join([*self.pool, removed])

    @property
    def label(self) -> str:
        """The competitor's name."""
        return f"{self.method} / {self.solver}" if self.solver else self.method

    @property
    def ok(self) -> Group:
        """The cells that finished."""
        return self.cells.where(self.cells["status"] == "ok")


def all_series(cells: pd.DataFrame) -> list[Series]:
    """The series of tidy `cells`, in their order."""
    return [
        Series(tuple(pool), None if math.isnan(sparsity) else sparsity, method, solver, group)
        for (*pool, sparsity, method, solver), group in groups(cells, IDENTITY)
        if method != DENSE
    ]


def of_dtc(series: list[Series]) -> list[Series]:
    """Those that the claims are about."""
    return [one for one in series if one.method in DTC]


def compared(one: Series, other: Series, judge: Judge, test: Test, kind: str = "") -> Comparison:
    """Accuracy of `one` minus that of `other`, over the seeds that both were planned on, at equal widths."""
    pairs, alone = _paired(one, other)
    where = f"{one.where}: {one.label} − {other.label}"
    if pairs.empty:
        return Comparison(where, Verdict.NOT_MEASURED, "no ok pair", kind=kind)
    differences = (pairs["accuracy"] - pairs["accuracy_other"]).to_numpy()
    estimate = stats.t_estimate(differences)
    effects = (Effect.of("difference in accuracy", estimate),)
    keys = (*pairs["key"], *pairs["key_other"])
    why = _unequal(pairs) or obstacle(len(pairs), alone)
    verdict, reason = (Verdict.NOT_SHOWN, why) if why else judge(estimate)
    p = float(test([differences])[0])
    return Comparison(where, verdict, reason, effects, len(pairs), keys, kind, math.nan if why else p)


def _paired(one: Series, other: Series) -> tuple[pd.DataFrame, list[int]]:
    """The ok pairs by seed, and the planned seeds without one."""
    columns = ["seed", "key", "accuracy", "parameters", "sparsity_reached"]
    left, right = (pd.DataFrame({name: side.ok[name] for name in columns}) for side in (one, other))
    pairs = left.merge(right, on="seed", suffixes=("", "_other")).sort_values("seed", ignore_index=True)
    planned = {*one.cells["seed"], *other.cells["seed"]}
    return pairs, sorted(int(seed) for seed in planned - set(pairs["seed"]))


def _unequal(pairs: pd.DataFrame) -> str | None:
    """That the two sides ended on networks of different sizes."""
    same = (pairs["parameters"] == pairs["parameters_other"]) & (
        (pairs["sparsity_reached"] - pairs["sparsity_reached_other"]).abs() < stats.ROUNDING
    )
    return None if same.all() else "the two end on different widths"


def unmeasured(one: Series, what: str) -> Comparison:
    """That `one` was compared with no `what`, since no such cell was planned."""
    where = f"{one.where}: {one.label} − {what}"
    return Comparison(where, Verdict.NOT_MEASURED, f"no cell of {what} beside it", kind=what)


def beside(one: Series, series: list[Series], names: tuple[str, ...]) -> Iterator[Series]:
    """Those of `series` in the same place as `one`, of methods with these names, whatever their options."""
    for other in series:
        if other.place == one.place and other.method.partition("(")[0] in names:
            yield other
