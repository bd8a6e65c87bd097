"""A figure in plain values, whatever library described it and whichever draws it.

Lengths are the page's pixels, places on an axis are the axis's own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["pdf", "svg"]
FORMS: tuple[Form, ...] = ("pdf", "svg")
"""What a figure is drawn as on paper."""
Colour = str
"""`#rrggbb`."""
Numbers = tuple[float, ...]
"""NaN where there is nothing."""


@dataclass(frozen=True)
class Line:
    """How points are joined; where one of them is NaN, the line breaks."""

    colour: Colour
    width: float
    dash: str
    is_step: bool
    """Level from each point to the next, then upright."""


@dataclass(frozen=True)
class Points:
    """How each point is marked."""

    colours: tuple[Colour, ...]
    symbols: tuple[str, ...]
    size: float
    edge: float


@dataclass(frozen=True)
class Bars:
    """How far an interval reaches beyond each point, on both sides."""

    below: Numbers
    above: Numbers
    colour: Colour


@dataclass(frozen=True)
class Trace:
    """One series of points."""

    x: Numbers
    y: Numbers
    line: Line | None
    points: Points | None
    bars_x: Bars | None
    bars_y: Bars | None
    name: str
    in_legend: bool
    opacity: float


@dataclass(frozen=True)
class Span:
    """From where to where something reaches along one axis: in its numbers, or from 0 to 1 over the panel."""

    begin: float
    end: float
    is_of_panel: bool


@dataclass(frozen=True)
class Shape:
    """A straight line (`line`), or a filled rectangle (`fill`)."""

    x: Span
    y: Span
    line: Line | None
    fill: Colour | None
    opacity: float


@dataclass(frozen=True)
class Words:
    """One line of a note."""

    text: str
    is_bold: bool = False


@dataclass(frozen=True)
class Note:
    """Words at a place, and on which side of them it lies."""

    x: Span
    y: Span
    lines: tuple[Words, ...]
    side_x: str
    side_y: str


@dataclass(frozen=True)
class Axis:
    """One axis of a panel."""

    title: str = ""
    ticks: tuple[tuple[float, str], ...] | None = None
    """None: as the numbers ask."""
    range: tuple[float, float] | None = None
    """None: as far as what is drawn."""
    from_zero: bool = False
    is_reversed: bool = False
    has_labels: bool = True
    has_grid: bool = True


@dataclass(frozen=True)
class Panel:
    """One plot with its axes."""

    x: Axis
    y: Axis
    traces: tuple[Trace, ...]
    shapes: tuple[Shape, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Plot:
    """Panels of one height above one another, the topmost first; all share the range of x."""

    panels: tuple[Panel, ...]
    height: float
