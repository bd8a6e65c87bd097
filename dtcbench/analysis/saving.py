"""The claim on energy: what is saved against dense at most δ below its accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from dtcbench.analysis import energy_columns, stats
from dtcbench.analysis.energy_columns import CLAIMED_SAVING
from dtcbench.analysis.pairing import Rows, beside_dense, known, tidy
from dtcbench.analysis.rivals import Series, all_series, of_dtc
from dtcbench.analysis.verdicts import Comparison, Effect, Verdict, obstacle
from dtcbench.text import percent

COSTS = {
    "parameters": "parameters saved",
    "training_flops": "training FLOPs saved",
    "inference_flops": "inference FLOPs saved",
}
"""Beside the energy, so that the three are not confused."""


@dataclass(frozen=True)
class Offer:
    """What one row of the leaderboard saves, and at which accuracy."""

    series: Series
    paired: Rows
    saving: stats.Estimate
    """Of energy, a fraction of dense's."""
    difference: stats.Estimate
    """In accuracy to dense."""
    why_open: str | None
    """What stands against judging it."""

    @property
    def reaches(self) -> bool:
        """Whether it saves as much as claimed at an accuracy within δ, with the whole of both intervals."""
        return not self.why_open and self.saving.low >= CLAIMED_SAVING and self.difference.low >= -stats.MARGIN

    @property
    def fails(self) -> bool:
        """Whether it saves less than claimed, or is further below dense than δ, with the whole of an interval."""
        return not self.why_open and (self.saving.high < CLAIMED_SAVING or self.difference.high < -stats.MARGIN)

    @property
    def appeal(self) -> tuple[Any, ...]:
        """How good a case it makes for the claim: the best offer of a method is the one shown."""
        saved = self.saving.mean if math.isfinite(self.saving.mean) else -math.inf
        return self.reaches, self.difference.mean >= -stats.MARGIN, saved, self.series.sparsity or 0.0


def comparisons(cells: pd.DataFrame, cycles: pd.DataFrame) -> Iterator[Comparison]:
    """Per pool, DTC method and solver: whether any of its sparsities saves what is claimed."""
    beside = beside_dense(energy_columns.with_targets(tidy(cells), cycles))
    by_method = sorted(of_dtc(all_series(beside)), key=_competitor)
    for _, rows in groupby(by_method, key=_competitor):
        yield _comparison(list(rows))


def _competitor(series: Series) -> tuple[Any, ...]:
    return series.pool, series.method, series.solver


def _comparison(rows: list[Series]) -> Comparison:
    # Several sparsities are several chances: each gets its share of the error.
    confidence = 1 - (1 - stats.CONFIDENCE) / len(rows)
    offers = [_offer(series, confidence) for series in rows]
    best = max(offers, key=lambda offer: offer.appeal)
    one = best.series
    where = f"{one.pool.title}: {one.label}, best of {len(rows)} sparsities"
    effects = tuple(_effects(best))
    keys = (*best.paired["key"], *best.paired["key_baseline"])
    if (absent := _unmeasured(rows)) is not None:
        return Comparison(where, Verdict.NOT_MEASURED, absent, effects, len(best.paired), keys)
    verdict, reason = _judged(offers)
    return Comparison(where, verdict, reason, effects, len(best.paired), keys)


def _judged(offers: list[Offer]) -> tuple[Verdict, str]:
    claimed, margin = percent(CLAIMED_SAVING, "g"), f"{100 * stats.MARGIN:g} point"
    if any(offer.reaches for offer in offers):
        return Verdict.SUPPORTED, f"the interval of the saving reaches {claimed} within {margin} of dense"
    if all(offer.fails for offer in offers):
        return Verdict.REFUTED, f"at every sparsity the saving is below {claimed} or the accuracy over {margin} lower"
    reasons = dict.fromkeys(offer.why_open for offer in offers if offer.why_open)
    return Verdict.NOT_SHOWN, "; ".join(map(str, reasons)) or f"an interval holds {claimed} or {margin}"


def _offer(series: Series, confidence: float) -> Offer:
    ok = series.ok
    paired = ok.where(known(ok["accuracy_baseline"]))
    pairs = paired.where(known(paired["energy_j"]))
    row = energy_columns.row(series.cells, ok, paired)
    saved = stats.t_estimate(np.log(energy_columns.ratios(pairs, "energy_j")), confidence=confidence)
    ends = (1 - math.exp(saved.high), 1 - math.exp(saved.low)) if saved.interval else None
    difference = stats.t_estimate(paired["accuracy"] - paired["accuracy_baseline"], confidence=confidence)
    alone = sorted(set(series.cells["seed"]) - set(pairs["seed"]))
    why = obstacle(len(pairs), alone) or (None if row["qualifies"] else row["energy_note"])
    return Offer(
        series,
        paired,
        stats.Estimate(1 - math.exp(saved.mean), ends, saved.reason),
        difference,
        why or saved.reason or difference.reason,
    )


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


def _effects(offer: Offer) -> Iterator[Effect]:
    removed = "by schedule" if offer.series.sparsity is None else f"at {percent(offer.series.sparsity, '.3g')} removed"
    yield Effect.of(f"energy saved {removed}", offer.saving, "percent")
    yield Effect.of("difference in accuracy to dense", offer.difference)
    for cost, name in COSTS.items():
        ratios = offer.paired[cost] / offer.paired[f"{cost}_baseline"]
        yield Effect.of(name, stats.t_estimate(1 - ratios), "percent")
