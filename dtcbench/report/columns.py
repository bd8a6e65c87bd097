"""What the leaderboard's renderings show: per column a title, a text, and the value to sort by.

An absent figure is "–", an unmeasured energy "not measured"; neither is ever a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dtcbench.analysis.leaderboard import DENSE

Row = Mapping[Hashable, Any]
"""One leaderboard row, by column name."""
ABSENT = "–"
_NOTABLE = 0.05
"""A difference between planned and reached sparsity that a reader should know of."""


@dataclass(frozen=True)
class Column:
    """One column of a rendered leaderboard."""

    title: str
    text: Callable[[Row], str]
    value: Callable[[Row], float | str]
    """What the column sorts by; NaN or an empty string is missing."""
    is_number: bool = True


def sparsity_shown(row: Row) -> float:
    """The planned sparsity or, where the protocol's schedule decides it, the one reached."""
    planned, reached = float(row["sparsity"]), float(row["sparsity_reached"])
    return reached if math.isnan(planned) else planned


def sparsity(row: Row) -> str:
    """`90 %`, or `98.2 % (schedule)` where the protocol's schedule decided it."""
    shown = sparsity_shown(row)
    if math.isnan(shown):
        return ABSENT
    return f"{100 * shown:.3g} %" + (" (schedule)" if math.isnan(row["sparsity"]) else "")


def accuracy(row: Row, digits: int = 2) -> str:
    """Test accuracy in per cent with its interval: `97.12 [96.90, 97.30]`."""
    return _with_interval(row, "accuracy", f".{digits}f")


def difference(row: Row, digits: int = 2) -> str:
    """Difference to dense in percentage points with its interval: `−0.53 [−0.80, −0.21]`."""
    if row["method"] == DENSE:
        return "baseline"
    return _with_interval(row, "difference", f"+z.{digits}f")


def energy(row: Row) -> str:
    """Energy in per cent of dense with its interval, or `not measured`."""
    low, high = float(row["energy_low"]), float(row["energy_high"])
    has_interval = not math.isnan(low) and row["method"] != DENSE
    return energy_mean(row) + (f" [{_percent(low)}, {_percent(high)}]" if has_interval else "")


def energy_mean(row: Row) -> str:
    """Energy in per cent of dense, or `not measured`."""
    return "not measured" if row["ok"] and not row["energy_measured"] else share(row["energy_ratio"])


def share(ratio: float) -> str:
    """A ratio to dense in per cent: `12.3 %`."""
    return ABSENT if math.isnan(ratio) else f"{_percent(ratio)} %"


def coverage(row: Row) -> str:
    """Ok cells of the planned ones: `2/3`."""
    return f"{row['ok']}/{row['planned']}"


def remarks(row: Row) -> str:
    """What stands in the way of reading the row's figures at face value."""
    # That nothing at all was measured is in the energy column and, with its reason, in the notes.
    energy_note = row["energy_note"] if row["energy_measured"] else ""
    parts = [row["failures"], _reached(row), row["interval_note"], row["pairing_note"], energy_note]
    return "; ".join(filter(None, parts))


def _reached(row: Row) -> str:
    planned, reached = float(row["sparsity"]), float(row["sparsity_reached"])
    return f"{share(reached)} removed in the end" if abs(planned - reached) > _NOTABLE else ""


def _percent(ratio: float) -> str:
    """One decimal, or two digits below one per cent."""
    return f"{100 * ratio:.1f}" if ratio >= 0.01 else f"{100 * ratio:.2g}"


def _with_interval(row: Row, quantity: str, form: str) -> str:
    mean, low, high = (100 * float(row[f"{quantity}_{end}"]) for end in ("mean", "low", "high"))
    if math.isnan(mean):
        return ABSENT
    interval = "" if math.isnan(low) else f" [{low:{form}}, {high:{form}}]"
    return f"{mean:{form}}{interval}".replace("-", "−")


def _number(title: str, name: str, form: str) -> Column:
    """A plain number in the format `form`."""

    def text(row: Row) -> str:
        return ABSENT if math.isnan(row[name]) else f"{row[name]:{form}}"

    return Column(title, text, lambda row: float(row[name]))


def _share(title: str, name: str) -> Column:
    """A ratio to dense, shown in per cent."""
    return Column(title, lambda row: share(row[name]), lambda row: float(row[name]))


def _label(title: str, name: str) -> Column:
    """A name; `–` where there is none."""
    return Column(title, lambda row: row[name] or ABSENT, lambda row: row[name], is_number=False)


TEXT_ONLY = (_number("Bits per character", "bits_per_character_mean", ".3f"),)
"""Columns of language models."""
COLUMNS = (
    _label("Method", "method"),
    _label("Solver", "solver"),
    Column("Sparsity", sparsity, sparsity_shown),
    Column("Accuracy, %", accuracy, lambda row: float(row["accuracy_mean"])),
    *TEXT_ONLY,
    Column("Ok cells", coverage, lambda row: row["ok"] / row["planned"]),
    Column("Difference to dense, points", difference, lambda row: float(row["difference_mean"])),
    _share("Parameters, of dense", "parameters_ratio"),
    _share("Training FLOPs, of dense", "training_flops_ratio"),
    _share("Inference FLOPs, of dense", "inference_flops_ratio"),
    Column("Energy, of dense", energy, lambda row: float(row["energy_ratio"])),
    _number("Entropy in, bits", "entropy_in_bits", ".2f"),
    _number("Entropy out, bits", "entropy_out_bits", ".2f"),
    _number("Training, s", "train_s_mean", ".3g"),
    Column("Remarks", remarks, remarks, is_number=False),
)
"""The columns of a leaderboard for reading, in order; the CSV has every figure."""


def shown(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns that say something of these rows: those of language models only where there are any."""
    has_text = any(not math.isnan(row["bits_per_character_mean"]) for row in rows)
    return tuple(column for column in COLUMNS if has_text or column not in TEXT_ONLY)
