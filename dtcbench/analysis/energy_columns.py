"""The leaderboard's columns on energy: joules, seconds and watts of every row, relative to its dense cells.

Energy is mean power times time, E = P̄ · t: a row's energy ratio is its power ratio times its time ratio.
Joules are those of the whole GPU, idle power included; the joules above idle have a column of their own. A row that
cannot be ranked keeps its numbers, and `energy_note` gives the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.pairing import DENSE, POOL, Pool, Rows, distinct, known
from dtcbench.text import one_line, percent

TARGET_DELTA = 0.01
"""The validation accuracy to reach is the dense median minus this: one percentage point."""
DISQUALIFYING = {
    "short": "short windows",
    "coarse": "coarse against the driver's refresh",
    "shared": "GPU shared with others",
    "simulated": "simulated GPU",
    "unexplained": "GPU in use by processes that the driver hides",
    "disagreement": "counter and integral disagree",
    "gaps": "gaps between samples",
    "lost-samples": "lost power samples",
    "limit-changed": "power limit changed inside a window",
    "not-repeatable": "repeats differed",
}
"""Flags of a cell or its dense cell that exclude a row from the ranking, and the reason that the row gives."""
CLAIMED_SAVING = 0.98
"""The share of energy that the author's article claims to save ("almost ~98% reduction in energy use", 2025-06-03)."""

COLUMNS = {
    "energy_measured": "ok cells whose energy was measured",
    "energy_ratio": "joules over the paired dense joules, geometric mean over pairs of one hardware class",
    "energy_low": "lower end of its interval: over seeds, and the meter's own error if all pairs shared it",
    "energy_high": "upper end of its interval",
    "energy_boards": "boards that measured the pairs; of one, the interval says nothing of another",
    "energy_rank": "1 is the least energy_ratio of the pool, dense included; empty if energy_note "
    "gives a reason against it",
    "net_energy_ratio": "the same for the joules above idle, over pairs in which both sides have them",
    "time_ratio": "seconds inside the energy boundary over the paired dense ones, geometric mean over all pairs of "
    "one hardware class, with or without a meter",
    "time_low": "lower end of its interval",
    "time_high": "upper end of its interval",
    "power_ratio": "mean power over the paired dense one; where every pair was measured, "
    "energy_ratio = time_ratio · power_ratio",
    "target_accuracy": f"validation accuracy to reach: the median of the pool's dense cells, minus {TARGET_DELTA}",
    "target_reached": "ok cells that reached it, in a cycle or at the end",
    "target_energy_ratio": "joules until it was first reached over the paired dense ones, geometric mean over pairs; "
    "inf if a seed never reached it though its dense cell did",
    "target_energy_low": "lower end of its interval",
    "target_energy_high": "upper end of its interval",
    "cpu_energy_measured": "ok cells whose processor packages were metered",
    "cpu_energy_ratio": "joules of the processor packages over the paired dense ones; no other column includes them",
    "energy_note": "why the energy or the rank is missing, or what to know before using it",
}
"""The leaderboard's columns on energy, in order, and their meanings."""
_ROUNDING = 1e-9
"""Accuracies are fractions of counts: one that is at the target up to rounding has reached it."""


def with_targets(cells: pd.DataFrame, cycles: pd.DataFrame) -> pd.DataFrame:
    """`cells` with the accuracy to reach, whether it was reached (1, 0 or NaN), and the joules until then.

    The joules are counted up to the first cycle that reached the target by training, or over the whole cell if only its
    end reached it. NaN if the target was not reached or the joules are unknown.
    """
    dense = cells[(cells["method"] == DENSE) & (cells["status"] == "ok")]
    target = dense.groupby(POOL)["validation_accuracy"].median() - TARGET_DELTA
    cells = cells.join(target.rename("target_accuracy"), on=POOL)
    first = reached_in_cycles(cells, cycles)["cumulative_j"]
    in_a_cycle = cells["key"].isin(first.index)
    at_the_end = cells["validation_accuracy"] >= cells["target_accuracy"] - _ROUNDING
    unknown = ~in_a_cycle & cells[["validation_accuracy", "target_accuracy"]].isna().any(axis=1)
    return cells.assign(
        reached=(in_a_cycle | at_the_end).astype(float).mask(unknown),
        target_j=cells["key"].map(first).astype(float).where(in_a_cycle, cells["energy_j"].where(at_the_end)),
    )


def reached_in_cycles(cells: pd.DataFrame, cycles: pd.DataFrame) -> pd.DataFrame:
    """By cell key, the first of its `cycles` that reached the cell's `target_accuracy` by training; no row if none."""
    curve = cycles.drop_duplicates(["key", "cycle"]).merge(cells[["key", "target_accuracy"]], on="key")
    there = curve["validation_before"].astype(float) >= curve["target_accuracy"] - _ROUNDING
    return curve[there].sort_values("cycle", kind="stable").drop_duplicates("key").set_index("key")


def row(planned: Rows, ok: Rows, paired: Rows) -> dict[str, Any]:
    """`COLUMNS` except the rank, for the row of `planned` cells; `qualifies` says whether the row may be ranked.

    `ok` and `paired` are those of the cells that are, as `pairing.with_baseline` gives them.
    """
    metered = paired.where(known(paired["energy_j"]))
    # A reading of 0 J is a window too short for the meter, not a ratio.
    pairs = _positive(metered, "energy_j")
    energy = stats.exponential(log_ratio(pairs))
    time = stats.geometric_mean_estimate(ratios(paired, "training_s"))
    compared = math.isfinite(energy.mean)
    bars = list(_bars(planned, pairs))
    caveats = [
        unmeasured("not measured", ok["energy_j"], ok["energy_reason"]),
        _dense_unmeasured(metered),
        "0 J read" if (_both_sides(metered, "energy_j") == 0).any() else None,
        # Where every ok cell has a pair, `interval_note` has said it.
        energy.reason if compared and len(pairs) < len(ok) else None,
        *(_caveats(paired, pairs) if compared else ()),
        f"no rank: {', '.join(bars)}" if compared and bars else None,
        _span(pairs),
    ]
    return {
        "energy_measured": int(known(ok["energy_j"]).sum()),
        **_ends("energy", energy),
        "energy_boards": boards(pairs),
        "net_energy_ratio": stats.geometric_mean(ratios(pairs, "net_energy_j")),
        **_ends("time", time),
        "power_ratio": stats.geometric_mean(ratios(pairs, "mean_power_w")),
        "target_accuracy": stats.mean(planned["target_accuracy"]),
        "target_reached": int(np.nansum(ok["reached"])) if known(ok["reached"]).any() else pd.NA,
        **_ends("target_energy", _to_target(paired, pairs)),
        "cpu_energy_measured": int(known(ok["cpu_energy_j"]).sum()),
        "cpu_energy_ratio": stats.geometric_mean(ratios(paired, "cpu_energy_j")),
        "energy_note": "; ".join(filter(None, caveats)),
        "qualifies": compared and not bars,
    }


def barred(planned: Rows, paired: Rows) -> str | None:
    """Why the joules of the row of `planned` cells may not be ranked, nor judged; None if they may."""
    metered = paired.where(known(paired["energy_j"]))
    pairs = _positive(metered, "energy_j")
    return "; ".join(filter(None, [_dense_unmeasured(metered), _span(pairs), *_bars(planned, pairs)])) or None


def with_ranks(rows: pd.DataFrame) -> pd.DataFrame:
    """The leaderboard's rows with `energy_rank` among those of their pool that qualify; ties share the lower rank."""
    ratios = rows["energy_ratio"].astype(float).where(rows["qualifies"].astype(bool))
    ranks = ratios.groupby([rows[name] for name in POOL]).rank(method="min")
    return rows.assign(energy_rank=ranks.astype("Int64"), target_reached=rows["target_reached"].astype("Int64"))


def notes(ok: pd.DataFrame) -> Iterator[str]:
    """Notes on the energy of the `ok` cells."""
    if (
        absent := unmeasured("Energy was not measured", ok["energy_j"].to_numpy(), ok["energy_reason"].to_numpy())
    ) is not None:
        yield f"{absent}."
    if ok["energy_j"].isna().all():
        return
    yield (
        "Joules are those of the whole GPU board, idle power included; the energy rank is by these. The joules above "
        "idle have a column of their own. A row is ranked if it was measured in every seed of the pool, each on the "
        "GPU of its dense cell, and if no flag invalidates a measurement."
    )
    if ok["target_accuracy"].notna().any():
        yield (
            "Energy to target counts the joules until validation accuracy first comes within "
            f"{100 * TARGET_DELTA:g} point of the dense median. A method may reach it before its last "
            "compression, with more neurons than it ends on. If one seed never reaches it, the row says never."
        )
    yield from _power_and_time(ok[ok["method"] == DENSE])


def obstacles(ok: pd.DataFrame) -> Iterator[str]:
    """Reasons why the `ok` cells' numbers must not be published."""
    simulated = ok[ok["simulated"].eq(True)]
    if len(simulated):
        cells = f"{len(simulated)} cell{'s' if len(simulated) > 1 else ''}"
        names = ", ".join(map(one_line, distinct(simulated["gpu"]))) or "unnamed"
        yield f"Energy of {cells} comes from a simulated GPU ({names}): not for publication."


def unmeasured(what: str, energy_j: NDArray[Any], reason: NDArray[Any]) -> str | None:
    """`what`, in how many cells unless in all, and the distinct reasons; None if all were measured."""
    absent = ~known(energy_j)
    if not absent.any():
        return None
    count = "" if absent.all() else f" in {absent.sum()} of {len(energy_j)} cells"
    return f"{what}{count}: {', '.join(map(one_line, distinct(reason[absent]))) or 'no reason recorded'}"


def log_ratio(pairs: Rows, *, confidence: float = stats.CONFIDENCE) -> stats.Estimate:
    """The mean logarithm of the joules over dense's: its error is that over seeds, and the meter's if all pairs erred
    alike (docs/energy.md)."""
    logs = np.log(ratios(pairs, "energy_j"))
    over_seeds = stats.mean_estimate(logs, confidence=confidence, of="energy pair")
    return stats.with_error(over_seeds, stats.mean(meter_errors(pairs)), confidence=confidence)


def meter_errors(pairs: Rows) -> NDArray[np.float64]:
    """Per pair, the standard error of its log ratio that the meter leaves; NaN where a record states none.

    Of each side, the larger of two: of a quantisation whose bound a is the sum of two uniform errors, a / √6 (JCGM
    100:2008, 4.3.9); and of the mean over repeats of one training.
    """
    sides = [_meter_error(pairs, side) for side in ("", "_baseline")]
    both: NDArray[np.float64] = np.hypot(*sides)
    return both


def _meter_error(pairs: Rows, side: str) -> NDArray[np.float64]:
    joules, bound = (pairs[f"{name}{side}"].astype(float) for name in ("energy_j", "quantisation_j"))
    spread, repeats = (pairs[f"{name}{side}"].astype(float) for name in ("repeat_spread_j", "repeats"))
    error: NDArray[np.float64] = np.fmax(bound / math.sqrt(6), spread / np.sqrt(repeats)) / joules
    return error


def ratios(pairs: Rows, quantity: str) -> NDArray[Any]:
    """`quantity` over dense's, of the pairs with two positive values; empty unless all are of one hardware class."""
    positive = _positive(pairs, quantity)
    ratios: NDArray[Any] = positive[quantity] / positive[f"{quantity}_baseline"]
    return ratios if _of_one_class(positive) else ratios[:0]


def _positive(pairs: Rows, quantity: str) -> Rows:
    return pairs.where((pairs[quantity] > 0) & (pairs[f"{quantity}_baseline"] > 0))


def _dense_unmeasured(metered: Rows) -> str | None:
    return unmeasured("dense not measured", metered["energy_j_baseline"], metered["energy_reason_baseline"])


def _span(pairs: Rows) -> str | None:
    return "pairs span hardware classes" if len(pairs) and not _of_one_class(pairs) else None


def _ends(name: str, estimate: stats.Estimate) -> dict[str, float]:
    return {f"{name}_ratio": estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _of_one_class(pairs: Rows) -> bool:
    classes = _both_sides(pairs, "hardware_class")
    return bool(known(classes).all()) and len(distinct(classes)) == 1


def _both_sides(pairs: Rows, column: str) -> NDArray[Any]:
    sides: NDArray[Any] = np.concatenate([pairs[column], pairs[f"{column}_baseline"]])
    return sides


def _to_target(paired: Rows, pairs: Rows) -> stats.Estimate:
    """Joules to the target over dense's. One seed that never got there though its dense cell did, metered or
    not, makes it infinite: a mean over the others would hide it.
    """
    never = (paired["reached"] == 0) & (paired["reached_baseline"] == 1)
    if never.any() and _of_one_class(pairs):
        return stats.Estimate(math.inf, None, "a seed never reached the target")
    return stats.geometric_mean_estimate(ratios(_reached(pairs), "target_j"))


def _reached(pairs: Rows) -> Rows:
    return pairs.where((pairs["reached"] == 1) & (pairs["reached_baseline"] == 1))


def _caveats(paired: Rows, pairs: Rows) -> Iterator[str]:
    """What to know of the numbers computed from `pairs`, the `paired` cells that were measured."""
    if np.isnan(meter_errors(pairs)).any():
        yield "interval without the meter's error, which older records do not state"
    if harmless := sorted(_flags(pairs) - set(DISQUALIFYING)):
        yield f"flags: {', '.join(harmless)}"
    if (net := len(_positive(pairs, "net_energy_j"))) < len(pairs):
        yield f"net of idle from {net} of {len(pairs)} pairs"
    if short := [str(seed) for seed in paired["seed"][paired["reached_baseline"] == 0]]:
        yield f"dense never reaches the target in seed{'s' if len(short) > 1 else ''} {', '.join(short)}"
    reached = _reached(pairs)
    if (known := len(_positive(reached, "target_j"))) < len(reached):
        yield f"joules to the target known in {known} of {len(reached)} pairs"


def boards(pairs: Rows) -> int:
    """Number of boards, or of sets of boards that trained together, that measured the pairs."""
    return len(distinct(_both_sides(pairs, "gpu_uuid")))


def _bars(planned: Rows, pairs: Rows) -> Iterator[str]:
    """Reasons why the row of `planned` cells cannot be ranked; its `pairs` were measured on both sides."""
    if len(pairs) < (seeds := int(planned["pool_seeds"].max())):
        yield f"energy compared in {len(pairs)} of {seeds} seeds"
    if len(methods := distinct(_both_sides(pairs, "energy_method"))) > 1:
        yield f"measured by {' and '.join(methods)}"
    if len(scopes := distinct(_both_sides(pairs, "energy_scope"))) > 1:
        yield f"covering {' and '.join(scopes)}"
    if not known(_both_sides(pairs, "gpu_uuid")).all():
        yield "GPU not known"
    elif (pairs["gpu_uuid"] != pairs["gpu_uuid_baseline"]).any():
        yield "pairs on different GPUs"
    flags = _flags(pairs)
    yield from (words for flag, words in DISQUALIFYING.items() if flag in flags)


def _flags(pairs: Rows) -> set[str]:
    """The flags of the cells and their dense cells; a simulated one has its flag in any case."""
    cells = distinct(_both_sides(pairs, "energy_flags"))
    is_simulated = (_both_sides(pairs, "simulated") == True).any()  # noqa: E712 - of arrays
    found = {flag.strip() for flags in cells for flag in flags.split(",")} - {""}
    return found | {"simulated"} if is_simulated else found


def _power_and_time(dense: pd.DataFrame) -> Iterator[str]:
    """E = P̄ · t for each pool's dense cells, by hardware class, if idle power was measured."""
    known = dense[(dense["mean_power_w"] > 0) & dense["idle_w"].notna()]
    for (*pool, hardware), cells in known.groupby([*POOL, "hardware_class"]):
        power, idle = stats.mean(cells["mean_power_w"]), stats.mean(cells["idle_w"])
        share = idle / power
        too_much = share > 1 - CLAIMED_SAVING
        yield (
            f"{Pool(*map(str, pool)).title} · {hardware}: dense draws {power:.0f} W on average, {idle:.0f} W of it "
            "idle power. Energy is mean power times time: in dense's time, even a network that computes nothing "
            f"would still take {percent(share, '.0f' if share >= 0.01 else '.1g')} of dense's energy"
            + (f", so a saving of {percent(CLAIMED_SAVING, 'g')} needs the time to fall too." if too_much else ".")
        )
