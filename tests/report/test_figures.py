"""The figures: where points stand, what marks them, and what is not there."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtcbench.report import figures
from dtcbench.report.score import ACCURACY


@pytest.fixture(scope="module")
def looks(run):
    return figures.styles(run.leaderboard)


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_a_method_has_one_colour_and_marker_in_every_figure(run, looks):
    rows = run.leaderboard.rows
    drawn = [
        figures.score_by_sparsity(rows, looks, ACCURACY),
        figures.score_by_training_flops(rows, looks, ACCURACY),
        figures.over_cycles(run.cycles, looks, ACCURACY),
    ]
    found = [trace for figure in drawn for trace in traces(figure, "dtc / lars")]
    assert len(found) >= 6
    assert {trace.marker.color for trace in found} == {looks["dtc / lars"].colour}
    symbols = {symbol.removesuffix("-open") for trace in found for symbol in np.atleast_1d(trace.marker.symbol)}
    assert symbols == {looks["dtc / lars"].marker}


def test_no_two_methods_look_the_same(run):
    many = pd.concat([run.leaderboard.rows.assign(method=f"method {i:02}", solver="") for i in range(42)])
    chosen = figures.styles(replace(run.leaderboard, rows=many))
    assert len(set(chosen.values())) == len(chosen) == 43


def test_dense_is_a_line_with_its_interval_as_a_band(run, looks):
    figure = figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY)
    dense = run.leaderboard.rows.iloc[0]
    band, line = sorted(figure.layout.shapes, key=lambda shape: shape.type, reverse=True)
    assert (band.y0, band.y1) == (100 * dense["accuracy_low"], 100 * dense["accuracy_high"])
    assert line.y0 == line.y1 == 100 * dense["accuracy_mean"]
    assert not traces(figure, "dense")


def test_error_bars_span_the_interval_and_are_absent_without_one(run, looks):
    figure = figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY)
    (trace,) = traces(figure, "random")
    row = run.leaderboard.rows.query("method == 'random' and sparsity == 0.95").iloc[0]
    assert trace.x == (50, 80, 95)
    assert trace.y[2] + trace.error_y.array[2] == pytest.approx(100 * row["accuracy_high"])
    assert trace.y[2] - trace.error_y.arrayminus[2] == pytest.approx(100 * row["accuracy_low"])
    assert math.isnan(trace.error_y.array[1])  # one of its three cells ran out of memory


def test_without_a_planned_sparsity_a_point_stands_at_the_one_reached(run, looks):
    rows = run.leaderboard.rows.assign(sparsity=math.nan)
    (trace,) = traces(figures.score_by_sparsity(rows, looks, ACCURACY), "magnitude")
    assert trace.x == pytest.approx((50, 80, 95))


def test_a_row_without_an_ok_cell_has_no_point(run, looks):
    (trace,) = traces(figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY), "dtc-published / scs")
    assert trace.x == (50, 80)


def test_points_off_the_front_stay_and_are_hollow(run, looks):
    figure = figures.score_by_training_flops(run.leaderboard.rows, looks, ACCURACY)
    (front,) = traces(figure, "Pareto front")
    points = [trace for trace in figure.data if trace.name != "Pareto front"]
    assert sum(len(trace.x) for trace in points) == 15
    filled = {
        (x, y)
        for trace in points
        for x, y, symbol in zip(trace.x, trace.y, trace.marker.symbol, strict=True)
        if not symbol.endswith("-open")
    }
    assert filled == set(zip(front.x, front.y, strict=True))
    assert list(front.x) == sorted(front.x) and list(front.y) == sorted(front.y)


def test_cycles_are_averaged_over_layers_then_seeds_at_the_highest_sparsity(run, looks):
    figure = figures.over_cycles(run.cycles, looks, ACCURACY)
    accuracy, entropy_in = traces(figure, "dtc / lars")[:2]
    shown = run.cycles.query("method == 'dtc' and solver == 'lars' and sparsity_planned == 0.95")
    assert list(accuracy.x) == list(range(10))
    expected = shown.groupby("cycle")[["test_after", "entropy_in_bits"]].mean()
    assert accuracy.y == pytest.approx(100 * expected["test_after"])
    assert entropy_in.y == pytest.approx(expected["entropy_in_bits"])


def test_cycles_of_a_schedule_without_a_planned_sparsity_are_all_shown(run, looks):
    scheduled = run.cycles.query("sparsity_planned == 0.5").assign(sparsity_planned=math.nan)
    (accuracy,) = traces(figures.over_cycles(scheduled, looks, ACCURACY), "magnitude")
    assert list(accuracy.x) == list(range(10))


def test_dense_has_a_curve_of_accuracy_and_none_of_entropy(run, looks):
    assert len(traces(figures.over_cycles(run.cycles, looks, ACCURACY), "dense")) == 1
    assert figures.without_entropy(run.cycles) == ["dense", "magnitude", "random"]


def test_validation_stands_in_where_test_was_not_evaluated_and_is_called_so(run, looks):
    cycles = run.cycles.assign(test_before=None, test_after=None)
    assert figures.score_shown(cycles) == "validation"
    (trace,) = traces(figures.over_cycles(cycles, looks, ACCURACY), "dense")
    dense = cycles.query("method == 'dense' and cycle == 0")
    assert trace.y[0] == pytest.approx(100 * dense["validation_before"].mean())


def test_a_label_is_never_read_as_tags(run):
    tables = run.relabelled("random", "<b>random</b>")
    figure = figures.score_by_sparsity(tables.leaderboard.rows, figures.styles(tables.leaderboard), ACCURACY)
    assert "&lt;b&gt;random&lt;/b&gt;" in [trace.name for trace in figure.data]
