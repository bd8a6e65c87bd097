"""The table `use`, one row per ok cell and way of using its network, and how its rows compare with dense. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from dtcbench.analysis.energy_columns import DISQUALIFYING, log_ratio
from dtcbench.analysis.pairing import DENSE, METER, POOL, Rows, distinct
from dtcbench.analysis.saving import meter_of_use
from dtcbench.analysis.stats import Estimate, exponential, geometric_mean_estimate
from dtcbench.record import PowerTrace, Spread, Tabled, Use, meaning

WAY = ["widths", "mode", "batch_size"]
"""The columns that tell a cell's ways of use apart."""
_SPREADS = ("latency_s", "throughput", "energy_j", "cpu_energy_j")


def _end(name: str, end: str) -> str:
    """The column of a spread's end: `latency_low_s` of `latency_s`."""
    stem, _, unit = name.rpartition("_")
    return f"{stem}_{end}_{unit}" if stem else f"{name}_{end}"


def _of_spread(name: str) -> dict[str, str]:
    ends = {_end(name, end): f"The {side} end of its interval." for end, side in (("low", "lower"), ("high", "upper"))}
    return {name: f"{meaning(Use, name)} The median over windows.", **ends}


MEASURED = {
    **{name: meaning(Use, name) for name in (*WAY, "flops", "passes")},
    **{column: text for name in _SPREADS for column, text in _of_spread(name).items()},
    **{name: meaning(Use, name) for name in ("energy_method", "energy_scope")},
    "use_flags": "What a reader must know before using the joules, separated by commas.",
    "use_reason": "Why `latency_s` and `throughput` are missing.",
    "energy_reason": "Why `energy_j` is missing.",
    "cpu_energy_reason": "Why `cpu_energy_j` is missing.",
    "hardware_class": "GPU (or CPU) model, memory and power limit: times and joules compare only within one class.",
    "gpu_uuid": meaning(PowerTrace, "gpu_uuid"),
}
"""By column of `use` that comes from a record, its meaning."""
_NUMBERS = ("flops", "passes", *(column for name in _SPREADS for column in _of_spread(name)))
COMPARED = {
    "protocol": "training recipe, as in the leaderboard",
    "protocol_sha256": "its digest, as in the leaderboard",
    "dataset": "data set",
    "model": "network",
    "sparsity": "planned fraction of prunable neurons removed; empty if the protocol's schedule decides",
    "method": "what chose the neurons",
    "solver": "sparse-recovery algorithm; empty if the method uses no solver",
    "widths": "`pruned`: as the method left them; `rounded`: padded to multiples of 8",
    "mode": "`eager`, or `cuda-graph`",
    "batch_size": "samples in one forward pass",
    "measured": "cells whose time was measured",
    "flops_ratio": "FLOPs of one sample over those of the paired dense cell, geometric mean over pairs",
    "latency_s": "seconds of one forward pass alone, median over cells of one hardware class; empty if they are of "
    "several",
    "throughput": "samples per second in passes that follow each other, as latency_s",
    "spread_pct": "half of the widest interval of a cell's throughput, in per cent of its median",
    "time_ratio": "seconds per sample over those of the paired dense cell, as it was trained, in the same mode at the "
    "same batch size: geometric mean over pairs of one hardware class; empty if they are of several",
    "time_low": "lower end of its interval",
    "time_high": "upper end of its interval",
    "energy_j": "joules of the GPU per 1,000 samples, as latency_s; empty, too, if some cover a module",
    "energy_ratio": "joules over those of the paired dense cell, as time_ratio; empty if energy_ratio_reason gives a "
    "reason against it",
    "energy_low": "lower end of its interval: over seeds, and the meter's own error if all pairs shared it",
    "energy_high": "upper end of its interval",
    "cpu_energy_j": "joules of the processor packages per 1,000 samples, as latency_s",
    "flags": "flags of the cells' joules",
    "use_reason": "why the time is missing",
    "energy_reason": "why the joules of the GPU are missing",
    "time_ratio_reason": "why times that were measured have no time_ratio",
    "energy_ratio_reason": "why joules that were measured have no energy_ratio",
    "cpu_energy_reason": "why the joules of the processor packages are missing",
}
"""The columns of `use.csv`, in order, and their meanings."""
_REASONS = {"use_reason": "throughput", "energy_reason": "energy_j", "cpu_energy_reason": "cpu_energy_j"}
"""By column with a reason, the quantity that it is about."""
_OF_JOULES = ["energy_j", *METER, "energy_method", "energy_scope", "use_flags", "gpu_uuid"]
_ROW = [*POOL, "sparsity", "method", "solver", *WAY]


def frame(records: Iterable[Tabled]) -> pd.DataFrame:
    """The ways of use of ok records: the cell's key, then the `MEASURED` columns."""
    found = [row for record in records for row in _rows(record)]
    return pd.DataFrame(found, columns=["key", *MEASURED]).astype({"key": "str", **dict.fromkeys(_NUMBERS, "float64")})


def _rows(record: Tabled) -> Iterator[tuple[Any, ...]]:
    hardware = record.provenance.hardware_class if record.provenance else None
    board = record.energy.trace.gpu_uuid if record.energy and record.energy.trace else None
    for use in (record.use or []) if record.metrics else []:
        yield (
            record.key,
            *(getattr(use, name) for name in (*WAY, "flops", "passes")),
            *(value for name in _SPREADS for value in _values(getattr(use, name))),
            use.energy_method,
            use.energy_scope,
            ",".join(use.flags),
            *(use.reasons.get(name) for name in ("throughput", "energy_j", "cpu_energy_j")),
            hardware,
            board,
        )


def _values(spread: Spread | None) -> tuple[float | None, ...]:
    return (None, None, None) if spread is None else (spread.median, spread.low, spread.high)


def compared(use: pd.DataFrame) -> pd.DataFrame:
    """`COMPARED`: the ways of use of each method at each sparsity, over its seeds, against dense.

    Parameters
    ----------
    use : the table of a run
    """
    solver = use["solver"].astype(object).where(use["solver"].notna(), "")
    known = use.assign(solver=solver, **meter_of_use(use)).sort_values(
        [*_ROW, "seed"], kind="stable", ignore_index=True
    )
    is_baseline = (known["method"] == DENSE) & (known["widths"] == "pruned")
    pair = [*POOL, "seed", "mode", "batch_size", "hardware_class"]
    baseline = known.loc[is_baseline, [*pair, "flops", "throughput", *_OF_JOULES]]
    paired = known.merge(baseline, on=pair, how="left", suffixes=("", "_dense"), validate="many_to_one")
    found = [_line(dict(zip(_ROW, names, strict=True)), same) for names, same in paired.groupby(_ROW, dropna=False)]
    lines = pd.DataFrame(found, columns=list(COMPARED))
    return lines.sort_values([*POOL, "batch_size", "mode", "sparsity"], kind="stable", ignore_index=True)


def _line(names: dict[str, Any], cells: pd.DataFrame) -> dict[str, Any]:
    half = (cells["throughput_high"] - cells["throughput_low"]) / 2 / cells["throughput"]
    no_time_ratio = ", ".join(_of_several_classes(cells[cells["throughput"].notna()], "throughput"))
    time = _unless(no_time_ratio, cells["throughput_dense"], cells["throughput"])
    no_median = {name: list(_no_median(cells, name)) for name in _SPREADS}
    no_ratio = ", ".join(_bars(cells[cells["energy_j"].notna()]))
    energy = Estimate(math.nan, None, no_ratio) if no_ratio else _of_joules(cells)
    return {
        **names,
        "measured": int(cells["throughput"].notna().sum()),
        "flops_ratio": _ratio(cells["flops"], cells["flops_dense"]).mean,
        **{name: math.nan if no_median[name] else cells[name].median() for name in _SPREADS},
        "spread_pct": 100 * half.max(),
        **{f"time_{name}": value for name, value in _numbers(time).items()},
        **{f"energy_{name}": value for name, value in _numbers(energy).items()},
        "flags": ",".join(sorted(_flags(cells["use_flags"]))),
        **{reason: "; ".join([*distinct(cells[reason]), *no_median[name]]) for reason, name in _REASONS.items()},
        "time_ratio_reason": no_time_ratio,
        "energy_ratio_reason": no_ratio,
    }


def _no_median(cells: pd.DataFrame, name: str) -> Iterator[str]:
    """Why the cells that have this quantity have no median of it: times and joules compare only within one class, and
    those of a GPU not with those of a module."""
    measured = cells[cells[name].notna()]
    if len(distinct(measured["hardware_class"])) > 1:
        yield "cells of several hardware classes have no median"
    if name == "energy_j" and len(found := distinct(measured["energy_scope"])) > 1:
        yield f"joules covering {' and '.join(found)} have no median"


def _bars(metered: pd.DataFrame) -> Iterator[str]:
    """Why the joules of these cells make no ratio with dense's: what bars those of training from their rank or ratio
    (docs/energy.md)."""
    pairs = metered[metered["energy_j_dense"].notna()]
    if len(metered) and not len(pairs):
        yield "no dense cell with joules on the same hardware class"
    yield from _of_several_classes(metered, "energy_j")
    for name, words in (("energy_method", "measured by"), ("energy_scope", "covering")):
        if len(found := distinct([*pairs[name], *pairs[f"{name}_dense"]])) > 1:
            yield f"{words} {' and '.join(found)}"
    if pairs["gpu_uuid"].isna().any() or pairs["gpu_uuid_dense"].isna().any():
        yield "GPU not known"
    elif (pairs["gpu_uuid"] != pairs["gpu_uuid_dense"]).any():
        yield "pairs on different GPUs"
    flags = _flags([*pairs["use_flags"], *pairs["use_flags_dense"]])
    yield from (words for flag, words in DISQUALIFYING.items() if flag in flags)


def _of_several_classes(cells: pd.DataFrame, quantity: str) -> Iterator[str]:
    """Why the pairs in which dense has this quantity, too, make no mean, if they are of several hardware classes."""
    if len(distinct(cells.loc[cells[f"{quantity}_dense"].notna(), "hardware_class"])) > 1:
        yield "pairs span hardware classes"


def _flags(texts: Iterable[str]) -> set[str]:
    return {flag for text in texts for flag in text.split(",")} - {""}


def _ratio(over: pd.Series, under: pd.Series) -> Estimate:
    ratios = (over / under).to_numpy(dtype=np.float64)
    return geometric_mean_estimate(ratios[np.isfinite(ratios)])


def _unless(reason: str, over: pd.Series, under: pd.Series) -> Estimate:
    return Estimate(math.nan, None, reason) if reason else _ratio(over, under)


def _of_joules(cells: pd.DataFrame) -> Estimate:
    """The ratio of joules as that of training: its interval holds what the meter leaves open, too."""
    ours = {name: cells[name].to_numpy() for name in ("energy_j", *METER, "hardware_class")}
    dense = {f"{name}_baseline": cells[f"{name}_dense"].to_numpy() for name in ("energy_j", *METER)}
    columns = ours | dense | {"hardware_class_baseline": ours["hardware_class"]}
    return exponential(log_ratio(Rows(columns, np.arange(len(cells)))))


def _numbers(ratio: Estimate) -> dict[str, float]:
    return {"ratio": ratio.mean, "low": ratio.low, "high": ratio.high}
