"""The page of one cell: how it went, cycle by cycle, what it is, where it ran, and how to run it again."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Sequence

import pandas as pd
from pydantic import TypeAdapter

from dtcbench.plan.cell import Cell
from dtcbench.record import CellRecord, Layer, Result, decisive
from dtcbench.report import cell_view
from dtcbench.report.blocks import Block, Bullets, Code, Facts, Figure, Heading, Paragraph
from dtcbench.report.power_chart import power_figure
from dtcbench.report.score import score_of_result
from dtcbench.report.score_axis import score_axis
from dtcbench.report.site.site_run import SiteRun
from dtcbench.report.vega import COLOURS, MARKERS, NEUTRAL, Axis, Dash, Panel, Spec, Style, figure, point
from dtcbench.text import ABSENT, number_text

_AGAIN = (
    "It trains this one cell on your machine. On the same processor, kernels and versions as below the numbers agree "
    "to the last bit."
)
_CYCLES = (
    "Accuracies are those of the validation split where the protocol holds one out, else of the test set, before and "
    "just after the compression. n is the number of measurements, H the entropy of the incoming and outgoing ones."
)
_PANEL_PX = 130
_LOSS = "loss"
_TITLES = ("Training loss", "Width, neurons", "Entropy, bits")
"""Of the panels below that of the score."""
_SCORES = {"validation": Style(COLOURS[0], "circle"), "test": Style(COLOURS[1], "circle")}
_CAPTION = (
    "Against the optimiser's steps. {score} before (solid) and just after (dashed) each compression; the loss of the "
    "last batch before it; the widths it left; the entropies of the incoming (solid) and outgoing (dashed) "
    "measurements, below the dotted bound log2 n."
)


def cell_page(shown: SiteRun, cell: Cell, attempts: Sequence[CellRecord]) -> Iterator[Block]:
    """The page of a planned cell; `attempts` are its records, the oldest first."""
    record = decisive(attempts) if attempts else None
    result = record.result if record else None
    yield Paragraph(f"cell of suite {shown.suite}", "quiet")
    yield Heading(cell.label, 1)
    status, reason = (record.status.value, record.reason) if record else ("missing", "not run yet")
    yield Paragraph(f"{status}: {reason}" if reason else status, "lead")
    yield Heading("Run it again")
    suite = f"{shown.source}/suite.yaml"
    again = ("dtcbench", "run", suite, "--inline", "--cell", cell.key[:12], "--out", "runs/again")
    yield Code(shlex.join(again))
    yield Paragraph(_AGAIN)
    if record and result:
        yield Heading("What was measured")
        yield Facts(cell_view.number_rows(record))
    yield from _figures(cell.label, result, shown.run.trace(record) if record else None)
    if result and result.cycles:
        yield Heading("Every cycle")
        yield Paragraph(_CYCLES)
        yield cell_view.cycle_table(result)
    yield Heading("Attempts")
    yield Bullets(cell_view.attempt_lines(attempts) or ["none yet"])
    if record and record.detail:
        yield Code(record.detail)
    yield Heading("Configuration")
    yield Paragraph(
        f"All that decides its numbers. Its key is the SHA-256 of this with sorted names and no spaces: {cell.key}"
    )
    yield Code(json.dumps(TypeAdapter(Cell).dump_python(cell, mode="json"), indent=2, ensure_ascii=False))
    if provenance := _provenance(record):
        yield Heading("Provenance")
        yield Facts(provenance)


def _figures(label: str, result: Result | None, trace: pd.DataFrame | None) -> Iterator[Figure]:
    if result is not None and result.cycles:
        noun = score_of_result(result).noun
        caption = _CAPTION.format(score=noun[0].upper() + noun[1:])
        yield Figure("course", "Cycle by cycle", caption, cycle_figure(result), label)
    if trace is not None:
        caption = "The GPU's power by the driver. Thick where the energy counts, thin elsewhere."
        drawn = power_figure({label: trace}, {label: Style(COLOURS[0], MARKERS[0])})
        yield Figure("power", "Power over time", caption, drawn, label)


def cycle_figure(result: Result) -> Spec:
    """A cell's cycles, one panel above the other, against the steps taken."""
    score = score_of_result(result)
    scores, widths, entropies = _scores(result), list[Spec](), list[Spec]()
    looks = {**_SCORES, _LOSS: Style(NEUTRAL, "circle")}
    groups = sorted({layer.group for cycle in result.cycles for layer in cycle.layers})
    for number, group in enumerate(groups):
        layers = [(cycle.step, layer) for cycle in result.cycles for layer in cycle.layers if layer.group == group]
        looks[group] = Style(COLOURS[number % len(COLOURS)], "circle")
        widths += [_point(group, step, layer.width_after, "neurons") for step, layer in layers]
        entropies += _entropies(group, layers)
    y = score_axis(score, score.title, [value for _, _, value, _ in scores])
    of_scores = [
        point(
            name,
            step,
            y.at(value),
            dash=dash,
            words=f"{name}, step {step}: {score.text(value)}",
        )
        for name, step, value, dash in scores
    ]
    losses = [_point(_LOSS, cycle.step, cycle.loss) for cycle in result.cycles]
    below = zip(_TITLES, (losses, widths, entropies), strict=True)
    panels = [
        Panel(of_scores, y.axis, height=_PANEL_PX),
        *(Panel(points, Axis(title), height=_PANEL_PX) for title, points in below),
    ]
    return figure(panels, Axis("Optimiser steps"), looks)


def _scores(result: Result) -> list[tuple[str, int, float, Dash]]:
    """Split, step, score and line of everything that was evaluated."""
    whens: tuple[tuple[str, Dash], ...] = (("before", "solid"), ("after", "dash"))
    return [
        (split, cycle.step, value, dash)
        for split in _SCORES
        for when, dash in whens
        for cycle in result.cycles
        if (value := getattr(cycle, f"{split}_{when}")) is not None
    ]


def _entropies(group: str, layers: Sequence[tuple[int, Layer]]) -> Iterator[Spec]:
    for step, layer in layers:
        bound = math.log2(layer.measurements) if layer.measurements else None
        lines: tuple[tuple[float | None, str, Dash], ...] = (
            (layer.entropy_in_bits, "incoming", "solid"),
            (layer.entropy_out_bits, "outgoing", "dash"),
            (bound, "log2 n", "dot"),
        )
        for value, what, dash in lines:
            if value is not None:
                yield _point(group, step, value, f"bits, {what}", dash, marked=dash != "dot")


def _point(name: str, step: int, value: float, unit: str = "", dash: Dash = "solid", marked: bool = True) -> Spec:
    words = f"{name}, step {step}: {number_text(value, '.4g', unit)}"
    return point(name, step, value, words=words, dash=dash, marked=marked)


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
