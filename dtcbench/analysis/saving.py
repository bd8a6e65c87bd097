"""The claims on energy, of training and of use: how much is saved, compared with dense, at an accuracy hardly below it.

Both are judged by one rule. Of use it reads, in place of a training's joules, those of 1,000 samples in the claim's one
way of use; the windows in which they were measured stand for the repeats of a training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from dtcbench.analysis import energy_columns, stats
from dtcbench.analysis.evidence import Evidence
from dtcbench.analysis.pairing import DENSE, METER, Rows, known, with_baseline
from dtcbench.analysis.rivals import Series, all_series, arms
from dtcbench.analysis.verdicts import Comparison, Effect, Side, Verdict, obstacle
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.plan.claim import IN_USE, Claim, WayOfUse
from dtcbench.text import count_of, percent

COSTS = {
    "parameters": "parameters saved",
    "training_flops": "training FLOPs saved",
    "inference_flops": "inference FLOPs saved",
}
"""Shown with the energy, so that readers do not confuse the three."""
OF_USE = (
    *("key", "widths", "mode", "batch_size", "passes", "throughput", "use_flags"),
    *("energy_j", "energy_low_j", "energy_high_j", "energy_method", "energy_scope", "energy_reason"),
)
"""The columns of the table `use` that are read."""
_OF_95 = 1.96
"""Standard errors to either side that hold 95 %, where the distribution behind an interval is not known (JCGM 100:2008,
4.3.4)."""


def evidence(claim: Claim, cells: pd.DataFrame, use: pd.DataFrame) -> list[Evidence]:
    """Per place of the claim's arms, whether it saves what is claimed.

    Parameters
    ----------
    cells : tidy, with targets
    use : a row per cell and way of use, with columns `OF_USE`
    """
    if claim.estimand.quantity == IN_USE:
        cells = as_used(cells, use, claim.estimand.use)
    return [_at(claim, series) for series in arms(claim, all_series(with_baseline(cells)))]


def as_used(cells: pd.DataFrame, use: pd.DataFrame, way: WayOfUse) -> pd.DataFrame:
    """`cells` with the joules of 1,000 samples, used in this way, in place of those of a training."""
    chosen = use[(use["widths"] == "pruned") & (use["mode"] == way.mode) & (use["batch_size"] == way.batch_size)]
    of_use = chosen[["key", "energy_j", "energy_method", "energy_scope", "energy_reason"]].assign(
        energy_flags=chosen["use_flags"], **meter_of_use(chosen)
    )
    used = cells.drop(columns=of_use.columns.drop("key")).merge(of_use, on="key", how="left", validate="one_to_one")
    unused = ~used["key"].isin(of_use["key"])
    return used.assign(energy_reason=used["energy_reason"].mask(unused, f"use not measured at {way}"))


def meter_of_use(use: pd.DataFrame) -> dict[str, Any]:
    """By name in `METER`, what tells how far the joules of ways of use may be off.

    Their bound is one refresh of the driver in each window, as if all windows began alike; in place of the spread of
    repeats stands the standard error of the median over windows, from its interval.
    """
    window_s = use["passes"] * use["batch_size"] / use["throughput"]
    half = (use["energy_high_j"] - use["energy_low_j"]) / 2
    values = (use["energy_j"] * REFRESH_S / window_s, half / _OF_95, 1)
    return dict(zip(METER, values, strict=True))


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
        tuple(_effects(claim, series, paired, pairs, saving, losses)),
        len(paired),
        (*paired["key"], *paired["key_baseline"]),
        sides=(series.side, side),
    )
    if (absent := _unmeasured(ok)) is not None:
        return Evidence(replace(shown, verdict=Verdict.NOT_MEASURED, reason=absent))
    failed = sorted(int(seed) for seed in set(series.cells["seed"]) - set(pairs["seed"]))
    why = obstacle(len(pairs), failed) or energy_columns.barred(series.cells, paired)
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
    claim: Claim, series: Series, paired: Rows, pairs: Rows, saving: stats.Estimate, losses: stats.Estimate
) -> Iterator[Effect]:
    what = "energy of use" if claim.estimand.quantity == IN_USE else "energy"
    removed = "by schedule" if series.sparsity is None else f"at {percent(series.sparsity, '.3g')} removed"
    # The gain of one board cancels in a ratio, its offset does not.
    measured = f", measured on {count_of(energy_columns.boards(pairs), 'board')}" if len(pairs) else ""
    yield Effect.of(f"{what} saved {removed}{measured}", saving, "percent")
    yield Effect.of("difference in accuracy to dense", losses)
    for cost, name in COSTS.items():
        ratios = paired[cost] / paired[f"{cost}_baseline"]
        yield Effect.of(name, stats.mean_estimate(1 - ratios), "percent")
