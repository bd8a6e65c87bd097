"""A cell's power over time: a chart for the terminal and a figure for pages.

A trace is the DataFrame of `Store.trace`: one row per sample, `t_s` counted from the first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import uniplot
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.text import Text

from dtcbench.energy import integrate
from dtcbench.energy.integrate import Floats
from dtcbench.energy.segments import counted, windows
from dtcbench.energy.trace import LONG_GAP_S, POWER_COLUMNS, Power, segments_of
from dtcbench.report.vega import COLOURS, FROM_ZERO, NEUTRAL, Axis, Panel, Spec, Style, figure, point

POINTS = 400
"""Most samples in one line of the figure; the breaks of a line come on top."""
_MIN_WIDTH = 40
_INSIDE, _OUTSIDE = COLOURS[0], NEUTRAL
_THIN, _THICK = 0.75, 2.0
"""Lines, in pixels."""
_READINGS = (
    ("temperature", "temperature_c", "°C"),
    ("SM clock", "sm_clock_mhz", "MHz"),
    ("memory clock", "memory_clock_mhz", "MHz"),
    ("power limit", "power_limit_w", "W"),
)


def power_chart(trace: pd.DataFrame, width: int, height: int = 16) -> RenderableType:
    """One cell's power over time, filled where its energy counts, and a summary of the other readings below.

    Parameters
    ----------
    width, height : characters; the width of the whole chart, the height of its canvas
    """
    curve = _curve(trace)
    if curve is None:
        return Text(f"no power of a GPU was read in {len(trace)} samples; nothing can be drawn")
    drawn = Text.from_ansi(_plot(curve, float(trace["t_s"].max()), max(width, _MIN_WIDTH), height))
    drawn.no_wrap, drawn.overflow = True, "crop"
    legend = Text.assemble(
        ("█", _INSIDE), " filled: inside the energy boundary   ", ("▀", _OUTSIDE), " line: idle, warm-up, evaluation"
    )
    return Group(drawn, legend, *map(Text, _facts(trace, curve)))


def power_figure(traces: Mapping[str, pd.DataFrame], looks: Mapping[str, Style]) -> Spec:
    """Power against time since the window began: thick where the energy counts, thin elsewhere.

    `traces` and `looks` have the same labels as keys. A trace without power has no line; its entry in the legend
    says so.
    """
    points: list[Spec] = []
    named = dict(looks)
    for label, trace in traces.items():
        if (curve := _curve(trace)) is None:
            named[silent := f"{label} (no power was read)"] = looks[label]
            points.append(point(silent, 0, None, marked=False))
            continue
        thin = _thinned(curve, POINTS // 2)
        for inside, width in ((False, _THIN), (True, _THICK)):
            points += [point(label, *place, width=width, marked=False) for place in _line(thin, inside)]
    panel = Panel(points, Axis("Power, W", FROM_ZERO), height=300)
    return figure([panel], Axis("Time since the window began, s"), named)


def power_drawn(trace: pd.DataFrame) -> Power | None:
    """The column of a trace that is drawn: the best power that was read, as for the integral; None without a power."""
    return next((name for name in POWER_COLUMNS if name in trace and np.isfinite(trace[name]).any()), None)


@dataclass(frozen=True)
class _Curve:
    """The samples of one trace that have a power."""

    column: Power
    begin_s: float
    """When the window began; 0 without a window."""
    t_s: Floats  # [n]
    power_w: Floats  # [n]
    inside: NDArray[np.bool_]  # [n]
    """Whether a sample, and the time up to the next one, lies in a window that counts."""
    part: NDArray[np.int64]  # [n]
    """Raised by one at every gap longer than LONG_GAP_S."""

    def at(self, chosen: NDArray[np.int64]) -> _Curve:
        """Only the samples with these indices."""
        return replace(
            self,
            t_s=self.t_s[chosen],
            power_w=self.power_w[chosen],
            inside=self.inside[chosen],
            part=self.part[chosen],
        )


def _curve(trace: pd.DataFrame) -> _Curve | None:
    column = power_drawn(trace)
    if column is None:
        return None
    t_s = trace["t_s"].to_numpy(dtype=np.float64)
    inside_windows = windows(counted(list(segments_of(trace))))
    inside = np.zeros(len(t_s), dtype=bool)
    for window in inside_windows:
        first, past = np.searchsorted(t_s, [window.begin_s, window.end_s])
        inside[first:past] = True
    power_w = trace[column].to_numpy(dtype=np.float64)
    known = np.isfinite(power_w)
    t_s, power_w, inside = t_s[known], power_w[known], inside[known]
    part = np.cumsum(np.diff(t_s, prepend=t_s[0]) > LONG_GAP_S)
    return _Curve(column, inside_windows[0].begin_s if inside_windows else 0.0, t_s, power_w, inside, part)


def _thinned(curve: _Curve, bins: int) -> _Curve:
    """The lowest and the highest sample of each of `bins` equal times, separately inside and outside the windows.

    This keeps every peak, and every short evaluation between two segments of training.
    """
    if len(curve.t_s) <= 2 * bins:
        return curve
    since_s = curve.t_s - curve.t_s[0]
    slot = np.minimum(bins * since_s / since_s[-1], bins - 1).astype(int)
    extremes = pd.Series(curve.power_w).groupby([slot, curve.inside]).agg(["idxmin", "idxmax"])
    return curve.at(np.unique(extremes.to_numpy()))


def _line(curve: _Curve, inside: bool) -> list[tuple[float, float | None]]:
    """Times since the window began and watts, in or outside of the windows; a time without watts breaks the line."""
    places: list[tuple[float, float | None]] = []
    t_s, power_w = (curve.t_s - curve.begin_s).round(3).tolist(), curve.power_w.round(1).tolist()
    changes = np.flatnonzero(np.diff(curve.inside) | (np.diff(curve.part) > 0)) + 1
    for first, past in pairwise([0, *changes.tolist(), len(t_s)]):
        if curve.inside[first] == inside:
            seen_on = past < len(t_s) and curve.part[past] == curve.part[first]
            end = past + 1 if seen_on else past  # up to the sample that ends it
            places += [*zip(t_s[first:end], power_w[first:end], strict=True), (t_s[end - 1], None)]
    return places[:-1]


def _plot(curve: _Curve, end_s: float, width: int, height: int) -> str:
    """The chart as text with colours, in at most `width` columns."""
    thin = _thinned(curve, 2 * width)
    # Interpolated four times a column, so that the filled area has no holes between the samples.
    t_s = np.union1d(thin.t_s, np.linspace(0.0, end_s, 4 * width))
    owner = np.clip(np.searchsorted(thin.t_s, t_s, side="right") - 1, 0, None)
    after = np.minimum(np.searchsorted(thin.t_s, t_s, side="left"), len(thin.t_s) - 1)
    power_w = np.interp(t_s, thin.t_s, thin.power_w, left=np.nan, right=np.nan)
    power_w[thin.part[owner] != thin.part[after]] = np.nan
    filled = thin.inside[owner] & np.isfinite(power_w)
    nothing = np.full(filled.sum(), np.nan)
    bars = np.column_stack([np.zeros(filled.sum()), power_w[filled], nothing]).ravel()
    line = np.where(filled, np.nan, power_w)
    drawn = [(np.repeat(t_s[filled], 3), bars, _INSIDE), (t_s, line, _OUTSIDE)]
    # The later line is drawn over the earlier; uniplot fails at a line of gaps only.
    drawn = [one for one in drawn if np.isfinite(one[1]).any()]
    return uniplot.plot_to_string(
        xs=[x for x, _, _ in drawn],
        ys=[y for _, y, _ in drawn],
        color=[colour for _, _, colour in drawn],
        lines=True,
        width=width,
        height=height,
        line_length_hard_cap=width,
        x_min=0.0,
        x_max=end_s or 1.0,
        y_min=0.0,
        y_max=1.05 * max(float(curve.power_w.max()), 1.0),
        x_unit=" s",
        y_unit=" W",
        x_gridlines=[],
        y_gridlines=[],
    )


def _facts(trace: pd.DataFrame, curve: _Curve) -> Iterator[str]:
    """The power's range and sampling, and the ranges of the other readings, over the whole trace."""
    t_s = trace["t_s"].to_numpy(dtype=np.float64)
    gap_s = integrate.longest_gap_s(curve.t_s, curve.power_w, t_s.min(), t_s.max())
    samples = f"{len(curve.t_s)}" if len(curve.t_s) == len(t_s) else f"{len(curve.t_s)} of {len(t_s)}"
    yield f"{curve.column}: {_range(curve.power_w, 'W')}, {samples} samples, longest gap {gap_s:.2f} s"
    yield ", ".join(
        f"{name} {_range(trace[column].to_numpy(dtype=np.float64), unit) if column in trace else '–'}"
        for name, column, unit in _READINGS
    )


def _range(values: Floats, unit: str) -> str:
    """The least and the greatest reading; a dash without any."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return "–"
    least, greatest = f"{known.min():.0f}", f"{known.max():.0f}"
    return f"{least} {unit}" if least == greatest else f"{least} to {greatest} {unit}"
