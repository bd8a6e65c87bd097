"""Figures on paper: all that the page's figures say is drawn, what is unknown is refused, and bytes do not change."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import plotly.graph_objects as go
import pytest
from test_power import LOOKS, cell, only_rapl

from dtcbench.report import figures, vector, vocabulary
from dtcbench.report.plots import FORMS, Span, Words
from dtcbench.report.power import power_figure

TEXT = "{http://www.w3.org/2000/svg}text"
BLUE, GREY = "#0072B2", "#808080"


def scatter(**more) -> go.Scatter:
    return go.Scatter(**{"x": [1, 2, 3], "y": [4, 5, 6], "mode": "lines", "line": {"color": BLUE}} | more)


def one(**more) -> go.Figure:
    """A figure of one trace, with a legend."""
    return plain(scatter(**{"name": "a", "showlegend": True} | more))


def plain(*traces) -> go.Figure:
    """A figure without the template that plotly gives to all."""
    return go.Figure(list(traces)).update_layout(template=None)


def forest() -> go.Figure:
    """What a claim looks like: a trace per verdict, a row per comparison."""
    figure = figures.blank(1)
    for name, symbol, x, y in (("for", "circle", [1.5, -2.0], [0, 2]), ("open", "circle-open", [0.5], [1])):
        reach = {"array": [0.5] * len(x), "arrayminus": [0.25] * len(x), "color": BLUE}
        marker = {"color": [BLUE] * len(x), "symbol": symbol, "size": 9}
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
    figure.update_yaxes(tickvals=[0, 1, 2], ticktext=["a", "b &lt; c<br>d", "e"], range=[2.6, -0.6], showgrid=False)
    return figure.update_layout(height=300, showlegend=True)


@pytest.fixture(scope="module")
def all_figures(run):
    looks = figures.styles(run.board)
    return {
        "sparsity": figures.accuracy_by_sparsity(run.board.rows, looks),
        "flops": figures.accuracy_by_training_flops(run.board.rows, looks),
        "cycles": figures.over_cycles(run.cycles, looks),
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


def test_a_gap_breaks_the_line_and_a_step_is_level_then_upright():
    paths = [path.get("d") for path in svg(one(y=[1, None, 2], x=[1, 2, 3])).iter() if path.get("d")]
    assert not any("nan" in path for path in paths)
    trace = vocabulary.plot(one(y=[1, None, math.nan])).panels[0].traces[0]
    assert trace.y[0] == 1 and math.isnan(trace.y[1]) and math.isnan(trace.y[2])
    assert vocabulary.plot(one(line={"color": BLUE, "shape": "hv"})).panels[0].traces[0].line.is_step


def test_an_interval_whose_end_rounding_puts_past_its_mean_is_drawn_all_the_same():
    content = vector.drawn(one(error_y={"array": [-1e-17, 1, None], "arrayminus": [0, 1, math.nan]}), "svg")
    assert b"nan" not in content


def test_panels_stand_in_the_pages_order_and_share_the_lowest_axis(all_figures):
    panels = vocabulary.plot(all_figures["cycles"]).panels
    assert [panel.y.title for panel in panels] == ["Accuracy, %", "Entropy, bits", "Entropy / log2 n"]
    assert [panel.x.has_labels for panel in panels] == [False, False, True]
    assert {trace.line.dash for trace in panels[1].traces} == {"solid", "dash"}
    assert sum(trace.in_legend for panel in panels for trace in panel.traces) == 6


def test_the_band_of_dense_spans_the_panel_and_its_name_stands_on_its_right(all_figures):
    (panel,) = vocabulary.plot(all_figures["sparsity"]).panels
    band, line = sorted(panel.shapes, key=lambda shape: shape.line is not None)
    assert (band.x, line.x) == (Span(0, 1, True), Span(0, 1, True))
    assert band.fill == GREY and band.opacity == 0.25 and band.y.begin < line.y.begin < band.y.end
    (note,) = panel.notes
    assert (note.lines, note.side_x, note.side_y) == ((Words("dense"),), "right", "bottom")


def test_hollow_points_stay_hollow_and_every_point_has_its_own_colour():
    marker = {"color": [BLUE, GREY, BLUE], "symbol": ["circle", "circle-open", "x"], "size": 9}
    trace = vocabulary.plot(one(mode="markers", marker=marker)).panels[0].traces[0]
    assert trace.line is None
    assert trace.points.colours == (BLUE, GREY, BLUE)
    assert trace.points.symbols == ("circle", "circle-open", "x")


def test_a_claim_keeps_its_rows_their_names_and_its_bounds():
    (panel,) = vocabulary.plot(forest()).panels
    assert panel.y.ticks == ((0, "a"), (1, "b < c\nd"), (2, "e"))
    assert panel.y.range == (2.6, -0.6)
    (bound,) = panel.shapes
    assert (bound.x, bound.y) == (Span(-1, -1, False), Span(0, 1, True))
    assert panel.traces[0].bars_x.below == (0.25, 0.25)
    assert panel.notes[0].lines == (Words("digits", is_bold=True), Words("mlp"))
    assert {"b < c", "d", "digits", "mlp"} <= set(texts(forest()))


def test_words_on_an_axis_have_places_in_the_order_of_their_appearance():
    figure = plain(scatter(y=["b", "a", "b"]), scatter(y=["c", "a", "b"]))
    (panel,) = vocabulary.plot(figure).panels
    assert panel.y.ticks == ((0, "b"), (1, "a"), (2, "c"))
    assert [trace.y for trace in panel.traces] == [(0, 1, 0), (2, 1, 0)]
    assert {"a", "b", "c"} <= set(texts(figure))


def test_a_single_trace_has_a_legend_only_where_it_asks_for_one():
    assert not vocabulary.plot(one(showlegend=None)).panels[0].traces[0].in_legend
    assert vocabulary.plot(one()).panels[0].traces[0].in_legend


@pytest.mark.parametrize(
    ("figure", "place"),
    [
        (plain(go.Bar(x=[1], y=[1])), "data[0].type"),
        (one(fill="tozeroy"), "data[0].fill"),
        (one(mode="lines+text", text=["a", "b", "c"]), "data[0].mode"),
        (one(mode=None), "data[0].mode"),
        (one(line={"color": BLUE, "shape": "spline"}), "data[0].line.shape"),
        (one(line={"color": "rgba(1,2,3,0.5)"}), "data[0].line.color"),
        (one(line={"width": 2}), "data[0].line.color"),
        (one(mode="markers", marker={"symbol": "pentagon"}), "data[0].marker.symbol"),
        (one(mode="markers", marker={"size": [1, 2, 3]}), "data[0].marker.size"),
        (one(error_y={"value": 1, "type": "constant"}), "data[0].error_y.type"),
        (one(error_y={"array": [1, 2]}), "data[0].error_y.array"),
        (one(name="H<sub>2</sub>"), "data[0].name"),
        (one(y=["a", 2, 3]), "data[0].y"),
        (one(y=[1, 2]), "data[0].y"),
        (one(xaxis="x2"), "data[0].xaxis"),
        (one().update_layout(title="above"), "layout.title"),
        (one().update_layout(template="plotly_dark"), "layout.template"),
        (one().update_xaxes(type="log"), "layout.xaxis.type"),
        (one().update_yaxes(tickvals=[1, 2], ticktext=["a"]), "layout.yaxis.tickvals"),
        (one().update_xaxes(domain=[0, 0.5]), "layout.xaxis.domain"),
        (one().add_shape(type="circle", x0=0, x1=1, y0=0, y1=1), "layout.shapes[0].type"),
        (one().add_hrect(y0=0, y1=1, fillcolor=GREY), "layout.shapes[0].line.width"),
        (one().add_annotation(x=1, y=1, text="look"), "layout.annotations[0].showarrow"),
        (one().add_annotation(x=1, y=1, text="look", showarrow=False, textangle=90), "layout.annotations[0].textangle"),
    ],
)
def test_what_paper_has_no_words_for_is_refused_by_its_place(figure, place):
    with pytest.raises(vocabulary.UnknownError, match=re.escape(place)):
        vector.drawn(figure, "svg")


def test_matplotlib_is_imported_only_where_figures_are_drawn():
    code = "import sys, dtcbench.cli, dtcbench.report.build, dtcbench.report.drawings, dtcbench.report.terminal\n"
    code += "sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
