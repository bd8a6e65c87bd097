"""The claims on energy: how much is saved, compared with dense, at an accuracy hardly below it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from dtcbench.analysis import energy_columns, stats
from dtcbench.analysis.evidence import Evidence
from dtcbench.analysis.pairing import DENSE, Rows, known, with_baseline
from dtcbench.analysis.rivals import Series, all_series, arms
from dtcbench.analysis.verdicts import Comparison, Effect, Side, Verdict, obstacle
from dtcbench.plan.claim import Claim
from dtcbench.text import count_of, percent

COSTS = {
    "parameters": "parameters saved",
    "training_flops": "training FLOPs saved",
    "inference_flops": "inference FLOPs saved",
}
"""Shown with the energy, so that readers do not confuse the three."""
QUANTITY = "energy_j"
"""What this rule reads: the energy of training. None reads that of using the network, which records may hold."""


def evidence(claim: Claim, cells: pd.DataFrame) -> list[Evidence]:
    """Per place of the claim's arms, whether it saves what is claimed; `cells` are tidy, with targets."""
    if claim.estimand.quantity != QUANTITY:
        return []
    return [_at(claim, series) for series in arms(claim, all_series(with_baseline(cells)))]


def _at(claim: Claim, series: Series) -> Evidence:
    where = f"{series.where}: {series.label} − {DENSE}"
    side = Side(series.pool, None, DENSE, "")
    ok = series.ok
    paired = ok.where(known(ok["accuracy_baseline"]))
    pairs = paired.where(known(paired["energy_j"]))
    saving = _saving(pairs, claim.alpha)
    losses = stats.mean_estimate(paired["accuracy"] - paired["accuracy_baseline"], confidence=1 - claim.alpha)
    shown = Comparison(
        where,
        Verdict.UNDECIDED,
        "",
        tuple(_effects(series, paired, pairs, saving, losses)),
        len(paired),
        (*paired["key"], *paired["key_baseline"]),
        sides=(series.side, side),
    )
    if (absent := _unmeasured(ok)) is not None:
        return Evidence(replace(shown, verdict=Verdict.NOT_MEASURED, reason=absent))
    failed = sorted(int(seed) for seed in set(series.cells["seed"]) - set(pairs["seed"]))
    row = energy_columns.row(series.cells, ok, paired)
    why = obstacle(len(pairs), failed) or (None if row["qualifies"] else row["energy_note"])
    if why := why or saving.reason or losses.reason:
        return Evidence(replace(shown, reason=why))
    margin = claim.margin.of(1 - stats.mean(paired["accuracy_baseline"])) if claim.margin else math.nan
    return Evidence(replace(shown, margin=margin), *_both_ways(pairs, losses, claim.estimand.at_least or 0.0, margin))


def _both_ways(pairs: Rows, losses: stats.Estimate, at_least: float, margin: float) -> tuple[float, float]:
    """p-values of "saves less, or is less accurate" and of "saves it, and is as accurate"."""
    logs = energy_columns.log_ratio(pairs)
    bound = math.log(1 - at_least)
    saves, wastes = (float(stats.p_of([logs], bound, alternative=way)[0]) for way in ("less", "greater"))
    keeps, loses = (float(stats.p_of([losses], -margin, alternative=way)[0]) for way in ("greater", "less"))
    return min(1.0, 2 * max(saves, keeps)), min(1.0, 4 * min(wastes, loses))


def _saving(pairs: Rows, alpha: float) -> stats.Estimate:
    ratio = stats.exponential(energy_columns.log_ratio(pairs, confidence=1 - alpha))
    ends = (1 - ratio.high, 1 - ratio.low) if ratio.interval else None
    return stats.Estimate(1 - ratio.mean, ends, ratio.reason)


def _unmeasured(ok: Rows) -> str | None:
    """Why no energy of these cells is known, if none is. A simulation measures nothing."""
    if not len(ok):
        return "no ok cell"
    if (ok["simulated"] == True).any():  # noqa: E712 - of an array
        return "the GPU was a simulation"
    if known(ok["energy_j"]).any():
        return None
    return energy_columns.unmeasured("no energy", ok["energy_j"], ok["energy_reason"])


def _effects(
    series: Series, paired: Rows, pairs: Rows, saving: stats.Estimate, losses: stats.Estimate
) -> Iterator[Effect]:
    removed = "by schedule" if series.sparsity is None else f"at {percent(series.sparsity, '.3g')} removed"
    # The gain of one board cancels in a ratio, its offset does not.
    measured = f", measured on {count_of(energy_columns.boards(pairs), 'board')}" if len(pairs) else ""
    yield Effect.of(f"energy saved {removed}{measured}", saving, "percent")
    yield Effect.of("difference in accuracy to dense", losses)
    for cost, name in COSTS.items():
        ratios = paired[cost] / paired[f"{cost}_baseline"]
        yield Effect.of(name, stats.mean_estimate(1 - ratios), "percent")
