"""The figures: where points stand, what marks them, and what is not there."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from dtcbench.report import figures
from dtcbench.report.score import ACCURACY, R2
from dtcbench.report.score_axis import score_axis
from dtcbench.report.vega import COLOURS


@pytest.fixture(scope="module")
def looks(run):
    return figures.styles(run.leaderboard)


def encoding(figure, panel=0):
    return figure["vconcat"][panel]["layer"][-1]["encoding"]


def points(figure, name=None, panel=0):
    values = figure["vconcat"][panel]["layer"][-1]["data"]["values"]
    return [point for point in values if name in (None, point["name"])]


def behind(figure, mark):
    """The data of what lies behind the points of the first panel, by its kind."""
    return [layer["data"]["values"][0] for layer in figure["vconcat"][0]["layer"][:-1] if layer["mark"]["type"] == mark]


def test_a_method_has_one_colour_and_marker_in_every_figure(run, looks):
    rows = run.leaderboard.rows
    for drawn in (
        figures.score_by_sparsity(rows, looks, ACCURACY),
        figures.score_by_training_flops(rows, looks, ACCURACY),
        figures.over_cycles(run.cycles, looks, ACCURACY),
    ):
        colours = encoding(drawn)["color"]["scale"]
        of = dict(zip(colours["domain"], colours["range"], strict=True))
        assert of["dtc / lars"] == looks["dtc / lars"].colour
        assert points(drawn, "dtc / lars")


def test_a_method_has_the_same_colour_in_every_suite_and_its_variants_other_markers(run):
    rows = run.leaderboard.rows
    for chosen in (rows, rows[rows["method"].isin(["dense", "dtc", "random"])]):
        looks = figures.styles(replace(run.leaderboard, rows=chosen))
        assert (looks["dtc / lars"].colour, looks["random"].colour) == COLOURS[:2]
        assert looks["dtc / scs"].colour == looks["dtc / lars"].colour
        assert looks["dtc / scs"].marker != looks["dtc / lars"].marker


def test_no_two_methods_look_the_same(run):
    many = pd.concat([run.leaderboard.rows.assign(method=f"method {i:02}", solver="") for i in range(42)])
    chosen = figures.styles(replace(run.leaderboard, rows=many))
    assert len(set(chosen.values())) == len(chosen) == 43


def test_dense_is_a_line_with_its_interval_as_a_band(run, looks):
    figure = figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY)
    dense = run.leaderboard.rows.iloc[0]
    (band,), (line,) = behind(figure, "rect"), behind(figure, "rule")
    assert band["low"] == pytest.approx(100 - 100 * dense["accuracy_low"])
    assert band["high"] == pytest.approx(100 - 100 * dense["accuracy_high"])
    assert line["at"] == pytest.approx(100 - 100 * dense["accuracy_mean"])
    assert not points(figure, "dense")


def test_intervals_span_their_row_and_are_absent_without_one(run, looks):
    figure = figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY)
    row = run.leaderboard.rows.query("method == 'random' and sparsity == 0.95").iloc[0]
    first, second, third = points(figure, "random")
    assert [point["x"] for point in (first, second, third)] == [50, 80, 95]
    assert third["y_low"] == pytest.approx(100 - 100 * row["accuracy_low"])
    assert third["y_high"] == pytest.approx(100 - 100 * row["accuracy_high"])
    assert "y_low" not in second  # one of its three cells ran out of memory


def test_who_points_at_a_row_reads_it_in_words(run, looks):
    figure = figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY)
    row = run.leaderboard.rows.query("method == 'random' and sparsity == 0.95").iloc[0]
    mean, low, high = (100 * row[f"accuracy_{end}"] for end in ("mean", "low", "high"))
    words = f"random, 95 % removed: accuracy {mean:.2f} % [{low:.2f}, {high:.2f}], 3 seeds"
    assert points(figure, "random")[2]["words"] == words


def test_without_a_planned_sparsity_a_point_stands_at_the_one_reached(run, looks):
    rows = run.leaderboard.rows.assign(sparsity=math.nan)
    found = points(figures.score_by_sparsity(rows, looks, ACCURACY), "magnitude")
    assert [point["x"] for point in found] == pytest.approx([50, 80, 95])


def test_a_row_without_an_ok_cell_has_no_point(run, looks):
    found = points(figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY), "dtc-published / scs")
    assert [point["x"] for point in found] == [50, 80]


def test_points_off_the_front_stay_and_are_hollow_and_the_front_is_a_stair(run, looks):
    figure = figures.score_by_training_flops(run.leaderboard.rows, looks, ACCURACY)
    stair = [(point["x"], point["y"]) for point in points(figure, "Pareto front")]
    methods = [point for point in points(figure) if point["name"] != "Pareto front"]
    best = [(point["x"], point["y"]) for point in methods if not point["hollow"]]
    assert len(methods) == 15 and 0 < len(best) < 15
    assert stair[::2] == best
    assert stair[1::2] == [(x, y) for (x, _), (_, y) in zip(best[1:], best[:-1], strict=True)]
    assert best == sorted(best) and [y for _, y in best] == sorted((y for _, y in best), reverse=True)


def test_cycles_are_averaged_over_layers_then_seeds_at_the_highest_sparsity(run, looks):
    figure = figures.over_cycles(run.cycles, looks, ACCURACY)
    accuracy = points(figure, "dtc / lars")
    entropy_in = [point for point in points(figure, "dtc / lars", panel=1) if point["dash"] == "solid"]
    shown = run.cycles.query("method == 'dtc' and solver == 'lars' and sparsity_planned == 0.95")
    assert [point["x"] for point in accuracy] == list(range(10))
    expected = shown.groupby("cycle")[["test_after", "entropy_in_bits"]].mean()
    assert [point["y"] for point in accuracy] == pytest.approx(list(100 - 100 * expected["test_after"]))
    assert [point["y"] for point in entropy_in] == pytest.approx(list(expected["entropy_in_bits"]))


def test_cycles_of_a_schedule_without_a_planned_sparsity_are_all_shown(run, looks):
    scheduled = run.cycles.query("sparsity_planned == 0.5").assign(sparsity_planned=math.nan)
    found = points(figures.over_cycles(scheduled, looks, ACCURACY), "magnitude")
    assert [point["x"] for point in found] == list(range(10))


def test_dense_has_a_curve_of_accuracy_and_none_of_entropy(run, looks):
    figure = figures.over_cycles(run.cycles, looks, ACCURACY)
    assert [bool(points(figure, "dense", panel)) for panel in range(3)] == [True, False, False]
    assert figures.without_entropy(run.cycles) == ["dense", "magnitude", "random"]


def test_validation_stands_in_where_test_was_not_evaluated_and_is_called_so(run, looks):
    cycles = run.cycles.assign(test_before=None, test_after=None)
    assert figures.score_shown(cycles) == "validation"
    first, *_ = points(figures.over_cycles(cycles, looks, ACCURACY), "dense")
    dense = cycles.query("method == 'dense' and cycle == 0")
    assert first["y"] == pytest.approx(100 - 100 * dense["validation_before"].mean())


def test_accuracies_stand_on_the_logarithm_of_their_error_and_are_written_as_accuracies():
    y = score_axis(ACCURACY, "Accuracy, %", [0.4, 0.97, 0.993])
    assert y.axis.encoding("y")["scale"] | {"type": "log", "reverse": True} == y.axis.encoding("y")["scale"]
    assert y.axis.labels["values"] == [1, 2, 5, 10, 20, 50]
    assert y.axis.labels["labelExpr"].startswith("format(100 - datum.value")
    assert [y.at(value) for value in (0.4, 0.993)] == pytest.approx([60, 0.7])


def test_an_interval_that_reaches_100_percent_ends_where_it_can_be_drawn():
    y = score_axis(ACCURACY, "", [0.98, 0.99])
    assert y.reach(0.97, 1.01) == pytest.approx((3, 0.25))
    assert math.isnan(y.at(math.nan))


@pytest.mark.parametrize(
    ("score", "values"), [(ACCURACY, [0.5, 1.0]), (R2, [0.5, 0.9]), (ACCURACY, []), (ACCURACY, [math.nan])]
)
def test_an_axis_with_no_error_to_take_the_logarithm_of_is_linear(score, values):
    y = score_axis(score, "", values)
    assert "type" not in y.axis.scale
    assert y.at(0.5) == score.scale * 0.5
