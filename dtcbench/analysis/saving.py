"""The claim on energy: how much is saved, compared with dense, at an accuracy at most δ below it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from dtcbench.analysis import energy_columns, stats
from dtcbench.analysis.energy_columns import CLAIMED_SAVING
from dtcbench.analysis.pairing import Rows, known, tidy, with_baseline
from dtcbench.analysis.rivals import Series, all_series, of_dtc
from dtcbench.analysis.verdicts import Comparison, Effect, Verdict, obstacle
from dtcbench.text import percent

COSTS = {
    "parameters": "parameters saved",
    "training_flops": "training FLOPs saved",
    "inference_flops": "inference FLOPs saved",
}
"""Shown with the energy, so that readers do not confuse the three."""


def comparisons(cells: pd.DataFrame, cycles: pd.DataFrame) -> Iterator[Comparison]:
    """Per pool, DTC method and solver: whether any of its sparsities saves what is claimed."""
    paired = with_baseline(energy_columns.with_targets(tidy(cells), cycles))
    by_method = sorted(of_dtc(all_series(paired)), key=_competitor)
    for _, rows in groupby(by_method, key=_competitor):
        yield _comparison(list(rows))


def _competitor(series: Series) -> tuple[Any, ...]:
    return series.pool, series.method, series.solver


def _comparison(rows: list[Series]) -> Comparison:
    # Several sparsities are several chances: each gets its share of the error.
    confidence = 1 - (1 - stats.CONFIDENCE) / len(rows)
    ascending = sorted(rows, key=lambda series: series.sparsity or 0.0)
    by_sparsity = [_at_one_sparsity(series, confidence) for series in ascending]
    # Of several equally good ones, the highest sparsity.
    best = max(reversed(by_sparsity), key=_appeal)
    one = rows[0]
    where = f"{one.pool.title}: {one.label}, best of {len(rows)} sparsities"
    if (absent := _unmeasured(rows)) is not None:
        return replace(best, where=where, verdict=Verdict.NOT_MEASURED, reason=absent)
    verdict, reason = _judged(by_sparsity)
    return replace(best, where=where, verdict=verdict, reason=reason)


def _appeal(one: Comparison) -> tuple[bool, bool, float]:
    """How good a case one sparsity makes for the claim: the best one is shown."""
    saving, difference, *_ = one.effects
    saved = saving.value if math.isfinite(saving.value) else -math.inf
    return one.verdict is Verdict.SUPPORTED, difference.value >= -stats.MARGIN, saved


def _judged(by_sparsity: list[Comparison]) -> tuple[Verdict, str]:
    claimed, margin = percent(CLAIMED_SAVING, "g"), f"{100 * stats.MARGIN:g} point"
    verdicts = {one.verdict for one in by_sparsity}
    if Verdict.SUPPORTED in verdicts:
        return Verdict.SUPPORTED, f"the interval of the saving reaches {claimed} within {margin} of dense"
    if verdicts == {Verdict.REFUTED}:
        return Verdict.REFUTED, f"at every sparsity the saving is below {claimed} or the accuracy over {margin} lower"
    reasons = dict.fromkeys(one.reason for one in by_sparsity if one.reason)
    return Verdict.NOT_SHOWN, "; ".join(reasons) or f"an interval holds {claimed} or {margin}"


def _at_one_sparsity(series: Series, confidence: float) -> Comparison:
    """Whether one sparsity saves as much as claimed (supported) or not (refuted), with the whole of its intervals.

    If something forbids to judge it, the reason says so; it is empty otherwise.
    """
    ok = series.ok
    paired = ok.where(known(ok["accuracy_baseline"]))
    pairs = paired.where(known(paired["energy_j"]))
    row = energy_columns.row(series.cells, ok, paired)
    log = stats.mean_estimate(np.log(energy_columns.ratios(pairs, "energy_j")), confidence=confidence)
    ends = (1 - math.exp(log.high), 1 - math.exp(log.low)) if log.interval else None
    saving = stats.Estimate(1 - math.exp(log.mean), ends, log.reason)
    difference = stats.mean_estimate(paired["accuracy"] - paired["accuracy_baseline"], confidence=confidence)
    alone = sorted(set(series.cells["seed"]) - set(pairs["seed"]))
    why = obstacle(len(pairs), alone) or (None if row["qualifies"] else row["energy_note"])
    why = why or saving.reason or difference.reason
    verdict = Verdict.NOT_SHOWN
    if not why and saving.low >= CLAIMED_SAVING and difference.low >= -stats.MARGIN:
        verdict = Verdict.SUPPORTED
    elif not why and (saving.high < CLAIMED_SAVING or difference.high < -stats.MARGIN):
        verdict = Verdict.REFUTED
    effects = tuple(_effects(series, paired, saving, difference))
    keys = (*paired["key"], *paired["key_baseline"])
    return Comparison(series.where, verdict, why or "", effects, len(paired), keys)


def _unmeasured(rows: list[Series]) -> str | None:
    """Why no energy of these rows is known, if none is. A simulation measures nothing."""
    cells = pd.DataFrame({name: np.concatenate([r.ok[name] for r in rows]) for name in _OF_METER})
    if not len(cells):
        return "no ok cell"
    if cells["simulated"].eq(True).any():
        return "the GPU was a simulation"
    if known(cells["energy_j"].to_numpy()).any():
        return None
    return energy_columns.unmeasured("no energy", cells["energy_j"].to_numpy(), cells["energy_reason"].to_numpy())


_OF_METER = ("energy_j", "energy_reason", "simulated")


def _effects(series: Series, paired: Rows, saving: stats.Estimate, difference: stats.Estimate) -> Iterator[Effect]:
    removed = "by schedule" if series.sparsity is None else f"at {percent(series.sparsity, '.3g')} removed"
    yield Effect.of(f"energy saved {removed}", saving, "percent")
    yield Effect.of("difference in accuracy to dense", difference)
    for cost, name in COSTS.items():
        ratios = paired[cost] / paired[f"{cost}_baseline"]
        yield Effect.of(name, stats.mean_estimate(1 - ratios), "percent")
