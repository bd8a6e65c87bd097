"""The page of one cell: how it went, cycle by cycle, what it is, where it ran, and how to run it again."""

from __future__ import annotations

import html
import json
import math
import shlex
from collections.abc import Iterator, Sequence

import pandas as pd
import plotly.graph_objects as go
from pydantic import TypeAdapter

from dtcbench.analysis.leaderboard import series_label
from dtcbench.plan.cell import Cell
from dtcbench.record import CellRecord, Layer, Result, decisive
from dtcbench.report import cell_view, elements, figures
from dtcbench.report.elements import Figure, template
from dtcbench.report.figures import COLOURS, MARKERS, NEUTRAL, Style
from dtcbench.report.power_chart import power_figure
from dtcbench.report.score import score_of_result
from dtcbench.report.site.site_run import SiteRun
from dtcbench.text import ABSENT, one_line

_PANEL_PX, _AROUND_PX = 190, 100
_TITLES = {
    "loss": "Training loss",
    "width": "Width, neurons",
    "entropy": "Entropy, bits",
}
_CAPTION = (
    "Against the optimiser's steps. {score} before (solid) and just after (dashed) each compression; the loss of the "
    "last batch before it; the widths it left; the entropies of the incoming (solid) and outgoing (dashed) "
    "measurements, below the dotted bound log2 n."
)


def cell_page(shown: SiteRun, cell: Cell, attempts: Sequence[CellRecord], method: tuple[str, str]) -> str:
    """The page of a planned cell; `attempts` are its records, the oldest first, and `method` is method and solver as
    the leaderboard names them."""
    record = decisive(attempts) if attempts else None
    result = record.result if record else None
    label = cell.label
    trace = shown.run.trace(record) if record else None
    return template("cell.html").render(
        frame=shown.frame(1, (series_label(*method), f"../{shown.methods[method]}")),
        label=label,
        cell=cell,
        suite=shown.suite,
        status=record.status.value if record else "missing",
        reason=one_line(record.reason) if record else "not run yet",
        again=shlex.join(
            [
                "dtcbench",
                "run",
                f"{shown.source}/suite.yaml",
                "--inline",
                "--cell",
                cell.key[:12],
                "--out",
                "runs/again",
            ]
        ),
        attempts=[one_line(line) for line in cell_view.attempt_lines(attempts)],
        figures=list(_figures(label, result, trace)),
        facts=cell_view.number_rows(record) if record else [],
        titles=cell_view.cycle_titles(result) if result else (),
        cycles=cell_view.cycle_rows(result) if result else [],
        provenance=_provenance(record),
        configuration=json.dumps(TypeAdapter(Cell).dump_python(cell, mode="json"), indent=2, ensure_ascii=False),
        detail=record.detail if record else "",
    )


def _figures(label: str, result: Result | None, trace: pd.DataFrame | None) -> Iterator[Figure]:
    if result is not None and result.cycles:
        noun = score_of_result(result).noun
        caption = _CAPTION.format(score=noun[0].upper() + noun[1:])
        yield elements.figure("course", "Cycle by cycle", caption, cycle_figure(result))
    if trace is not None:
        caption = "The GPU's power by the driver. Solid where the energy counts, faint elsewhere."
        drawn = power_figure({label: trace}, {label: Style(COLOURS[0], MARKERS[0])})
        yield elements.figure("power", "Power over time", caption, drawn)


def cycle_figure(result: Result) -> go.Figure:
    """A cell's cycles, one panel above the other, against the steps taken."""
    lines: dict[str, list[go.Scatter]] = {
        "score": list(_scores(result)),
        "loss": [_line("loss", [(c.step, c.loss) for c in result.cycles], NEUTRAL)],
        "width": [],
        "entropy": [],
    }
    groups = sorted({layer.group for cycle in result.cycles for layer in cycle.layers})
    for number, group in enumerate(groups):
        layers = [(cycle.step, layer) for cycle in result.cycles for layer in cycle.layers if layer.group == group]
        colour = COLOURS[number % len(COLOURS)]
        lines["width"].append(_line(group, [(step, layer.width_after) for step, layer in layers], colour))
        lines["entropy"] += _entropies(group, layers, colour)
    titles = {"score": score_of_result(result).title, **_TITLES}
    shown = {name: drawn for name, drawn in lines.items() if drawn}
    figure = figures.blank(len(shown))
    for row, (name, drawn) in enumerate(shown.items(), 1):
        for line in drawn:
            figure.add_trace(line, row=row, col=1)
        figure.update_yaxes(title=titles[name], row=row, col=1)
    figure.update_xaxes(title="Optimiser steps", row=len(shown), col=1)
    return figure.update_layout(height=_AROUND_PX + _PANEL_PX * len(shown))


def _scores(result: Result) -> Iterator[go.Scatter]:
    scale = score_of_result(result).scale
    for split, colour in (("validation", COLOURS[0]), ("test", COLOURS[1])):
        for when, dash in (("before", "solid"), ("after", "dash")):
            points = [(cycle.step, getattr(cycle, f"{split}_{when}")) for cycle in result.cycles]
            known = [(step, scale * value) for step, value in points if value is not None]
            if known:
                yield _line(f"{split}, {when}", known, colour, dash)


def _entropies(group: str, layers: Sequence[tuple[int, Layer]], colour: str) -> Iterator[go.Scatter]:
    for side, dash in (("in", "solid"), ("out", "dash")):
        bits = [(step, getattr(layer, f"entropy_{side}_bits")) for step, layer in layers]
        known = [(step, value) for step, value in bits if value is not None]
        if known:
            yield _line(f"{group}, {'incoming' if side == 'in' else 'outgoing'}", known, colour, dash)
    bound = [(step, math.log2(layer.measurements)) for step, layer in layers if layer.measurements]
    if bound:
        yield _line(f"{group}, log2 n", bound, colour, "dot")


def _line(name: str, points: Sequence[tuple[int, float]], colour: str, dash: str = "solid") -> go.Scatter:
    steps, values = zip(*points, strict=True)
    line = {"color": colour, "width": 2, "dash": dash}
    return go.Scatter(
        x=list(steps), y=list(values), name=html.escape(name), mode="lines+markers", line=line, marker={"size": 5}
    )


def _provenance(record: CellRecord | None) -> list[tuple[str, str]]:
    """Everything known of where and with what the cell ran; what is not known, with its reason."""
    if record is None or record.provenance is None:
        return []
    told = record.provenance.model_dump(mode="json", exclude={"reasons"})
    return [(name.replace("_", " "), _told(value, record.provenance.reasons.get(name))) for name, value in told.items()]


def _told(value: object, reason: str | None) -> str:
    if value is None:
        return f"{ABSENT} ({reason})" if reason else ABSENT
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items()) or "none"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
