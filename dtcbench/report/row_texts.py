"""What a row of the leaderboard says, in words and numbers for readers.

A missing value is "–", an unmeasured energy "not measured"; never a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from dtcbench import registry
from dtcbench.analysis.pairing import DENSE, registered_name
from dtcbench.report.blocks import Row
from dtcbench.report.score import Score, score_of
from dtcbench.text import ABSENT, number_text, p_value, percent, with_interval

UNMEASURED = "not measured"
_NOTABLE = 0.05
"""A difference between planned and reached sparsity that a reader should know of."""
_MORE = 1.0005
"""A ratio that is shown as more than 100.0 %."""


def value(name: str) -> Callable[[Row], float]:
    """A row's number of this name; NaN if it is missing."""
    return lambda row: math.nan if pd.isna(row[name]) else float(row[name])


def sparsity_shown(row: Row) -> float:
    """The planned sparsity or, where the protocol's schedule decides it, the one reached."""
    planned, reached = float(row["sparsity"]), float(row["sparsity_reached"])
    return reached if math.isnan(planned) else planned


def sparsity(row: Row) -> str:
    """`90 %`, or `98.2 % (schedule)` where the protocol's schedule decided it."""
    shown = sparsity_shown(row)
    if math.isnan(shown):
        return ABSENT
    return percent(shown, ".3g") + (" (schedule)" if math.isnan(row["sparsity"]) else "")


def score(row: Row, fewer: int = 0) -> str:
    """Test accuracy in per cent, or R2, with its interval: `97.12 [96.90, 97.30]`; `fewer` digits if need be."""
    shown = score_of([row])
    return _with_interval(row, shown.name, f".{shown.digits - fewer}f", shown)


def difference(row: Row, fewer: int = 0) -> str:
    """Difference to dense in percentage points, or in R2, with its interval: `−0.53 [−0.80, −0.21]`."""
    if row["method"] == DENSE:
        return "baseline"
    shown = score_of([row])
    return _with_interval(row, "difference", f"+z.{shown.digits - fewer}f", shown)


def difference_p(row: Row) -> str:
    """Adjusted p-value of the difference to dense: `0.031`, `< 0.001`; the remarks say why one is missing."""
    return p_value(float(row["difference_p_adjusted"]))


def seeds_for_a_point(row: Row) -> str:
    """Seeds on which a difference of 1 point would be found: `12`, or `no number` if other images could hide it."""
    return "no number" if math.isinf(seeds := float(row["seeds_for_1_point"])) else number_text(seeds, ".0f")


def energy(row: Row) -> str:
    """Energy in per cent of dense with its interval, or `not measured`."""
    return metered(row, "energy_measured", share_with_interval(row, "energy"))


def energy_to_target(row: Row) -> str:
    """Energy to target in per cent of dense: `83.1 % [80.0, 87.5]`, or `never (1 of 3 reached)`."""
    reached = row["target_reached"]
    is_never = math.isinf(row["target_energy_ratio"])
    count = "" if pd.isna(reached) or reached == row["ok"] else f" ({reached} of {row['ok']} reached)"
    text = "never" if is_never else share_with_interval(row, "target_energy")
    return metered(row, "energy_measured", text + count)


def energy_rank(row: Row) -> str:
    """The rank by joules in the pool; its remarks say why a row has none."""
    return ABSENT if pd.isna(row["energy_rank"]) else str(row["energy_rank"])


def share(ratio: float) -> str:
    """A ratio to dense in per cent: `12.3 %`."""
    return percent(ratio, _share_form(ratio))


def coverage(row: Row) -> str:
    """Ok cells of the planned ones: `2/3`."""
    return f"{row['ok']}/{row['planned']}"


def remarks(row: Row) -> str:
    """Remarks that a reader of the row's numbers needs."""
    # If nothing was measured, the energy column says so, and the notes give the reason.
    energy_note = row["energy_note"] if row["energy_measured"] else ""
    # Why there is no interval is why there is no test.
    interval_note = row["interval_note"] or (row["test_note"] if row["ok"] else "")
    parts = [row["failures"], _reached(row), _counted(row), interval_note, row["pairing_note"], energy_note]
    return "; ".join(filter(None, parts))


def is_metered(row: Row) -> bool:
    """Whether any of the row's energy was measured."""
    return bool(row["energy_measured"])


def is_tested(row: Row) -> bool:
    """Whether the row has a test of its difference to dense."""
    return not math.isnan(row["difference_p"])


def asks_for_a_point(row: Row) -> bool:
    """Whether it is known on how many seeds its test would find a point."""
    return is_tested(row) and not math.isnan(row["seeds_for_1_point"])


def if_of(shown: Score, text: Callable[[Row], str], row: Row) -> str:
    """The text, if the row has this score."""
    return text(row) if score_of([row]) == shown else ABSENT


def value_if_of(shown: Score, name: str) -> Callable[[Row], float]:
    """The row's number of this name, if it has this score."""
    return lambda row: value(name)(row) if score_of([row]) == shown else math.nan


def equivalent(row: Row, absent: str = "") -> str:
    """`yes`, `not shown`, or `absent` without a test."""
    return {"yes": "yes", "no": "not shown"}.get(row["equivalent"], absent)


def _reached(row: Row) -> str:
    planned, reached = float(row["sparsity"]), float(row["sparsity_reached"])
    if not abs(planned - reached) > _NOTABLE:
        return ""
    why = f": one ranking of all groups, at the FLOPs of {share(planned)} removed from each" if _ranks_all(row) else ""
    return f"{share(reached)} removed in the end{why}"


def _ranks_all(row: Row) -> bool:
    """Whether the method cuts all groups by one ranking; an unknown plug-in's does so by an option alone."""
    name = registered_name(row["method"])
    known = registry.methods.get(name) if name in registry.methods.names() else None
    return "widths=free" in row["method"] or getattr(known, "widths", "") == "free"


def _counted(row: Row) -> str:
    ratio = float(row["training_flops_ratio"])
    why = "the passes that score neurons, and training after them, count"
    return f"{share(ratio)} of dense's training FLOPs: {why}" if ratio > _MORE else ""


def _share_form(ratio: float) -> str:
    """The format of a ratio in per cent: one decimal, or two digits below one per cent."""
    return ".1f" if ratio >= 0.01 else ".2g"


def metered(row: Row, measured: str, text: str) -> str:
    """`text`, or `not measured` where the row has ok cells and `measured` counts none of them."""
    return UNMEASURED if row["ok"] and not row[measured] else text


def share_with_interval(row: Row, quantity: str) -> str:
    """A ratio to dense in per cent with its interval, which dense itself does not need: `80.0 % [70.0, 90.0]`."""
    low, high = float(row[f"{quantity}_low"]), float(row[f"{quantity}_high"])
    has_interval = not math.isnan(low) and row["method"] != DENSE
    ends = ", ".join(number_text(end, _share_form(end), scale=100) for end in (low, high))
    return share(row[f"{quantity}_ratio"]) + (f" [{ends}]" if has_interval else "")


def _with_interval(row: Row, quantity: str, form: str, score: Score) -> str:
    mean, low, high = (float(row.get(f"{quantity}_{end}", math.nan)) for end in ("mean", "low", "high"))
    return with_interval(mean, low, high, form, scale=score.scale)
