"""What our plotly figures say, as values that another library can draw. Whatever is not known here is refused.

A figure is described once, in plotly, for the page; `vector` draws the same description on paper.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import plotly.graph_objects as go

from dtcbench.analysis.pairing import one_line
from dtcbench.report.plots import (
    Axis,
    Bars,
    Colour,
    Line,
    Note,
    Numbers,
    Panel,
    Plot,
    Points,
    Shape,
    Span,
    Trace,
    Words,
)

DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "x")
"""Each also hollow, with `-open` behind it."""
_MODES = {"lines": (True, False), "markers": (False, True), "lines+markers": (True, True)}
_SCREEN_ONLY = ("text", "hovertemplate", "hoverinfo", "legendgroup")
"""Of a trace: none of it is drawn, as no mode has `text` in it."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_BREAK, _TAG = re.compile(r"<br ?/?>"), re.compile(r"</?[A-Za-z]")
_BOLD = re.compile(r"<b>([^<]*)</b>")
_AXIS = re.compile(r"([xy])axis([0-9]*)")
_REFERENCE = re.compile(r"([xy])([0-9]*)( domain)?")
_PIXELS = 450
"""Of a figure that does not say how high it is: plotly's own."""


class UnknownError(ValueError):
    """A figure says something that paper has no words for: it must be taught, never left out."""


class _Spec:
    """A part of a figure's description: what is left of it in the end is unknown."""

    def __init__(self, place: str, values: Mapping[str, Any]) -> None:
        self.place = place
        self._left = dict(values)

    def __enter__(self) -> _Spec:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._left:
            raise self.unknown(sorted(self._left)[0])

    def unknown(self, name: str, value: object = "") -> UnknownError:
        said = f" {value!r}" if value != "" else ""
        return UnknownError(f"{self.place}.{name}{said}: not known on paper; teach report/vocabulary.py what it is")

    def names(self) -> list[str]:
        return list(self._left)

    def take(self, name: str, default: Any = None) -> Any:
        value = self._left.pop(name, None)
        return default if value is None else value

    def one_of(self, name: str, known: Sequence[Any], default: Any) -> Any:
        value = self.take(name, default)
        if value not in known:
            raise self.unknown(name, value)
        return value

    def part(self, name: str) -> _Spec:
        return _Spec(f"{self.place}.{name}", self.take(name, {}))

    def parts(self, name: str) -> list[_Spec]:
        return [_Spec(f"{self.place}.{name}[{n}]", values) for n, values in enumerate(self.take(name, []))]

    def drop(self, *names: str) -> None:
        """Away with what only a screen shows."""
        for name in names:
            self._left.pop(name, None)

    def text(self, name: str) -> str:
        return self.literal(name, self.take(name, ""))

    def literal(self, name: str, text: str) -> str:
        """Plotly's words as they are meant: it reads tags, of which paper knows the line break alone."""
        lines = _BREAK.split(str(text))
        if any(map(_TAG.search, lines)):
            raise self.unknown(name, text)
        return "\n".join(one_line(html.unescape(line)) for line in lines)

    def colour(self, name: str, default: Colour | None = None) -> Colour:
        value = self.take(name, default)
        if not isinstance(value, str) or not _COLOUR.fullmatch(value):
            raise self.unknown(name, value)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.unknown(name, value)
        return float(value)

    def numbers(self, name: str) -> Numbers:
        return tuple(self._as_number(name, value) for value in self.take(name, ()))

    def _as_number(self, name: str, value: object) -> float:
        if value is None:
            return math.nan
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise self.unknown(name, value)
        return float(value)


def plot(figure: go.Figure) -> Plot:
    """What a figure says. UnknownError names the first thing of it that is not known here."""
    described = figure.to_plotly_json()
    with _Spec("figure", {name: part for name, part in described.items() if part}) as whole:
        traces = [_Spec(f"data[{n}]", values) for n, values in enumerate(whole.take("data", []))]
        with whole.part("layout") as layout:
            layout.drop("margin", "hoverlabel", "legend")  # paper has its own
            with layout.part("template") as template, template.part("data") as defaults:
                if any(one.keys() - {"type"} for kind in defaults.names() for one in defaults.take(kind)):
                    raise layout.unknown("template")
            height = layout.number("height", _PIXELS)
            legend_by_default = layout.one_of("showlegend", (True, False), len(traces) > 1)
            axes = {match[0]: layout.part(match[0]) for match in map(_AXIS.fullmatch, layout.names()) if match}
            panels = _Panels(axes, traces)
            drawn = [panels.shape(spec) for spec in layout.parts("shapes")]
            said = [panels.note(spec) for spec in layout.parts("annotations")]
        for spec in traces:
            panels.trace(spec, legend_by_default)
        return Plot(panels.all(drawn, said), height)


class _Panels:
    """The panels of a figure while it is read: which axes there are, and what stands for words on them."""

    def __init__(self, axes: dict[str, _Spec], traces: Sequence[_Spec]) -> None:
        numbers = {name[5:] for name in axes} or {""}
        self._traces: dict[str, list[Trace]] = {number: [] for number in numbers}
        self._words: dict[str, dict[str, int]] = {}
        """By axis, such as `y2`, the place of each category, in the order of appearance."""
        self._axes: dict[str, Axis] = {}
        self._top: dict[str, float] = {}
        heights: set[float] = set()
        matched: dict[str, str] = {}
        for number in sorted(numbers):
            with axes.get(f"xaxis{number}", _Spec(f"layout.xaxis{number}", {})) as x:
                self._axes[f"x{number}"] = _axis(x, f"y{number}")
                if tuple(x.take("domain", (0.0, 1.0))) != (0.0, 1.0):
                    raise x.unknown("domain")
                matched[f"x{number}"] = x.take("matches", f"x{number}")
                if len(set(matched.values())) > 1:
                    raise x.unknown("matches", "panels that do not share x")
            with axes.get(f"yaxis{number}", _Spec(f"layout.yaxis{number}", {})) as y:
                self._axes[f"y{number}"] = _axis(y, f"x{number}")
                bottom, self._top[number] = y.take("domain", (0.0, 1.0))
                heights.add(round(self._top[number] - bottom, 6))
                if len(heights) > 1:
                    raise y.unknown("domain")

    def all(self, shapes: Sequence[tuple[str, Shape]], notes: Sequence[tuple[str, Note]]) -> tuple[Panel, ...]:
        return tuple(
            Panel(
                self._with_words(f"x{number}"),
                self._with_words(f"y{number}"),
                tuple(self._traces[number]),
                tuple(shape for of, shape in shapes if of == number),
                tuple(note for of, note in notes if of == number),
            )
            for number in sorted(self._top, key=self._top.__getitem__, reverse=True)
        )

    def trace(self, spec: _Spec, legend_by_default: bool) -> None:
        with spec as trace:
            trace.one_of("type", ("scatter",), "scatter")
            trace.drop(*_SCREEN_ONLY)
            has_line, has_points = _MODES[trace.one_of("mode", tuple(_MODES), "")]
            x_axis, y_axis = trace.take("xaxis", "x"), trace.take("yaxis", "y")
            number = y_axis[1:]
            if x_axis[1:] != number or number not in self._traces:
                raise trace.unknown("xaxis", x_axis)
            x, y = self._places(trace, "x", x_axis), self._places(trace, "y", y_axis)
            with trace.part("line") as part:
                line = _line(part) if has_line or part.names() else None
            with trace.part("marker") as part:
                points = _points(part, len(x), line) if has_points or part.names() else None
            colour = points.colours[0] if points and points.colours else line.colour if line else None
            made = Trace(
                x=x,
                y=y,
                line=line if has_line else None,
                points=points if has_points else None,
                bars_x=_bars(trace, "error_x", len(x), colour),
                bars_y=_bars(trace, "error_y", len(y), colour),
                name=trace.text("name"),
                in_legend=trace.one_of("showlegend", (True, False), legend_by_default),
                opacity=trace.number("opacity", 1.0),
            )
            if len(x) != len(y):
                raise trace.unknown("y", f"{len(y)} values for {len(x)} of x")
            self._traces[number].append(made)

    def shape(self, spec: _Spec) -> tuple[str, Shape]:
        with spec as shape:
            is_line = shape.one_of("type", ("line", "rect"), "") == "line"
            number, x, y = self._spans(shape, "x0", "x1", "y0", "y1")
            with shape.part("line") as part:
                if is_line:
                    line = _line(part)
                elif part.number("width", 2) != 0:
                    raise part.unknown("width", "a rectangle with an edge")
            fill = None if is_line else shape.colour("fillcolor")
            opacity = shape.number("opacity", 1.0)
            return number, Shape(x, y, line if is_line else None, fill, opacity)

    def note(self, spec: _Spec) -> tuple[str, Note]:
        with spec as note:
            note.one_of("showarrow", (False,), True)
            note.one_of("align", ("left",), "left")
            note.drop("font")  # on paper all notes have one size
            number, x, y = self._spans(note, "x", "x", "y", "y")
            side_x = note.one_of("xanchor", ("left", "center", "right"), "center")
            side_y = note.one_of("yanchor", ("top", "middle", "bottom"), "middle")
            lines = tuple(_words(note, line) for line in _BREAK.split(note.take("text", "")))
            return number, Note(x, y, lines, side_x, side_y)

    def _spans(self, spec: _Spec, x0: str, x1: str, y0: str, y1: str) -> tuple[str, Span, Span]:
        """Which panel something belongs to, and where in it it lies."""
        of: set[str] = set()
        spans: dict[str, Span] = {}
        for letter, begin, end in (("x", x0, x1), ("y", y0, y1)):
            reference = spec.take(f"{letter}ref", letter)
            is_of_panel = True
            if reference != "paper" or len(self._top) > 1:
                match = _REFERENCE.fullmatch(reference)
                if not match or match[1] != letter or match[2] not in self._top:
                    raise spec.unknown(f"{letter}ref", reference)
                of.add(match[2])
                is_of_panel = bool(match[3])
            first = spec.number(begin)
            spans[letter] = Span(first, first if begin == end else spec.number(end), is_of_panel)
        if len(of or self._top) > 1:
            raise spec.unknown("xref", "axes of two panels")
        return (of or set(self._top)).pop(), spans["x"], spans["y"]

    def _places(self, trace: _Spec, name: str, axis: str) -> Numbers:
        """The values along an axis; of words, their places in the order of their first appearance."""
        values = list(trace.take(name, ()))
        if not any(isinstance(value, str) for value in values):
            return _Spec(trace.place, {name: values}).numbers(name)
        words = self._words.setdefault(axis, {})
        if any(not isinstance(value, str) for value in values):
            raise trace.unknown(name, "words among numbers")
        return tuple(float(words.setdefault(trace.literal(name, value), len(words))) for value in values)

    def _with_words(self, axis: str) -> Axis:
        words = self._words.get(axis)
        if words is None:
            return self._axes[axis]
        return replace(self._axes[axis], ticks=tuple((float(place), word) for word, place in words.items()))


def _words(note: _Spec, line: str) -> Words:
    """A line of a note, all of which may be bold."""
    bold = _BOLD.fullmatch(line)
    return Words(note.literal("text", bold[1] if bold else line), bold is not None)


def _axis(spec: _Spec, across: str) -> Axis:
    spec.one_of("anchor", (across,), across)
    spec.one_of("type", ("linear", "category"), "linear")
    with spec.part("title") as part:
        title = part.text("text")
    places, words = spec.numbers("tickvals"), spec.take("ticktext")
    if bool(places) != bool(words) or (words is not None and len(words) != len(places)):
        raise spec.unknown("tickvals", "places without a word each")
    ticks = tuple((place, spec.literal("ticktext", word)) for place, word in zip(places, words or (), strict=True))
    ends = spec.numbers("range")
    if len(ends) not in (0, 2):
        raise spec.unknown("range", ends)
    return Axis(
        title=title,
        ticks=ticks or None,
        range=(ends[0], ends[1]) if ends else None,
        from_zero=spec.one_of("rangemode", ("normal", "tozero"), "normal") == "tozero",
        is_reversed=spec.one_of("autorange", (True, "reversed"), True) == "reversed",
        has_labels=spec.one_of("showticklabels", (True, False), True),
        has_grid=spec.one_of("showgrid", (True, False), True),
    )


def _line(spec: _Spec) -> Line:
    return Line(
        colour=spec.colour("color"),
        width=spec.number("width", 2),
        dash=spec.one_of("dash", DASHES, "solid"),
        is_step=spec.one_of("shape", ("linear", "hv"), "linear") == "hv",
    )


def _points(spec: _Spec, count: int, line: Line | None) -> Points:
    colours = _of_each(spec, "color", count, line.colour if line else None)
    symbols = _of_each(spec, "symbol", count, "circle")
    for symbol in symbols:
        if symbol.removesuffix("-open") not in SYMBOLS:
            raise spec.unknown("symbol", symbol)
    for colour in colours:
        if not _COLOUR.fullmatch(colour):
            raise spec.unknown("color", colour)
    with spec.part("line") as edge:
        edge.one_of("color", colours, next(iter(colours), None))
        width = edge.number("width", 1)
    return Points(colours, symbols, spec.number("size", 6), width)


def _of_each(spec: _Spec, name: str, count: int, default: str | None) -> tuple[str, ...]:
    """One value for every point, whether one stands for all or each has its own."""
    value = spec.take(name, default)
    if isinstance(value, str):
        return (value,) * max(count, 1)
    values = tuple(value or ())
    if len(values) != count or not all(isinstance(value, str) for value in values):
        raise spec.unknown(name, value)
    return values


def _bars(trace: _Spec, name: str, count: int, colour: Colour | None) -> Bars | None:
    with trace.part(name) as spec:
        if not spec.names():
            return None
        spec.one_of("type", ("data",), "data")
        above = spec.numbers("array")
        below = spec.numbers("arrayminus") or above
        if not len(above) == len(below) == count:
            raise spec.unknown("array", f"{len(above)} and {len(below)} values for {count} points")
        return Bars(below, above, spec.colour("color", colour))
