"""What the leaderboard's renderings show: per column a title, a text, and the value to sort by.

A missing value is "–", an unmeasured energy "not measured"; never a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from dtcbench import registry
from dtcbench.analysis import ranks, stats
from dtcbench.analysis.leaderboard import METRICS, Leaderboard, Metric
from dtcbench.analysis.pairing import DENSE, registered_name
from dtcbench.report.score import ACCURACY, R2, Score, score_of
from dtcbench.text import ABSENT, number_text, p_value, percent, with_interval

Row = Mapping[Hashable, Any]
"""One leaderboard row, by column name."""
UNMEASURED = "not measured"
_NOTABLE = 0.05
"""A difference between planned and reached sparsity that a reader should know of."""
_MORE = 1.0005
"""A ratio that is shown as more than 100.0 %."""


def _always(row: Row) -> bool:
    return True


@dataclass(frozen=True)
class Column:
    """One column of a rendered leaderboard."""

    title: str
    text: Callable[[Row], str]
    value: Callable[[Row], float | str]
    """What the column sorts by; NaN or an empty string is missing."""
    is_number: bool = True
    concerns: Callable[[Row], bool] = _always
    """Whether the column has content for a row: it is shown if it has for any."""
    about: str = ""
    """What it says, for who points at its title on a page."""
    is_spare: bool = False
    """Whether a page folds it away until a reader asks for all columns."""


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
    """Adjusted p-value of the difference to dense: `0.031`, `< 0.001`, or why it is missing."""
    if row["method"] == DENSE:
        return ABSENT
    p = float(row["difference_p_adjusted"])
    return row["test_note"] if math.isnan(p) else p_value(p)


def seeds_for_a_point(row: Row) -> str:
    """Seeds on which a difference of 1 point would be found: `12`, or `no number` if other images could hide it."""
    return "no number" if math.isinf(seeds := float(row["seeds_for_1_point"])) else number_text(seeds, ".0f")


def energy(row: Row) -> str:
    """Energy in per cent of dense with its interval, or `not measured`."""
    return _metered(row, "energy_measured", _share_with_interval(row, "energy"))


def energy_mean(row: Row) -> str:
    """Energy in per cent of dense, or `not measured`."""
    return _metered(row, "energy_measured", share(row["energy_ratio"]))


def energy_to_target(row: Row) -> str:
    """Energy to target in per cent of dense: `83.1 % [80.0, 87.5]`, or `never (1 of 3 reached)`."""
    reached = row["target_reached"]
    is_never = math.isinf(row["target_energy_ratio"])
    count = "" if pd.isna(reached) or reached == row["ok"] else f" ({reached} of {row['ok']} reached)"
    text = "never" if is_never else _share_with_interval(row, "target_energy")
    return _metered(row, "energy_measured", text + count)


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
    parts = [row["failures"], _reached(row), _counted(row), row["interval_note"], row["pairing_note"], energy_note]
    return "; ".join(filter(None, parts))


def is_metered(row: Row) -> bool:
    """Whether any of the row's energy was measured."""
    return bool(row["energy_measured"])


def _is_tested(row: Row) -> bool:
    return not math.isnan(row["difference_p"])


def _asks_for_a_point(row: Row) -> bool:
    return _is_tested(row) and not math.isnan(row["seeds_for_1_point"])


def _if_of(shown: Score, text: Callable[[Row], str], row: Row) -> str:
    """The text, if the row has this score."""
    return text(row) if score_of([row]) == shown else ABSENT


def _value_if_of(shown: Score, name: str) -> Callable[[Row], float]:
    return lambda row: _value(name)(row) if score_of([row]) == shown else math.nan


def _equivalent(row: Row, absent: str = "") -> str:
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


def _metered(row: Row, measured: str, text: str) -> str:
    """`text`, or `not measured` where the row has ok cells and `measured` counts none of them."""
    return UNMEASURED if row["ok"] and not row[measured] else text


def _share_with_interval(row: Row, quantity: str) -> str:
    """A ratio to dense in per cent with its interval, which dense itself does not need: `80.0 % [70.0, 90.0]`."""
    low, high = float(row[f"{quantity}_low"]), float(row[f"{quantity}_high"])
    has_interval = not math.isnan(low) and row["method"] != DENSE
    ends = ", ".join(number_text(end, _share_form(end), scale=100) for end in (low, high))
    return share(row[f"{quantity}_ratio"]) + (f" [{ends}]" if has_interval else "")


def _with_interval(row: Row, quantity: str, form: str, score: Score) -> str:
    mean, low, high = (float(row.get(f"{quantity}_{end}", math.nan)) for end in ("mean", "low", "high"))
    return with_interval(mean, low, high, form, scale=score.scale)


def _number_text(title: str, name: str, form: str, concerns: Callable[[Row], bool] = _always) -> Column:
    """A plain number in the format `form`."""

    return Column(title, lambda row: number_text(row[name], form), _value(name), concerns=concerns)


def _share(title: str, name: str) -> Column:
    """A ratio to dense, shown in per cent."""
    return Column(title, lambda row: share(row[name]), _value(name))


def _metered_share(title: str, name: str, measured: str = "energy_measured") -> Column:
    """A ratio to dense that takes a meter, shown in per cent where `measured` counts any cell."""
    return Column(
        title,
        lambda row: _metered(row, measured, share(row[name])),
        _value(name),
        concerns=lambda row: bool(row[measured]),
    )


def label(title: str, name: str) -> Column:
    """A name; `–` if it is missing."""
    return Column(title, lambda row: row[name] or ABSENT, lambda row: row[name], is_number=False)


def _value(name: str) -> Callable[[Row], float]:
    return lambda row: math.nan if pd.isna(row[name]) else float(row[name])


def _metric(metric: Metric) -> Column:
    """The mean of one of the cells' numbers; if a cell may lack it, the column is shown only if a row has it."""
    concerns = (lambda row: not math.isnan(row[metric.mean])) if metric.is_optional else _always
    return _number_text(metric.title, metric.mean, metric.form, concerns)


HEADLINE_METRICS = tuple(_metric(metric) for metric in METRICS if metric.is_headline)
"""Further numbers that every rendering shows after the accuracy."""


_ABOUT = {
    "Sparsity": "The share of prunable neurons that is removed.",
    "Ok cells": "Cells that ended well, of those planned. A row with fewer says less than its neighbours.",
    "Difference, adjusted p": "The chance of such a difference to dense, or a larger one, if the two do not differ, "
    "adjusted for the number of rows.",
    f"Within {percent(stats.MARGIN_SHARE, 'g')} of dense's error": "Yes where a larger difference either way has been "
    "ruled out.",
    "Seeds for 1 point": "How many seeds it takes to find a difference of one point in four of five repetitions.",
    "Energy, of dense": "Joules of the whole board over those of the paired dense training, idle power included.",
    "Energy rank": "By energy; a row whose remarks forbid it has none.",
    "Net of idle, of dense": "The same of the joules above idle.",
    "Energy to target, of dense": "Joules until validation accuracy first comes within a point of dense's median.",
    "Training FLOPs, of dense": "Floating-point operations of training over the paired dense ones; not energy.",
    "Inference FLOPs, of dense": "Floating-point operations of using the network, for one sample.",
}
"""What columns say, by title."""
_SPARE = ("Ok cells", "Detectable difference", "Seeds for 1 point", "Parameters", "Boards", "Net of idle", "Mean power")
"""The beginnings of titles that a page folds away, with those of the metrics that are no headline."""


def _columns(shown: Score) -> tuple[Column, ...]:
    """The columns of a leaderboard for reading, in order, where rows have this score; the CSV has every number."""
    spare = (*_SPARE, "Entropy", *(metric.title for metric in METRICS if not metric.is_headline))
    return tuple(
        replace(column, about=_ABOUT.get(column.title, ""), is_spare=column.title.startswith(spare))
        for column in _plain_columns(shown)
    )


def _plain_columns(shown: Score) -> tuple[Column, ...]:
    return (
        label("Method", "method"),
        label("Solver", "solver"),
        Column("Sparsity", sparsity, sparsity_shown),
        Column(shown.title, partial(_if_of, shown, score), _value_if_of(shown, f"{shown.name}_mean")),
        *HEADLINE_METRICS,
        Column("Ok cells", coverage, lambda row: row["ok"] / row["planned"]),
        Column(
            f"Difference to dense, {shown.points}",
            partial(_if_of, shown, difference),
            _value_if_of(shown, "difference_mean"),
        ),
        Column("Difference, adjusted p", difference_p, _value("difference_p_adjusted"), concerns=_is_tested),
        Column(
            f"Within {percent(stats.MARGIN_SHARE, 'g')} of dense's error",
            lambda row: _equivalent(row, ABSENT),
            _equivalent,
            is_number=False,
            concerns=_is_tested,
        ),
        Column(
            f"Detectable difference, {shown.points}",
            lambda row: number_text(row["detectable_difference"], f".{shown.digits}f", scale=shown.scale),
            _value("detectable_difference"),
            concerns=_is_tested,
        ),
        Column("Seeds for 1 point", seeds_for_a_point, _value("seeds_for_1_point"), concerns=_asks_for_a_point),
        _share("Parameters, of dense", "parameters_ratio"),
        _share("Training FLOPs, of dense", "training_flops_ratio"),
        _share("Inference FLOPs, of dense", "inference_flops_ratio"),
        Column("Energy, of dense", energy, _value("energy_ratio")),
        Column("Energy rank", energy_rank, _value("energy_rank"), concerns=is_metered),
        Column("Boards", lambda row: str(row["energy_boards"]), _value("energy_boards"), concerns=is_metered),
        _metered_share("Net of idle, of dense", "net_energy_ratio"),
        Column("Time, of dense", lambda row: _share_with_interval(row, "time"), _value("time_ratio")),
        _metered_share("Mean power, of dense", "power_ratio"),
        Column("Energy to target, of dense", energy_to_target, _value("target_energy_ratio"), concerns=is_metered),
        _metered_share("CPU energy, of dense", "cpu_energy_ratio", measured="cpu_energy_measured"),
        _number_text("Entropy in, bits", "entropy_in_bits", ".2f"),
        _number_text("Entropy out, bits", "entropy_out_bits", ".2f"),
        *(_metric(metric) for metric in METRICS if not metric.is_headline),
        Column("Remarks", remarks, remarks, is_number=False),
    )


COLUMNS = {shown: _columns(shown) for shown in (ACCURACY, R2)}
"""By score, the columns of a leaderboard."""


def headline(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns for rows of several leaderboards."""
    scores = sorted({score_of([row]) for row in rows}, key=lambda one: one.name) or [ACCURACY]
    named = {column.title: column for score in scores for column in COLUMNS[score]}
    titles = [
        *(one.title for one in scores),
        "Ok cells",
        *(f"Difference to dense, {one.points}" for one in scores),
        *(f"{cost}, of dense" for cost in ("Parameters", "Training FLOPs", "Energy", "Time")),
    ]
    first = map(named.__getitem__, ("Method", "Solver", "Sparsity"))
    return (*first, label("Data set", "dataset"), label("Model", "model"), *map(named.__getitem__, titles))


def shown(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns that have content for any of these rows of one pool."""
    return tuple(column for column in COLUMNS[score_of(rows)] if any(map(column.concerns, rows)))


SUMMARY_COLUMNS = (
    label("Method", "method"),
    label("Solver", "solver"),
    _number_text("Mean rank", "mean_rank", ".2f"),
    Column(f"Error at most {ranks.TAU:g} times the least", lambda row: share(row["profile"]), _value("profile")),
    Column("Pairs covered", lambda row: f"{row['covered']}/{row['planned']}", lambda row: row["covered"]),
)
"""The columns of a summary over (dataset, model) pairs."""


def summary_pools(leaderboard: Leaderboard) -> list[tuple[str, list[Row]]]:
    """The summary's pools, each with a title that says what its methods share, and its lines."""
    pools: dict[str, list[Row]] = {}
    for row in leaderboard.summary.to_dict("records"):
        removed = sparsity({**row, "sparsity_reached": math.nan}).replace(ABSENT, "by schedule,")
        title = f"{row['protocol']} · {removed} removed · {row['pairs'].count(';') + 1} pairs: {row['pairs']}"
        pools.setdefault(title, []).append(row)
    return list(pools.items())


def leaderboard_csv(leaderboard: Leaderboard) -> str:
    """One line per row under `leaderboard.COLUMNS`, or `ALL_COLUMNS`; an empty field is a missing value."""
    return _csv(leaderboard.rows)


def summary_csv(leaderboard: Leaderboard) -> str:
    """One line per method and pool under `summary.COLUMNS`; only the heading if no pool has two pairs."""
    return _csv(leaderboard.summary)


def use_csv(compared: pd.DataFrame) -> str:
    """One line per way of use under `records.use.COMPARED`."""
    return _csv(compared)


def _csv(rows: pd.DataFrame) -> str:
    # Twelve digits: exponentials, and with them the last of seventeen, differ between processors.
    return rows.to_csv(index=False, lineterminator="\n", float_format=_twelve_digits)


def _twelve_digits(value: Any) -> str:
    number = float(value)
    return repr(number if number.is_integer() else float(f"{number:.12g}"))
