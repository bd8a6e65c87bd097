"""Markdown, CSV and terminal: the same rows, the same figures, nothing absent left out."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from renderings import leaderboard_markdown
from renderings import leaderboard_on_terminal as printed

from dtcbench.analysis.leaderboard import COLUMNS
from dtcbench.report import columns, row_texts
from dtcbench.report.blocks import Table
from dtcbench.report.build import csv_of


def leaderboard_csv(leaderboard) -> str:
    return csv_of(leaderboard.rows)


@pytest.mark.parametrize("render", [leaderboard_markdown, leaderboard_csv, printed])
def test_a_rendering_does_not_depend_on_the_order_of_the_tables(run, render):
    assert render(run.shuffled().leaderboard) == render(run.leaderboard)


@pytest.fixture
def row(run):
    """The row of dtc with lars at 95 %."""
    return dict(run.leaderboard.rows.query("method == 'dtc' and solver == 'lars' and sparsity == 0.95").iloc[0])


def test_figures_read_in_per_cent_and_points_with_their_interval(row):
    row |= {"accuracy_mean": 0.9, "accuracy_low": 0.89, "accuracy_high": 0.912}
    row |= {"difference_mean": -0.00001, "difference_low": -0.02, "difference_high": 0.01}
    row |= {"energy_ratio": 0.8, "energy_low": 0.7, "energy_high": 0.9}
    assert row_texts.score(row) == "90.00 [89.00, 91.20]"
    assert row_texts.difference(row) == "+0.00 [−2.00, +1.00]"
    assert row_texts.energy(row) == "80.0 % [70.0, 90.0]"
    assert row_texts.share(0.00123) == "0.12 %"


def test_without_an_interval_there_are_no_brackets(row):
    row |= {"accuracy_mean": 0.9, "accuracy_low": math.nan, "accuracy_high": math.nan}
    assert row_texts.score(row) == "90.00"


def test_a_sparsity_the_schedule_decided_is_marked(row):
    assert row_texts.sparsity(row) == "95 %"
    assert row_texts.sparsity(row | {"sparsity": math.nan, "sparsity_reached": 0.982}) == "98.2 % (schedule)"


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("dtc", ""),
        ("dtc(widths=free)", ": one ranking of all groups, at the FLOPs of 50.0 % removed from each"),
        ("slimming", ": one ranking of all groups, at the FLOPs of 50.0 % removed from each"),
        ("a-plug-in-that-is-not-here", ""),
    ],
)
def test_a_remark_says_why_more_is_gone_than_was_planned(row, method, why):
    row |= {"method": method, "sparsity": 0.5, "sparsity_reached": 0.97}
    assert f"97.0 % removed in the end{why}" in row_texts.remarks(row).split("; ")


def test_a_remark_says_why_training_took_more_flops_than_dense(row):
    why = "110.0 % of dense's training FLOPs: the passes that score neurons, and training after them, count"
    assert why in row_texts.remarks(row | {"training_flops_ratio": 1.1}).split("; ")
    assert "training FLOPs" not in row_texts.remarks(row | {"training_flops_ratio": 1.0})


def test_energy_without_a_meter_is_not_measured_and_without_a_ratio_absent(row):
    row |= {"energy_ratio": math.nan, "energy_low": math.nan, "energy_high": math.nan}
    assert row_texts.energy(row | {"energy_measured": 0}) == "not measured"
    assert row_texts.energy(row | {"energy_measured": 3}) == "–"
    assert row_texts.energy(row | {"energy_measured": 0, "ok": 0}) == "–"


def test_a_target_that_a_seed_never_reached_reads_never_with_the_count(row):
    row |= {"ok": 3, "target_energy_ratio": math.inf, "target_energy_low": math.nan, "target_energy_high": math.nan}
    assert row_texts.energy_to_target(row | {"target_reached": 1}) == "never (1 of 3 reached)"


def test_a_mean_that_some_seed_is_not_in_tells_the_count(row):
    row |= {"ok": 3, "target_energy_ratio": 0.8, "target_energy_low": math.nan, "target_energy_high": math.nan}
    assert row_texts.energy_to_target(row | {"target_reached": 3}) == "80.0 %"
    assert row_texts.energy_to_target(row | {"target_reached": 2}) == "80.0 % (2 of 3 reached)"
    assert row_texts.energy_to_target(row | {"target_reached": pd.NA, "target_energy_ratio": math.nan}) == "–"
    assert row_texts.energy_to_target(row | {"target_reached": 2, "energy_measured": 0}).startswith("not measured")


def shown(leaderboard):
    rows = leaderboard.rows.to_dict("records")
    return Table(columns.of_pool(rows), rows).shown


def titles(leaderboard) -> set[str]:
    return {column.title for column in shown(leaderboard)}


OF_A_METER = {"Energy rank", "Net of idle, of dense", "Mean power, of dense", "Energy to target, of dense"}


def test_columns_of_a_meter_are_shown_only_where_one_measured_and_energy_and_time_always(run):
    assert titles(run.leaderboard) & OF_A_METER == OF_A_METER
    assert titles(run.unmeasured().leaderboard) & OF_A_METER == set()
    for leaderboard in (run.leaderboard, run.unmeasured().leaderboard):
        assert titles(leaderboard) >= {"Energy, of dense", "Time, of dense"}


def test_processor_energy_and_bits_have_a_column_only_where_there_are_any(run):
    optional = {"CPU energy, of dense", "Bits per character"}
    assert not titles(run.leaderboard) & optional
    cells = run.cells.assign(cpu_energy_j=50.0, bits_per_character=2.0)
    assert titles(replace(run, cells=cells).leaderboard) >= optional


def test_a_row_that_nobody_metered_says_so_beside_metered_ones(run):
    dtc = run.cells["method"] == "dtc"
    cells = run.cells.assign(energy_j=run.cells["energy_j"].where(~dtc), cpu_energy_j=run.cells["energy_j"].where(~dtc))
    leaderboard = replace(run, cells=cells).leaderboard
    named = OF_A_METER | {"Energy, of dense", "CPU energy, of dense"}
    of_energy = [column for column in shown(leaderboard) if column.title in named]
    for row in leaderboard.rows.to_dict("records"):
        texts = {c.title: c.text(row) for c in of_energy}
        if row["method"] == "dtc":
            assert texts.pop("Energy rank") == "–"
            assert set(texts.values()) == {"not measured"}
        else:
            assert "not measured" not in texts.values()


def test_without_a_meter_the_csv_has_no_figure_of_energy(run):
    leaderboard = run.unmeasured().leaderboard
    figures = [name for name in COLUMNS if "energy" in name and name.endswith(("_ratio", "_low", "_high", "_rank"))]
    lines = list(csv.DictReader(io.StringIO(leaderboard_csv(leaderboard))))
    assert {line[name] for line in lines for name in [*figures, "power_ratio"]} == {""}
    assert {line["time_ratio"] for line in lines if line["ok"] != "0"} != {""}


@pytest.mark.parametrize("render", [leaderboard_markdown, printed])
def test_a_simulated_gpu_is_named_before_anything_else_is_said(run, render):
    obstacle = "Energy of 43 cells comes from a simulated GPU (Simulated *GPU*): not for publication."
    lines = [line.replace("\\", "") for line in render(run.simulated().leaderboard).splitlines() if line.strip()]
    assert obstacle in lines[1]
    assert "simulated" not in render(run.leaderboard)


def test_csv_keeps_every_row_and_column_to_twelve_digits_and_leaves_absent_fields_empty(run):
    def written(value):
        if pd.isna(value):
            return ""
        return str(float(f"{value:.12g}")) if isinstance(value, float) and not value.is_integer() else str(value)

    lines = list(csv.DictReader(io.StringIO(leaderboard_csv(run.leaderboard))))
    rows = run.leaderboard.rows.to_dict("records")
    assert lines == [{name: written(row[name]) for name in COLUMNS} for row in rows]


def test_csv_of_the_summary_keeps_every_line(six_pools):
    lines = list(csv.DictReader(io.StringIO(csv_of(six_pools.leaderboard.summary))))
    ranks = six_pools.leaderboard.summary["mean_rank"].tolist()
    assert lines and [float(line["mean_rank"]) for line in lines] == pytest.approx(ranks, rel=1e-11)


def test_csv_has_the_same_bytes_whatever_the_last_digit_of_a_number(run):
    """A processor's exponential may differ from another's by one unit in the last place."""
    board = run.leaderboard
    nudged = board.rows.assign(time_ratio=np.nextafter(board.rows["time_ratio"].astype(float), np.inf))
    assert (nudged["time_ratio"] > board.rows["time_ratio"]).any()
    assert leaderboard_csv(replace(board, rows=nudged)) == leaderboard_csv(board)


def test_markdown_has_a_line_per_row_and_a_table_per_pool(six_pools):
    leaderboard = six_pools.leaderboard
    text = leaderboard_markdown(leaderboard)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    pools = leaderboard.summary.groupby(["sparsity", "pairs"]).ngroups
    assert len(lines) == 6 * (2 + 16) + 2 * pools + len(leaderboard.summary)
    assert text.count("### standard · ") == 6
    assert text.count("### Over pairs: standard · ") == pools == 3
    assert text.endswith("\n") and not text.endswith("\n\n")


def test_the_p_of_a_difference_is_shown_or_why_there_is_none(row):
    row |= {"difference_p_adjusted": 0.0312, "test_note": "", "equivalent": "no", "interval_note": ""}
    assert row_texts.difference_p(row) == "0.031"
    assert row_texts.difference_p(row | {"difference_p_adjusted": 0.00003}) == "< 0.001"
    row |= {"difference_p_adjusted": math.nan, "test_note": "why there is no test"}
    assert row_texts.difference_p(row) == "–"
    assert "why there is no test" in row_texts.remarks(row)
    assert row_texts.remarks(row | {"interval_note": "no interval"}).startswith("no interval")


def test_markdown_shows_p_and_equivalence_where_there_are_three_seeds_and_nowhere_else(run, two_pools):
    titles = ("Difference, adjusted p", "Within 20 % of dense", "Detectable difference", "Seeds for 1 point")
    assert all(title in leaderboard_markdown(run.leaderboard) for title in titles)
    assert not any(title in leaderboard_markdown(two_pools.leaderboard) for title in titles)


@pytest.mark.parametrize("render", [leaderboard_markdown, printed])
def test_ranks_over_pairs_are_shown_with_the_coverage_of_every_method(six_pools, render):
    text = render(six_pools.leaderboard)
    assert "standard · 80 % removed · 6 pairs: c · mlp" in text.replace("\\", "")
    ranks = six_pools.leaderboard.summary["mean_rank"]
    assert "6/6" in text and all(f"{rank:.2f}" in text for rank in ranks)


def test_markdown_shows_a_row_of_failures_with_its_coverage_and_reason(run):
    (line,) = (line for line in leaderboard_markdown(run.leaderboard).splitlines() if "| 0/3 |" in line)
    assert "| – |" in line
    assert "error ×3: keep=0.9 at width 12 with solver scs keeps nobody" in line


def test_markdown_of_a_hostile_name_keeps_its_columns_and_runs_nothing(run):
    text = leaderboard_markdown(run.relabelled("random", "a|b\n<script>[x](y)`").leaderboard)
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 2 + 16
    assert "| a\\|b \\<script\\>\\[x\\](y)\\` |" in text


def test_the_terminal_table_fits_100_columns_and_breaks_no_figure(run):
    text = printed(run.leaderboard)
    assert max(map(len, text.splitlines())) <= 100
    for row in run.leaderboard.rows.to_dict("records"):
        assert row_texts.score(row, 1) in text
        assert row_texts.difference(row, 1) in text


def test_the_terminal_numbers_each_remark_once(run):
    text = printed(run.leaderboard)
    assert text.count("no rank: short windows") == 1
    assert text.count("[3]") == 1 + 4  # the remark and the rows at 95 % that have an ok cell


def test_the_terminal_says_of_every_ok_row_that_its_energy_was_not_measured(run):
    leaderboard = run.unmeasured().leaderboard
    text = printed(leaderboard, 160)
    assert text.count("not measured") == sum(leaderboard.rows["ok"] > 0) + 1  # and once in the notes
    assert "Energy was not measured: no meter." in text


def test_the_terminal_reads_no_markup_from_names(run):
    assert "[red]x[/]" in printed(run.relabelled("random", "[red]x[/]").leaderboard)
