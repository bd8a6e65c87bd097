"""The columns of the leaderboard and of its summary, each described once for every rendering, and the CSV.

A missing value is "–", an unmeasured energy "not measured"; never a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from dtcbench import registry
from dtcbench.analysis import ranks, stats
from dtcbench.analysis.leaderboard import METRICS, Leaderboard, Metric, series_label
from dtcbench.analysis.pairing import DENSE, registered_name
from dtcbench.report.blocks import Column, Row, label
from dtcbench.report.score import ACCURACY, R2, Score, score_of
from dtcbench.text import ABSENT, number_text, p_value, percent, with_interval

UNMEASURED = "not measured"
_NOTABLE = 0.05
"""A difference between planned and reached sparsity that a reader should know of."""
_MORE = 1.0005
"""A ratio that is shown as more than 100.0 %."""


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
    return _metered(row, "energy_measured", _share_with_interval(row, "energy"))


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
    # Why there is no interval is why there is no test.
    interval_note = row["interval_note"] or (row["test_note"] if row["ok"] else "")
    parts = [row["failures"], _reached(row), _counted(row), interval_note, row["pairing_note"], energy_note]
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
    return lambda row: value(name)(row) if score_of([row]) == shown else math.nan


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


def _always(row: Row) -> bool:
    return True


def _number_text(
    title: str, name: str, form: str, concerns: Callable[[Row], bool] = _always, is_spare: bool = False
) -> Column:
    """A plain number in the format `form`."""
    return Column(title, lambda row: number_text(row[name], form), value(name), concerns=concerns, is_spare=is_spare)


def _share(title: str, name: str, **more: Any) -> Column:
    """A ratio to dense, shown in per cent."""
    return Column(title, lambda row: share(row[name]), value(name), **more)


def _metered_share(title: str, name: str, measured: str = "energy_measured", about: str = "") -> Column:
    """A ratio to dense that takes a meter, shown in per cent where `measured` counts any cell."""
    return Column(
        title,
        lambda row: _metered(row, measured, share(row[name])),
        value(name),
        concerns=lambda row: bool(row[measured]),
        about=about,
        is_spare=True,
    )


def value(name: str) -> Callable[[Row], float]:
    """A row's number of this name; NaN if it is missing."""
    return lambda row: math.nan if pd.isna(row[name]) else float(row[name])


def _metric(metric: Metric) -> Column:
    """The mean of one of the cells' numbers; if a cell may lack it, the column is shown only if a row has it."""
    concerns = (lambda row: not math.isnan(row[metric.mean])) if metric.is_optional else _always
    return _number_text(metric.title, metric.mean, metric.form, concerns, is_spare=not metric.is_headline)


METHOD = Column(
    "Method",
    lambda row: series_label(row["method"], row["solver"]),
    is_number=False,
    about="What chose the neurons, and with which solver.",
    short="method",
)
SPARSITY = Column(
    "Sparsity",
    sparsity,
    sparsity_shown,
    about="The share of prunable neurons that is removed.",
    short="removed",
    brief=lambda row: share(sparsity_shown(row)),
    role="section",
)


def _columns(shown: Score) -> tuple[Column, ...]:
    """The columns of a leaderboard for reading, in order, where rows have this score; the CSV has every number."""
    of_errors = f"Within {percent(stats.MARGIN_SHARE, 'g')} of dense's error"
    return (
        METHOD,
        SPARSITY,
        Column(
            shown.title,
            partial(_if_of, shown, score),
            _value_if_of(shown, f"{shown.name}_mean"),
            short=shown.label,
            brief=partial(_if_of, shown, partial(score, fewer=1)),
        ),
        *(_metric(metric) for metric in METRICS if metric.is_headline),
        Column(
            "Ok cells",
            coverage,
            lambda row: row["ok"] / row["planned"],
            about="Cells that ended well, of those planned. A row with fewer says less than its neighbours.",
            short="ok",
        ),
        Column(
            f"Difference to dense, {shown.points}",
            partial(_if_of, shown, difference),
            _value_if_of(shown, "difference_mean"),
            short=f"{shown.points} to dense",
            brief=partial(_if_of, shown, partial(difference, fewer=1)),
        ),
        Column(
            "Difference, adjusted p",
            difference_p,
            value("difference_p_adjusted"),
            concerns=_is_tested,
            about="The chance of such a difference to dense, or a larger one, if the two do not differ, adjusted for "
            "the number of rows.",
            short="adjusted p",
            dropped=6,
        ),
        Column(
            of_errors,
            lambda row: _equivalent(row, ABSENT),
            _equivalent,
            is_number=False,
            concerns=_is_tested,
            about="Yes where a larger difference either way has been ruled out.",
            is_spare=True,
        ),
        Column(
            f"Detectable difference, {shown.points}",
            lambda row: number_text(row["detectable_difference"], f".{shown.digits}f", scale=shown.scale),
            value("detectable_difference"),
            concerns=_is_tested,
            is_spare=True,
        ),
        Column(
            "Seeds for 1 point",
            seeds_for_a_point,
            value("seeds_for_1_point"),
            concerns=_asks_for_a_point,
            about="How many seeds it takes to find a difference of one point in four of five repetitions.",
            is_spare=True,
        ),
        _share("Parameters, of dense", "parameters_ratio", short="params", dropped=2),
        _share(
            "Training FLOPs, of dense",
            "training_flops_ratio",
            about="Floating-point operations of training over the paired dense ones; not energy.",
            short="FLOPs",
            dropped=3,
        ),
        _share(
            "Inference FLOPs, of dense",
            "inference_flops_ratio",
            about="Floating-point operations of using the network, for one sample.",
            is_spare=True,
        ),
        Column(
            "Energy, of dense",
            energy,
            value("energy_ratio"),
            about="Joules of the whole board over those of the paired dense training, idle power included.",
            short="energy",
            brief=lambda row: _metered(row, "energy_measured", share(row["energy_ratio"])),
            dropped=1,
        ),
        Column(
            "Energy rank",
            energy_rank,
            value("energy_rank"),
            concerns=is_metered,
            about="By energy; a row whose remarks forbid it has none.",
            is_spare=True,
        ),
        Column(
            "Boards",
            lambda row: str(row["energy_boards"]),
            value("energy_boards"),
            concerns=is_metered,
            is_spare=True,
        ),
        _metered_share("Net of idle, of dense", "net_energy_ratio", about="The same of the joules above idle."),
        Column(
            "Time, of dense",
            lambda row: _share_with_interval(row, "time"),
            value("time_ratio"),
            short="time",
            brief=lambda row: share(row["time_ratio"]),
            dropped=5,
        ),
        _metered_share("Mean power, of dense", "power_ratio"),
        Column(
            "Energy to target, of dense",
            energy_to_target,
            value("target_energy_ratio"),
            concerns=is_metered,
            about="Joules until validation accuracy first comes within a point of dense's median.",
            is_spare=True,
        ),
        _metered_share("CPU energy, of dense", "cpu_energy_ratio", measured="cpu_energy_measured"),
        _number_text("Entropy in, bits", "entropy_in_bits", ".2f", is_spare=True),
        _number_text("Entropy out, bits", "entropy_out_bits", ".2f", is_spare=True),
        *(_metric(metric) for metric in METRICS if not metric.is_headline),
        Column("Remarks", remarks, is_number=False, concerns=lambda row: bool(remarks(row)), role="remark"),
    )


COLUMNS = {shown: _columns(shown) for shown in (ACCURACY, R2)}
"""By score, the columns of a leaderboard."""


def of_pool(rows: Sequence[Row]) -> list[Column]:
    """The columns for the rows of one pool. Joules that nobody measured are the notes' rather than a narrow table's."""
    last = 1 if any(map(is_metered, rows)) else 4
    columns = COLUMNS[score_of(rows)]
    return [replace(one, dropped=last) if one.short == "energy" else one for one in columns]


def headline(rows: Sequence[Row]) -> list[Column]:
    """The columns for rows of several leaderboards."""
    scores = sorted({score_of([row]) for row in rows}, key=lambda one: one.name) or [ACCURACY]
    named = {column.title: column for score in scores for column in COLUMNS[score]}
    titles = [
        *(one.title for one in scores),
        "Ok cells",
        *(f"Difference to dense, {one.points}" for one in scores),
        *(f"{cost}, of dense" for cost in ("Parameters", "Training FLOPs", "Energy", "Time")),
    ]
    return [METHOD, SPARSITY, label("Data set", "dataset"), label("Model", "model"), *map(named.__getitem__, titles)]


SUMMARY_COLUMNS = (
    METHOD,
    _number_text("Mean rank", "mean_rank", ".2f"),
    Column(f"Error at most {ranks.TAU:g} times the least", lambda row: share(row["profile"]), value("profile")),
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
