"""Figures for papers: what the page shows, as PDF and SVG for one column of print.

A figure is described once, in plotly; here matplotlib draws the same description. The same figure gives the same bytes:
no date, no versions, no settings of whoever runs it, the font that comes with matplotlib. Text stays text.
"""

from __future__ import annotations

import html
import io
import logging
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Literal

import plotly.graph_objects as go

from dtcbench.report.drawings import Form
from dtcbench.text import one_line

_log = logging.getLogger("matplotlib")
_level = _log.level
_log.setLevel(logging.ERROR)  # it warns of a HOME that cannot be written to, and of its own slow start
import matplotlib  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from matplotlib.transforms import Transform, blended_transform_factory  # noqa: E402

_log.setLevel(_level)

WIDTH = 3.5
"""Inches: one column of a page in two."""
_POINTS_PER_PIXEL = 0.5
"""Of lines and markers: a figure of the page is about 460 pixels wide when all of it is shrunk to a column."""
_AROUND_PX = 64
"""Of a figure's height, what the page keeps for its legend: on paper that is as high as it must be."""
_TEXT, _SMALL = 8.0, 7.0
"""Points."""
_LINE_HEIGHT = 1.25
"""Of notes, in sizes of their letters."""
_APART = 1.5
"""Points between a place and the words that lie on one side of it."""
_GREY, _FAINT = "#808080", "#dddddd"
_MOST_COLUMNS, _LONGEST_NAME, _LONGEST_NOTE = 3, 50, 58
"""Of the legend, and characters in a line of it; a longer line of a note is set smaller."""
_MODES = {"lines": (True, False), "markers": (False, True), "lines+markers": (True, True)}
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
_DASHES: dict[str | None, Any] = {None: "-", "solid": "-", "dash": (0, (4, 2)), "dot": (0, (1, 1.5))}
_STEPS: dict[str | None, Any] = {None: "default", "hv": "steps-post"}
_SHIFTS = {"left": 1, "center": 0, "right": -1, "bottom": 1, "middle": 0, "top": -1}
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
    """The figure as a file. ValueError where it holds a kind of trace, line or point that paper does not know yet."""
    content = io.BytesIO()
    with _settings():
        on_paper(figure).savefig(content, format=form, metadata=_UNDATED[form])
    return content.getvalue()


def on_paper(figure: go.Figure) -> Figure:
    """The figure as matplotlib draws it, a panel for each of its y axes."""
    drawing = Figure(figsize=(WIDTH, 1.0), layout="constrained")
    several = len(figure.data) > 1 if figure.layout.showlegend is None else figure.layout.showlegend
    legend = _legend(drawing, [t for t in figure.data if (several if t.showlegend is None else t.showlegend)])
    drawing.set_figheight((figure.layout.height - _AROUND_PX) * _POINTS_PER_PIXEL / 72 + legend)
    drawing.get_layout_engine().set(h_pad=0.02, w_pad=0.02, hspace=0.02)  # type: ignore[union-attr, call-arg]
    numbers = _panels(figure)
    all_axes = drawing.subplots(len(numbers), 1, sharex=True, squeeze=False)[:, 0]
    for axes, number in zip(all_axes, numbers, strict=True):
        _draw(axes, figure, number)
    for axes, number in zip(all_axes, numbers, strict=True):  # as far as all of them reach along x
        axes.autoscale_view()
        _set_axis(axes, "x", figure.layout[f"xaxis{number}"])
        _set_axis(axes, "y", figure.layout[f"yaxis{number}"])
    drawing.align_ylabels(all_axes)
    return drawing


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever a user's matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Letters that the font lacks are empty boxes in the PDF; in the SVG the reader's fonts have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def _panels(figure: go.Figure) -> list[str]:
    """The numbers of the figure's pairs of axes (the first is empty), from top to bottom."""
    tops = {axis.plotly_name.removeprefix("yaxis"): axis.domain or (0, 1) for axis in figure.select_yaxes()}
    return sorted(tops, key=lambda number: -tops[number][1])


def _draw(axes: Axes, figure: go.Figure, number: str) -> None:
    for along in ("x", "y"):
        if figure.layout[f"{along}axis{number}"].showgrid is not False:
            axes.grid(axis=along, color=_FAINT, linewidth=0.5)
    for shape in figure.layout.shapes:
        if _is_of(shape, number):
            _draw_shape(axes, shape)
    for trace in figure.data:
        if (trace.yaxis or "y") == f"y{number}":
            _draw_trace(axes, trace)
    for note in figure.layout.annotations:
        if _is_of(note, number):
            _draw_note(axes, note)


def _is_of(part: Any, number: str) -> bool:
    """Whether a shape or a note belongs to this pair of axes: one of the two names it."""
    return f"x{number}" in (part.xref or "x").split() or f"y{number}" in (part.yref or "y").split()


def _draw_trace(axes: Axes, trace: Any) -> None:
    has_line, has_points = _known(_MODES, trace.mode, trace)
    x, y = _numbers(trace.x), _numbers(trace.y)
    look: dict[str, Any] = {"alpha": 1.0 if trace.opacity is None else trace.opacity}
    if has_line:
        steps = _known(_STEPS, trace.line.shape, trace)
        axes.add_line(Line2D(x, y, drawstyle=steps, **_stroke(trace), **look))
    for along, bars in (("x", trace.error_x), ("y", trace.error_y)):
        if bars.array is not None:
            axes.add_line(_bars(x, y, bars, along, bars.color or _colour(trace)))
    if has_points:
        symbols = [trace.marker.symbol] * len(x) if isinstance(trace.marker.symbol, str) else list(trace.marker.symbol)
        places = sorted(range(len(x)), key=symbols.__getitem__)
        for symbol, alike in groupby(places, key=symbols.__getitem__):
            chosen = list(alike)
            at_x, at_y = [x[place] for place in chosen], [y[place] for place in chosen]
            axes.add_line(Line2D(at_x, at_y, linestyle="none", zorder=3, **_marker(trace, symbol), **look))


def _bars(x: Sequence[float], y: Sequence[float], bars: Any, along: str, colour: str) -> Line2D:
    """Intervals as lines with caps, a gap between any two; a point without an interval has none."""
    xs: list[float] = []
    ys: list[float] = []
    above = _numbers(bars.array)
    for at_x, at_y, up, down in zip(x, y, above, _numbers(bars.arrayminus or above), strict=True):
        if all(map(math.isfinite, (at_x, at_y, up, down))):
            xs += [at_x - down, at_x + up, math.nan] if along == "x" else [at_x, at_x, math.nan]
            ys += [at_y - down, at_y + up, math.nan] if along == "y" else [at_y, at_y, math.nan]
    cap = "|" if along == "x" else "_"
    return Line2D(xs, ys, color=colour, linewidth=0.9, marker=cap, markersize=3.6, markeredgewidth=0.9)


def _draw_shape(axes: Axes, shape: Any) -> None:
    place, corner, far = _transform(axes, shape), (shape.x0, shape.y0), (shape.x1, shape.y1)
    if shape.type == "line":
        artist: Any = Line2D((shape.x0, shape.x1), (shape.y0, shape.y1), zorder=1, transform=place, **_stroke(shape))
    elif shape.type == "rect":
        size = shape.x1 - shape.x0, shape.y1 - shape.y0
        artist = Rectangle(corner, *size, facecolor=shape.fillcolor, linewidth=0, zorder=0.5, transform=place)
        artist.set_alpha(shape.opacity)
    else:
        raise ValueError(f"a shape {shape.type!r}: paper does not know it yet; teach report/vector.py")
    axes.add_artist(artist)
    axes.update_datalim([corner, far], updatex=not _is_of_panel(shape.xref), updatey=not _is_of_panel(shape.yref))


def _draw_note(axes: Axes, note: Any) -> None:
    """The lines of a note; one that is all in `<b>` is bold."""
    lines = note.text.split("<br>")
    shift_x, shift_y = _SHIFTS[note.xanchor or "center"], _SHIFTS[note.yanchor or "middle"]
    above = (len(lines) - 1) * (1 + shift_y) / 2
    for number, line in enumerate(lines):
        text, is_bold = _words(line.removeprefix("<b>").removesuffix("</b>")), line.startswith("<b>")
        axes.annotate(
            text,
            xy=(note.x, note.y),
            xycoords=_transform(axes, note),
            xytext=(shift_x * _APART, shift_y * _APART + (above - number) * _LINE_HEIGHT * _SMALL),
            textcoords="offset points",
            ha=note.xanchor or "center",
            va={"bottom": "bottom", "top": "top"}.get(note.yanchor, "center"),
            fontsize=_SMALL * min(1.0, _LONGEST_NOTE / max(len(text), 1)),
            fontweight="bold" if is_bold else "normal",
        ).set_in_layout(False)


def _transform(axes: Axes, part: Any) -> Transform:
    """From the panel where a shape or note is of it, else from the numbers of the axis."""
    over, data = axes.transAxes, axes.transData
    return blended_transform_factory(
        over if _is_of_panel(part.xref) else data, over if _is_of_panel(part.yref) else data
    )


def _is_of_panel(reference: str | None) -> bool:
    return reference is not None and (reference == "paper" or reference.endswith(" domain"))


def _stroke(part: Any) -> dict[str, Any]:
    """How the line of a trace or shape looks."""
    width = (2 if part.line.width is None else part.line.width) * _POINTS_PER_PIXEL
    return {"color": part.line.color, "linewidth": width, "linestyle": _known(_DASHES, part.line.dash, part)}


def _marker(trace: Any, symbol: str) -> dict[str, Any]:
    colour, edge = _colour(trace), trace.marker.line.width
    return {
        "marker": _known(_MARKERS, symbol.removesuffix("-open"), trace),
        "markersize": (trace.marker.size or 6) * _POINTS_PER_PIXEL,
        "markeredgewidth": (1 if edge is None else edge) * _POINTS_PER_PIXEL,
        "markeredgecolor": colour,
        "markerfacecolor": "none" if symbol.endswith("-open") else colour,
    }


def _colour(trace: Any) -> str:
    colour: str = trace.marker.color or trace.line.color
    return colour


def _set_axis(axes: Axes, along: Literal["x", "y"], axis: Any) -> None:
    axes.set(**{f"{along}label": _words(axis.title.text or "")})
    labels = axis.showticklabels is not False
    sides = {"labelbottom": labels} if along == "x" else {"labelleft": labels, "left": labels}
    axes.tick_params(axis=along, **sides)
    if axis.range is not None:
        axes.set(**{f"{along}lim": tuple(axis.range)})
    if axis.rangemode == "tozero":
        low, high = axes.get_xlim() if along == "x" else axes.get_ylim()
        axes.set(**{f"{along}lim": (min(0.0, low), high)})


def _legend(drawing: Figure, traces: Sequence[Any]) -> float:
    """Puts the legend above all panels, in as many columns as there is room for; its height in inches."""
    if not traces:
        return 0.0
    renderer = FigureCanvasAgg(drawing).get_renderer()
    for columns in range(min(_MOST_COLUMNS, len(traces)), 0, -1):
        legend = drawing.legend(
            handles=[_handle(trace) for trace in traces],
            labels=["a name"] * len(traces),  # matplotlib leaves out a name that begins with an underscore
            loc="outside upper center",
            ncols=columns,
            frameon=False,
            fontsize=_SMALL,
            handlelength=2.4,
            columnspacing=1.2,
            borderpad=0.1,
            labelspacing=0.35,
        )
        for text, trace in zip(legend.get_texts(), traces, strict=True):
            text.set_text("\n".join(textwrap.wrap(_words(trace.name), _LONGEST_NAME, break_on_hyphens=False)))
        size = legend.get_window_extent(renderer)
        if columns == 1 or size.width <= WIDTH * drawing.dpi:
            break
        legend.remove()
    return float(size.height / drawing.dpi)


def _handle(trace: Any) -> Line2D:
    """What stands for a trace in the legend: its line with its first point on it."""
    has_line, has_points = _known(_MODES, trace.mode, trace)
    look: dict[str, Any] = _stroke(trace) if has_line else {"linestyle": "none"}
    if has_points:
        symbol = trace.marker.symbol
        look |= _marker(trace, symbol if isinstance(symbol, str) else symbol[0])
    return Line2D([], [], **look, alpha=trace.opacity)


def _numbers(values: Iterable[Any]) -> list[float]:
    """NaN where plotly has nothing."""
    return [math.nan if value is None else float(value) for value in values]


def _words(text: str) -> str:
    """Plotly's words as they are meant."""
    return one_line(html.unescape(text))


def _known(choice: dict[Any, Any], value: Any, part: Any) -> Any:
    """What paper has for a word of plotly's; ValueError where it has nothing: it must be taught, never left out."""
    if value not in choice:
        raise ValueError(f"{part.plotly_name} with {value!r}: paper does not know it yet; teach report/vector.py")
    return choice[value]
