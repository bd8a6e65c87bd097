"""The columns of the leaderboard and of its summary, each described once for every rendering."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dtcbench.analysis import ranks, stats
from dtcbench.analysis.leaderboard import METRICS, Leaderboard, Metric, series_label
from dtcbench.report.blocks import Column, Row, label
from dtcbench.report.row_texts import (
    asks_for_a_point,
    coverage,
    difference,
    difference_p,
    energy,
    energy_rank,
    energy_to_target,
    equivalent,
    if_of,
    is_metered,
    is_tested,
    metered,
    remarks,
    score,
    seeds_for_a_point,
    share,
    share_with_interval,
    sparsity,
    sparsity_shown,
    value,
    value_if_of,
)
from dtcbench.report.score import ACCURACY, R2, Score, score_of
from dtcbench.text import ABSENT, number_text, percent


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
        lambda row: metered(row, measured, share(row[name])),
        value(name),
        concerns=lambda row: bool(row[measured]),
        about=about,
        is_spare=True,
    )


def _metric(metric: Metric) -> Column:
    """The mean of one of the cells' numbers; if a cell may lack it, the column is shown only if a row has it."""
    concerns = (lambda row: not math.isnan(row[metric.mean])) if metric.is_optional else _always
    return _number_text(metric.title, metric.mean, metric.form, concerns, is_spare=not metric.is_headline)


METHOD = Column(
    "Method",
    lambda row: series_label(row["method"], row["solver"]),
    is_number=False,
    about="What chose the neurons, and with which solver.",
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
            partial(if_of, shown, score),
            value_if_of(shown, f"{shown.name}_mean"),
            short=shown.label,
            brief=partial(if_of, shown, partial(score, fewer=1)),
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
            partial(if_of, shown, difference),
            value_if_of(shown, "difference_mean"),
            short=f"{shown.points} to dense",
            brief=partial(if_of, shown, partial(difference, fewer=1)),
        ),
        Column(
            "Difference, adjusted p",
            difference_p,
            value("difference_p_adjusted"),
            concerns=is_tested,
            about="The chance of such a difference to dense, or a larger one, if the two do not differ, adjusted for "
            "the number of rows.",
            short="adjusted p",
            dropped=6,
        ),
        Column(
            of_errors,
            lambda row: equivalent(row, ABSENT),
            equivalent,
            is_number=False,
            concerns=is_tested,
            about="Yes where a larger difference either way has been ruled out.",
            is_spare=True,
        ),
        Column(
            f"Detectable difference, {shown.points}",
            lambda row: number_text(row["detectable_difference"], f".{shown.digits}f", scale=shown.scale),
            value("detectable_difference"),
            concerns=is_tested,
            is_spare=True,
        ),
        Column(
            "Seeds for 1 point",
            seeds_for_a_point,
            value("seeds_for_1_point"),
            concerns=asks_for_a_point,
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
            brief=lambda row: metered(row, "energy_measured", share(row["energy_ratio"])),
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
            lambda row: share_with_interval(row, "time"),
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
