"""What figures are made of: Vega-Lite, described as its JSON. A figure is panels above one another under one legend.

Widths and the colours of text and grid are its surroundings': `paper.py` for print, the page's script on a page. It
uses no opacity and no bold letters: in a PDF the order of their names is drawn by lot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito, Color Universal Design, 2008; black and yellow vanish on dark and on white."""
MARKERS = (
    *("circle", "square", "diamond", "triangle-up", "cross", "triangle-down"),
    "M0,-1L.24,-.32L.95,-.31L.38,.12L.59,.81L0,.4L-.59,.81L-.38,.12L-.95,-.31L-.24,-.32Z",
)
"""The last is a star. One more than colours, so that 42 methods pass before a pair of both repeats."""
CROSSED = "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z"
"""The marker of dense, which has no other's."""
NEUTRAL = "#808080"
"""Dense and the Pareto front; readable on light and dark."""
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
Spec = dict[str, Any]
LINEAR: Spec = {"zero": False, "nice": False, "padding": 8}
FROM_ZERO: Spec = {"zero": True}
_DASHES = {"solid": [1, 0], "dash": [6, 3], "dot": [2, 3]}
_FITS = "min(11, 2 * width / length(datum.text))"
"""The size of letters, half as wide as high."""
_WORDS = {"field": "words", "type": "nominal"}
_EXTENT_PX, _TITLE_PX, _OVER_PX = 36, 18, 8
"""Of the labels of a y axis; of its title; of the half of an x axis' last label."""
_DIGITS = 9
"""Behind the point: a number's last digit differs from processor to processor, and what is drawn must not."""

Dash = Literal["solid", "dash", "dot"]


@dataclass(frozen=True)
class Style:
    """How one method looks in every figure."""

    colour: str
    marker: str
    """A shape's name, or its outline as SVG has paths."""


@dataclass(frozen=True)
class Axis:
    """One axis; an empty title leaves its grid alone."""

    title: str
    scale: Spec = field(default_factory=lambda: LINEAR)
    labels: Spec = field(default_factory=dict)
    """Where its labels stand and what they say, as Vega-Lite's properties of an axis."""

    @property
    def extent_px(self) -> int:
        """What it takes beside a panel."""
        extent: int = self.labels.get("maxExtent", _EXTENT_PX)
        return extent + (_TITLE_PX if self.title else 0)

    def encoding(self, name: str) -> Spec:
        """Of the points' field of this name."""
        bare = {} if self.title else {"labels": False, "ticks": False, "domain": False}
        axis = {"title": self.title or None, **bare, **self.labels}
        return {"field": name, "type": "quantitative", "scale": self.scale, "axis": axis}


@dataclass(frozen=True)
class Panel:
    """Some points against the figure's x axis, over what lies behind them."""

    points: Sequence[Spec]
    y: Axis
    behind: Sequence[Spec] = ()
    height: int = 240


def number(value: float | None) -> float | None:
    """A number as figures have it; None for one that is missing."""
    return None if value is None or not math.isfinite(value) else round(float(value), _DIGITS)


def point(
    name: str,
    x: float | None,
    y: float | None,
    *,
    words: str = "",
    reach: tuple[float, float] = (math.nan, math.nan),
    along: Literal["x", "y"] = "y",
    dash: Dash = "solid",
    width: float = 2,
    hollow: bool = False,
    marked: bool = True,
    joined: bool = True,
) -> Spec:
    """One point of the line that the legend calls `name`; without a y the line breaks there.

    Parameters
    ----------
    words : what a reader sees who points at it
    reach : the ends of its interval, along one of the axes
    marked, joined : whether it has a marker, and whether it is of a line
    """
    low, high = map(number, reach)
    has_ends = low is not None and high is not None
    ends = {f"{along}_low": low, f"{along}_high": high} if has_ends else {}
    what = {"name": name, "x": number(x), "y": number(y), "words": words}
    return what | {"dash": dash, "width": width, "hollow": hollow, "marked": marked, "joined": joined} | ends


def figure(panels: Sequence[Panel], x: Axis, looks: Mapping[str, Style]) -> Spec:
    """The panels that have anything, from top to bottom, or the first one if none has.

    The legend has the names of `looks` that any point has, in their order. `usermeta` tells those who give the figure
    a width how much of that lies beside the panels, and how long its longest name is.
    """
    panels = [panel for panel in panels if panel.points or panel.behind] or panels[:1]
    used = {point["name"] for panel in panels for point in panel.points}
    names = [name for name in looks if name in used]
    colours, shapes = [looks[name].colour for name in names], [looks[name].marker for name in names]
    nameless = {} if names else {"legend": None}  # an empty legend has no end
    shared = {
        "color": {"field": "name", "type": "nominal", "scale": {"domain": names, "range": colours}, **nameless},
        "strokeDash": {
            "field": "dash",
            "type": "nominal",
            "scale": {"domain": list(_DASHES), "range": list(_DASHES.values())},
            "legend": None,
        },
    }
    shape = {"field": "name", "type": "nominal", "scale": {"domain": names, "range": shapes}}
    last = len(panels) - 1
    return {
        "$schema": SCHEMA,
        "usermeta": {
            "beside_px": max(panel.y.extent_px for panel in panels) + _OVER_PX,
            "longest_name": max(map(len, names), default=0),
        },
        "vconcat": [
            {
                "height": panel.height,
                "layer": [
                    *panel.behind,
                    {
                        "data": {"values": list(panel.points)},
                        "encoding": {
                            "x": (x if place == last else Axis("", x.scale)).encoding("x"),
                            "y": panel.y.encoding("y"),
                            **shared,
                        },
                        "layer": _marks(panel.points, shape),
                    },
                ],
            }
            for place, panel in enumerate(panels)
        ],
        "resolve": {"scale": {"x": "shared", "color": "shared", "shape": "shared", "strokeDash": "shared"}},
        "config": {
            "axis": {"titleFontWeight": "normal", "tickCount": 6},
            "axisY": {"minExtent": _EXTENT_PX, "maxExtent": _EXTENT_PX, "titlePadding": 8},
            "concat": {"spacing": 12},
            "legend": {"orient": "top", "title": None, "symbolStrokeWidth": 2, "symbolSize": 60},
            "view": {"stroke": None},
        },
    }


def _marks(points: Sequence[Spec], shape: Spec) -> list[Spec]:
    """Lines, intervals over them, and markers on top, as far as any point asks for them."""
    layers: list[Spec] = [] if points else [{"mark": "point"}]  # for the axes
    if any(point["joined"] for point in points):
        width = {"field": "width", "type": "quantitative", "scale": None, "legend": None}
        layers.append(
            {
                "transform": [{"filter": "datum.joined"}],
                "mark": "line",
                "encoding": {"strokeWidth": width, "order": {"field": "x"}},
            }
        )
    for along in ("x", "y"):
        if any(f"{along}_low" in point for point in points):
            ends = {along: {"field": f"{along}_low"}, f"{along}2": {"field": f"{along}_high"}}
            filter = f"isValid(datum.{along}_low)"
            layers.append({"transform": [{"filter": filter}], "mark": {"type": "rule"}, "encoding": ends})
            layers[-1]["encoding"] |= {"strokeDash": {"value": _DASHES["solid"]}}
    for filled in (True, False):
        if any(point["marked"] and point["hollow"] != filled for point in points):
            layers.append(
                {
                    "transform": [{"filter": f"datum.marked && {'!' if filled else ''}datum.hollow"}],
                    "mark": {"type": "point", "filled": filled, "size": 40, "strokeWidth": 1.5, "opacity": 1},
                    "encoding": {"shape": shape, "strokeDash": {"value": _DASHES["solid"]}, "tooltip": _WORDS},
                }
            )
    return layers


def band(y: Axis, low: float, high: float) -> Spec:
    """An interval along y as a band across a panel."""
    values = [{"low": number(low), "high": number(high)}]
    encoding = {"y": y.encoding("low"), "y2": {"field": "high"}}
    return {"data": {"values": values}, "mark": {"type": "rect", "style": "band"}, "encoding": encoding}


def level(y: Axis, value: float, name: str) -> list[Spec]:
    """A dashed line across a panel, with its name above its right end."""
    data, at = {"values": [{"at": number(value), "name": name}]}, y.encoding("at")
    line = {"type": "rule", "color": NEUTRAL, "strokeDash": _DASHES["dash"]}
    words = {"type": "text", "style": "note", "align": "right", "baseline": "bottom", "dy": -2, "x": {"expr": "width"}}
    return [
        {"data": data, "mark": line, "encoding": {"y": at}},
        {"data": data, "mark": words, "encoding": {"y": at, "text": {"field": "name"}}},
    ]


def bound(x: Axis, value: float) -> Spec:
    """A dashed line from the bottom of a panel to its top."""
    line = {"type": "rule", "color": NEUTRAL, "strokeDash": _DASHES["dash"]}
    return {"data": {"values": [{"at": number(value)}]}, "mark": line, "encoding": {"x": x.encoding("at")}}


def notes(y: Axis, texts: Sequence[tuple[float, str]], style: Literal["note", "heading"] = "note") -> Spec:
    """Words at the left edge of a panel, each at its y, small enough for its width."""
    values = [{"at": number(at), "text": text} for at, text in texts]
    words = {"type": "text", "style": style, "align": "left", "baseline": "middle", "x": 0, "fontSize": {"expr": _FITS}}
    encoding = {"y": y.encoding("at"), "text": {"field": "text", "type": "nominal"}}
    return {"data": {"values": values}, "mark": words, "encoding": encoding}
