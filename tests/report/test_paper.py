"""Figures on paper: every kind of figure is drawn, its words stay text, and its bytes do not change."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from test_forest import comparison, figure_of
from test_power_chart import LOOKS, cell, only_rapl

from dtcbench.report import figures
from dtcbench.report.paper import FORMS, WIDTH_PX, drawn
from dtcbench.report.power_chart import power_figure
from dtcbench.report.score import ACCURACY
from dtcbench.report.vega import Axis, Panel, Style, figure, level, point

TEXT = "{http://www.w3.org/2000/svg}text"


@pytest.fixture(scope="module")
def all_figures(run):
    looks = figures.styles(run.leaderboard)
    return {
        "sparsity": figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY),
        "flops": figures.score_by_training_flops(run.leaderboard.rows, looks, ACCURACY),
        "cycles": figures.over_cycles(run.cycles, looks, ACCURACY),
        "power": power_figure({"dtc": cell(), "<b>dense</b>": only_rapl()}, LOOKS),
        "claim": figure_of(comparison("p · a: dtc − b", 0.03), comparison("q · c: dtc − b", -0.02)),
    }


def svg(figure) -> ElementTree.Element:
    return ElementTree.fromstring(drawn(figure, "svg"))  # noqa: S314 - our own


def texts(figure) -> list[str]:
    return [element.text for element in svg(figure).iter(TEXT)]


@pytest.mark.parametrize("name", ["sparsity", "flops", "cycles", "power", "claim"])
def test_a_figure_fits_a_column_and_has_the_same_bytes_every_time(all_figures, name):
    for form in FORMS:
        once, again = (drawn(all_figures[name], form) for _ in range(2))
        assert once == again
        assert b"NaN" not in once and b"undefined" not in once
    assert abs(float(svg(all_figures[name]).get("width")) - WIDTH_PX) < 12


def test_words_are_text_in_both_forms(all_figures):
    assert {"Neurons removed, %", "Test accuracy, %", "dense", "dtc / lars", "random"} <= set(
        texts(all_figures["sparsity"])
    )
    pdf = drawn(all_figures["sparsity"], "pdf")
    assert b"/BaseFont" in pdf and b"/Type3" not in pdf


@pytest.mark.parametrize(
    "name", ["_begins_so", "a_b $x^2$ \\alpha", "<b>a & b</b>", "\u2212\u0394 \u2264", "50 %", "datum.x"]
)
def test_a_name_is_drawn_as_it_is(name):
    panel = Panel([point(name, 1, 2), point(name, 2, 3)], Axis("y"))
    assert name in texts(figure([panel], Axis(name), {name: Style("#0072B2", "circle")}))


def test_lines_break_where_a_value_is_missing():
    panel = Panel([point("a", x, y, marked=False) for x, y in ((1, 1), (2, 2), (2, None), (3, 1), (4, 2))], Axis("y"))
    drawing = svg(figure([panel], Axis("x"), {"a": Style("#0072B2", "circle")}))
    paths = [path.get("d", "") for path in drawing.iter() if path.get("stroke") == "#0072B2"]
    assert max(paths, key=len).count("M") == 2


def test_nothing_heavy_is_imported_before_a_figure_is_drawn():
    code = "import sys, dtcbench.cli, dtcbench.report.build, dtcbench.report.html, dtcbench.report.terminal\n"
    code += "sys.exit('vl_convert' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_panel_of_nothing_is_left_out_and_one_of_a_band_alone_is_drawn():
    y, looks = Axis("y"), {"a": Style("#0072B2", "circle")}
    full = Panel([point("a", 1, 2), point("a", 2, 3)], y)
    assert len(figure([full, Panel([], Axis("nothing"))], Axis("x"), looks)["vconcat"]) == 1
    assert "dense" in texts(figure([Panel([], y, level(y, 2, "dense"))], Axis("Neurons removed"), looks))


@pytest.mark.parametrize("behind", [(), tuple(level(Axis("y"), 2, "dense"))])
def test_without_a_point_a_figure_has_a_size_all_the_same(behind):
    empty = figure([Panel([], Axis("y"), behind)], Axis("x"), {})
    assert 200 < float(svg(empty).get("width")) <= WIDTH_PX
    assert drawn(empty, "pdf")
