"""Figures for papers: what the page shows, as PDF and SVG for one column of print.

The same figure gives the same bytes: no date, no versions, no settings of whoever runs it, the font that comes with
matplotlib. Text stays text.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Transform, blended_transform_factory

from dtcbench.report import vocabulary
from dtcbench.report.plots import Axis, Bars, Form, Line, Note, Panel, Plot, Points, Shape, Span, Trace

WIDTH = 3.5
"""Inches: one column of a page in two."""
_POINTS_PER_PIXEL = 0.5
"""Of lines and markers: a figure of the page is about 460 pixels wide when all of it is shrunk to a column."""
_AROUND_PX = 64
"""Of a figure's height, what the page keeps for its legend: on paper that is as high as it must be."""
_TEXT, _SMALL = 8.0, 7.0
"""Points."""
_GREY, _FAINT = "#808080", "#dddddd"
_MOST_COLUMNS = 3
_LONGEST_NAME = 50
"""Characters in a line of the legend."""
_LONGEST_NOTE = 58
"""Characters in a line of a note; a longer one is set smaller."""
_LINE_HEIGHT = 1.25
"""Of notes, in sizes of their letters."""
_MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "cross": "P",
    "star": "*",
    "hexagon": "H",
    "x": "X",
}
_DASHES: dict[str, Any] = {"solid": "-", "dash": (0, (4, 2)), "dot": (0, (1, 1.5)), "dashdot": (0, (4, 1.5, 1, 1.5))}
_SIDES = {"left": "left", "center": "center", "right": "right", "bottom": "bottom", "middle": "center", "top": "top"}
_APART = {"left": 1.5, "center": 0.0, "right": -1.5, "bottom": 1.5, "middle": 0.0, "top": -1.5}
"""Points between a place and the words that lie on one side of it."""
_SETTINGS: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": _GREY,
    "axes.formatter.useoffset": False,
    "axes.labelsize": _TEXT,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": ["DejaVu Sans"],
    "font.size": _TEXT,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "dtcbench",
    "text.parse_math": False,
    "xtick.color": _GREY,
    "xtick.labelcolor": "black",
    "xtick.labelsize": _SMALL,
    "ytick.color": _GREY,
    "ytick.labelcolor": "black",
    "ytick.labelsize": _SMALL,
}
_UNDATED: dict[Form, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def drawn(figure: go.Figure, form: Form) -> bytes:
    """The figure as a file. UnknownError where it holds anything that paper has no words for."""
    plot = vocabulary.plot(figure)
    content = io.BytesIO()
    with _settings():
        _figure(plot).savefig(content, format=form, metadata=_UNDATED[form])
    return content.getvalue()


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever a user's matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Letters that the font lacks are empty boxes in the PDF; in the SVG the reader's fonts have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def _figure(plot: Plot) -> Figure:
    figure = Figure(figsize=(WIDTH, 1.0), layout="constrained")
    legend = _legend(figure, [trace for panel in plot.panels for trace in panel.traces if trace.in_legend])
    figure.set_figheight((plot.height - _AROUND_PX) * _POINTS_PER_PIXEL / 72 + legend)
    figure.get_layout_engine().set(h_pad=0.02, w_pad=0.02, hspace=0.02)  # type: ignore[union-attr, call-arg]
    all_axes = figure.subplots(len(plot.panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, plot.panels, strict=True):
        _draw(axes, panel)
    for axes, panel in zip(all_axes, plot.panels, strict=True):  # as far as all of them reach along x
        axes.autoscale_view()
        _set_x(axes, panel.x)
        _set_y(axes, panel.y)
    figure.align_ylabels(all_axes)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    if panel.x.has_grid:
        axes.grid(axis="x", color=_FAINT, linewidth=0.5)
    if panel.y.has_grid:
        axes.grid(axis="y", color=_FAINT, linewidth=0.5)
    for shape in panel.shapes:
        _draw_shape(axes, shape)
    for trace in panel.traces:
        _draw_trace(axes, trace)
    for note in panel.notes:
        _draw_note(axes, note)


def _draw_trace(axes: Axes, trace: Trace) -> None:
    look: dict[str, Any] = {"alpha": trace.opacity}
    if trace.line is not None:
        axes.add_line(Line2D(trace.x, trace.y, drawstyle=_drawstyle(trace.line), **_stroke(trace.line), **look))
    if trace.bars_x is not None:
        _draw_bars(axes, trace, trace.bars_x, "x")
    if trace.bars_y is not None:
        _draw_bars(axes, trace, trace.bars_y, "y")
    if trace.points is not None:
        looks = list(zip(trace.points.symbols, trace.points.colours, strict=True))
        for kind in dict.fromkeys(looks):
            chosen = [place for place, other in enumerate(looks[: len(trace.x)]) if other == kind]
            x, y = [trace.x[place] for place in chosen], [trace.y[place] for place in chosen]
            axes.add_line(Line2D(x, y, linestyle="none", zorder=3, **_marker(trace.points, kind), **look))


def _draw_bars(axes: Axes, trace: Trace, bars: Bars, along: Literal["x", "y"]) -> None:
    x: list[float] = []
    y: list[float] = []
    for place in zip(trace.x, trace.y, bars.below, bars.above, strict=True):
        if all(map(math.isfinite, place)):  # no interval, no bar
            (at_x, at_y, below, above), gap = place, math.nan
            x += [at_x - below, at_x + above, gap] if along == "x" else [at_x, at_x, gap]
            y += [at_y - below, at_y + above, gap] if along == "y" else [at_y, at_y, gap]
    cap: dict[str, Any] = {"marker": "|" if along == "x" else "_", "markersize": 3.6, "markeredgewidth": 0.9}
    axes.add_line(Line2D(x, y, color=bars.colour, linewidth=0.9, alpha=trace.opacity, **cap))


def _draw_shape(axes: Axes, shape: Shape) -> None:
    place, x, y = _transform(axes, shape.x, shape.y), shape.x, shape.y
    look: dict[str, Any] = {"transform": place, "alpha": shape.opacity}
    if shape.line is not None:
        axes.add_artist(Line2D([x.begin, x.end], [y.begin, y.end], zorder=1, **_stroke(shape.line), **look))
    else:
        corner, width, height = (x.begin, y.begin), x.end - x.begin, y.end - y.begin
        axes.add_artist(Rectangle(corner, width, height, facecolor=shape.fill, linewidth=0, zorder=0.5, **look))
    ends = [(x.begin, y.begin), (x.end, y.end)]
    axes.update_datalim(ends, updatex=not x.is_of_panel, updatey=not y.is_of_panel)


def _draw_note(axes: Axes, note: Note) -> None:
    apart_x, apart_y = _APART[note.side_x], _APART[note.side_y]
    above = {"top": 0.0, "middle": (len(note.lines) - 1) / 2, "bottom": len(note.lines) - 1.0}[note.side_y]
    for number, line in enumerate(note.lines):
        axes.annotate(
            line.text,
            xy=(note.x.begin, note.y.begin),
            xycoords=_transform(axes, note.x, note.y),
            xytext=(apart_x, apart_y + (above - number) * _LINE_HEIGHT * _SMALL),
            textcoords="offset points",
            ha=_SIDES[note.side_x],
            va=_SIDES[note.side_y],
            fontsize=_SMALL * min(1.0, _LONGEST_NOTE / max(len(line.text), 1)),
            fontweight="bold" if line.is_bold else "normal",
        ).set_in_layout(False)


def _transform(axes: Axes, x: Span, y: Span) -> Transform:
    """From the panel where a span is of it, else from the numbers of the axis."""
    over, data = axes.transAxes, axes.transData
    return blended_transform_factory(over if x.is_of_panel else data, over if y.is_of_panel else data)


def _stroke(line: Line) -> dict[str, Any]:
    return {"color": line.colour, "linewidth": line.width * _POINTS_PER_PIXEL, "linestyle": _DASHES[line.dash]}


def _drawstyle(line: Line) -> Literal["default", "steps-post"]:
    return "steps-post" if line.is_step else "default"


def _marker(points: Points, kind: tuple[str, str]) -> dict[str, Any]:
    """How the points of one kind, a symbol and a colour, are marked."""
    symbol, colour = kind
    return {
        "marker": _MARKERS[symbol.removesuffix("-open")],
        "markersize": points.size * _POINTS_PER_PIXEL,
        "markeredgewidth": points.edge * _POINTS_PER_PIXEL,
        "markeredgecolor": colour,
        "markerfacecolor": "none" if symbol.endswith("-open") else colour,
    }


def _set_x(axes: Axes, axis: Axis) -> None:
    axes.set_xlabel(axis.title)
    axes.tick_params(axis="x", labelbottom=axis.has_labels)
    if axis.ticks is not None:
        axes.set_xticks(*zip(*axis.ticks, strict=True))
    if axis.range is not None:
        axes.set_xlim(*axis.range)
    if axis.from_zero:
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    if axis.is_reversed:
        axes.invert_xaxis()


def _set_y(axes: Axes, axis: Axis) -> None:
    axes.set_ylabel(axis.title)
    axes.tick_params(axis="y", labelleft=axis.has_labels, left=axis.has_labels)
    if axis.ticks is not None:
        axes.set_yticks(*zip(*axis.ticks, strict=True))
    if axis.range is not None:
        axes.set_ylim(*axis.range)
    if axis.from_zero:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if axis.is_reversed:
        axes.invert_yaxis()


def _legend(figure: Figure, entries: Sequence[Trace]) -> float:
    """Puts the legend above all panels, in as many columns as there is room for; its height in inches."""
    if not entries:
        return 0.0
    renderer = FigureCanvasAgg(figure).get_renderer()
    for columns in range(min(_MOST_COLUMNS, len(entries)), 0, -1):
        legend = figure.legend(
            handles=[_handle(trace) for trace in entries],
            labels=["a name"] * len(entries),  # matplotlib leaves out a name that begins with an underscore
            loc="outside upper center",
            ncols=columns,
            frameon=False,
            fontsize=_SMALL,
            handlelength=2.4,
            columnspacing=1.2,
            borderpad=0.1,
            labelspacing=0.35,
        )
        for text, trace in zip(legend.get_texts(), entries, strict=True):
            text.set_text("\n".join(textwrap.wrap(trace.name, _LONGEST_NAME, break_on_hyphens=False)))
        size = legend.get_window_extent(renderer)
        if columns == 1 or size.width <= WIDTH * figure.dpi:
            break
        legend.remove()
    return float(size.height / figure.dpi)


def _handle(trace: Trace) -> Line2D:
    """What stands for a trace in the legend: its line with its first point on it."""
    look: dict[str, Any] = {"linestyle": "none"} if trace.line is None else _stroke(trace.line)
    if trace.points is not None:
        look |= _marker(trace.points, (trace.points.symbols[0], trace.points.colours[0]))
    return Line2D([], [], **look, alpha=trace.opacity)
