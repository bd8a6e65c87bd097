"""Figures on paper: what the page's figures say is drawn, a new kind of figure is noticed, bytes do not change."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import plotly.graph_objects as go
import pytest
from test_power_chart import LOOKS, cell, only_rapl

from dtcbench.report import figures, vector
from dtcbench.report.drawings import FORMS
from dtcbench.report.power_chart import power_figure
from dtcbench.report.score import ACCURACY

TEXT = "{http://www.w3.org/2000/svg}text"
BLUE, GREY = "#0072B2", "#808080"


def scatter(**more) -> go.Scatter:
    return go.Scatter(**{"x": [1, 2, 3], "y": [4, 5, 6], "mode": "lines", "line": {"color": BLUE}} | more)


def one(**more) -> go.Figure:
    """A figure of one trace, with a legend."""
    return plain(scatter(**{"name": "a", "showlegend": True} | more))


def plain(*traces) -> go.Figure:
    """A figure without the template that plotly gives to all."""
    return go.Figure(list(traces)).update_layout(template=None, height=300)


def forest() -> go.Figure:
    """What a claim looks like: a trace per verdict, a row per comparison."""
    figure = figures.blank(1)
    for name, symbol, x, y in (("for", "circle", [1.5, -2.0], [0, 2]), ("open", "circle-open", [0.5], [1])):
        reach = {"array": [0.5] * len(x), "arrayminus": [0.25] * len(x), "color": BLUE}
        marker = {"color": BLUE, "symbol": symbol, "size": 9}
        figure.add_trace(go.Scatter(x=x, y=y, error_x=reach, mode="markers", marker=marker, name=name))
    figure.add_vline(x=-1, line={"color": GREY, "dash": "dash"})
    figure.add_annotation(
        x=0,
        xref="paper",
        xanchor="left",
        y=0.4,
        text="<b>digits</b><br>mlp",
        align="left",
        showarrow=False,
        font={"size": 9},
    )
    figure.update_yaxes(range=[2.6, -0.6], showgrid=False, showticklabels=False)
    return figure.update_layout(height=300, showlegend=True)


@pytest.fixture(scope="module")
def all_figures(run):
    looks = figures.styles(run.leaderboard)
    return {
        "sparsity": figures.score_by_sparsity(run.leaderboard.rows, looks, ACCURACY),
        "flops": figures.score_by_training_flops(run.leaderboard.rows, looks, ACCURACY),
        "cycles": figures.over_cycles(run.cycles, looks, ACCURACY),
        "power": power_figure({"dtc": cell(), "<b>dense</b>": only_rapl()}, LOOKS),
        "forest": forest(),
    }


def svg(figure) -> ElementTree.Element:
    return ElementTree.fromstring(vector.drawn(figure, "svg"))  # noqa: S314 - our own


def texts(figure) -> list[str]:
    return [element.text for element in svg(figure).iter(TEXT)]


@pytest.mark.parametrize("name", ["sparsity", "flops", "cycles", "power", "forest"])
def test_a_figure_of_the_page_fits_a_column_and_has_the_same_bytes_whoever_draws_it(all_figures, name):
    for form in FORMS:
        content = vector.drawn(all_figures[name], form)
        with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path", "pdf.fonttype": 3, "lines.linewidth": 9}):
            assert vector.drawn(all_figures[name], form) == content
        assert not re.search(rb"CreationDate|Producer|dc:date|[Mm]atplotlib v?[0-9]|/home|nan", content)
    assert svg(all_figures[name]).get("width") == f"{72 * vector.WIDTH:g}pt"


def test_drawing_leaves_matplotlibs_settings_as_they_were(all_figures):
    before = dict(matplotlib.rcParams)
    vector.drawn(all_figures["sparsity"], "svg")
    assert dict(matplotlib.rcParams) == before


def test_words_are_text_in_both_forms(all_figures):
    words = texts(all_figures["sparsity"])
    assert {"Neurons removed, %", "Test accuracy, %", "dense", "dtc / lars", "random"} <= set(words)
    pdf = vector.drawn(all_figures["sparsity"], "pdf")
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType: what is called type 42


@pytest.mark.parametrize(
    "name", ["_begins_so", "a_b $x^2$ \\alpha", "<b>a & b</b>", "\u2212\u0394 \u2264", "\x1b[31mred", "50 %"]
)
def test_a_name_is_drawn_as_it_is(name):
    figure = one(name=figures.look_of(name, {name: figures.Style(BLUE, "x")}, "lines")["name"])
    assert name.replace("\x1b", "") in texts(figure)


def test_a_name_longer_than_the_figure_is_wide_goes_over_several_lines():
    name = "dtc(score=coefficients,drop=largest,measured=0.1) / interior-point(tolerance=1e-8,iterations=100)"
    parts = [text for text in texts(one(name=name)) if text in name and len(text) > 3]
    assert len(parts) > 1
    assert "".join(parts).replace(" ", "") == name.replace(" ", "")


def test_the_legend_lies_above_the_panels(all_figures):
    for name in ("sparsity", "cycles", "forest"):
        groups = {group.get("id"): group for group in svg(all_figures[name]).iter() if group.get("id")}
        edge = next(path for path in groups["patch_2"].iter() if path.get("d")).get("d")
        top = min(float(y) for y in re.findall(r"[ML] \S+ (\S+)", edge))
        places = [element.get("transform") or element.get("style") or "" for element in groups["legend_1"].iter(TEXT)]
        lines = [float(y) for place in places for y in re.findall(r"translate\(\S+ (\S+?)\)", place)]
        lines += [float(y) for element in groups["legend_1"].iter(TEXT) if (y := element.get("y"))]
        assert lines and max(lines) < top


def lines(figure) -> list:
    """The lines of the first panel, as matplotlib holds them."""
    return vector.on_paper(figure).axes[0].get_lines()


def test_a_gap_breaks_the_line_and_a_step_is_level_then_upright():
    (line,) = lines(one(y=[1, None, 2], x=[1, 2, 3]))
    assert [math.isnan(y) for y in line.get_ydata()] == [False, True, False]
    assert line.get_drawstyle() == "default"
    (step,) = lines(one(line={"color": BLUE, "shape": "hv"}))
    assert step.get_drawstyle() == "steps-post"


def test_an_interval_whose_end_rounding_puts_past_its_mean_is_drawn_all_the_same():
    content = vector.drawn(one(error_y={"array": [-1e-17, 1, None], "arrayminus": [0, 1, math.nan]}), "svg")
    assert b"nan" not in content


def test_panels_stand_in_the_pages_order_and_share_the_lowest_axis(all_figures):
    drawing = vector.on_paper(all_figures["cycles"])
    assert [panel.get_ylabel() for panel in drawing.axes] == ["Accuracy, %", "Entropy, bits", "Entropy / log2 n"]
    assert [panel.xaxis.get_tick_params()["labelbottom"] for panel in drawing.axes] == [False, False, True]
    assert len({panel.get_xlim() for panel in drawing.axes}) == 1
    assert {line.get_linestyle() for line in drawing.axes[1].get_lines()} >= {"-", "--"}
    entries = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert len(entries) == len(set(entries)) == 6


def test_the_band_of_dense_spans_the_panel_and_its_name_stands_on_its_right(all_figures):
    (axes,) = vector.on_paper(all_figures["sparsity"]).axes
    (band,) = axes.patches
    assert (band.get_x(), band.get_width(), band.get_alpha()) == (0, 1, 0.25)
    line = next(line for line in axes.get_lines() if list(line.get_xdata()) == [0, 1])
    assert band.get_y() < line.get_ydata()[0] < band.get_y() + band.get_height()
    (note,) = axes.texts
    assert (note.get_text(), note.get_ha(), note.get_va(), note.xy[0]) == ("dense", "right", "bottom", 1)


def test_hollow_points_stay_hollow():
    marker = {"color": BLUE, "symbol": ["circle", "circle-open", "x"], "size": 9}
    drawn = lines(one(mode="markers", marker=marker))
    found = {(line.get_marker(), line.get_markerfacecolor()): list(line.get_xdata()) for line in drawn}
    assert found == {("o", BLUE): [1.0], ("o", "none"): [2.0], ("X", BLUE): [3.0]}
    assert {line.get_markeredgecolor() for line in drawn} == {BLUE}


def test_a_claim_keeps_its_rows_their_names_and_its_bounds():
    (axes,) = vector.on_paper(forest()).axes
    assert axes.get_ylim() == (2.6, -0.6)
    bound = next(line for line in axes.get_lines() if list(line.get_ydata()) == [0, 1])
    assert list(bound.get_xdata()) == [-1, -1]
    bars = next(line for line in axes.get_lines() if line.get_marker() == "|")
    assert list(bars.get_xdata())[:2] == [1.25, 2.0]
    assert [(note.get_text(), note.get_fontweight()) for note in axes.texts] == [("digits", "bold"), ("mlp", "normal")]


def test_a_single_trace_has_a_legend_only_where_it_asks_for_one():
    assert not vector.on_paper(one(showlegend=None)).legends
    assert vector.on_paper(one()).legends


@pytest.mark.parametrize(
    ("figure", "word"),
    [
        (one(mode="lines+text", text=["a", "b", "c"]), "lines+text"),
        (one(mode=None), "None"),
        (one(line={"color": BLUE, "shape": "spline"}), "spline"),
        (one(line={"color": BLUE, "dash": "longdash"}), "longdash"),
        (one(mode="markers", marker={"color": BLUE, "symbol": "pentagon"}), "pentagon"),
        (one().add_shape(type="circle", x0=0, x1=1, y0=0, y1=1), "circle"),
    ],
)
def test_a_kind_of_line_or_point_that_paper_does_not_know_is_noticed(figure, word):
    with pytest.raises(ValueError, match=rf"{re.escape(word)}.*paper does not know it yet"):
        vector.drawn(figure, "svg")


def test_matplotlib_is_imported_only_where_figures_are_drawn():
    code = "import sys, dtcbench.cli, dtcbench.report.build, dtcbench.report.drawings, dtcbench.report.terminal\n"
    code += "sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_home_that_cannot_be_written_to_makes_no_noise():
    hidden = {"MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {"HOME": "/dev/null"}
    script = "import logging; import dtcbench.report.vector; assert logging.getLogger('matplotlib').level == 0"
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
