"""What is shown of a run under way, on terminals and in pipes."""

import io
import re
from dataclasses import replace

import pytest
from cells import cell, task
from rich.console import Console

from dtcbench.plan.names import REGISTERED
from dtcbench.record import Status
from dtcbench.report.progress import RunProgress

DTC = cell("dtc")
FAILED = task(DTC).record(Status.OOM, "out of memory", "2025-01-01T00:00:00.000+00:00", 2.0)


def watched(width: int, *, is_terminal: bool) -> tuple[RunProgress, Console]:
    console = Console(file=io.StringIO(), width=width, force_terminal=is_terminal, color_system=None)
    progress = RunProgress(console)
    progress.planned("tiny", 120, 120)
    console.file.truncate(0)
    console.file.seek(0)
    return progress, console


def drawn(progress: RunProgress, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(progress)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_time_left_is_shown_at_any_width(width):
    progress, _ = watched(width, is_terminal=True)
    progress.started(DTC)
    progress.ended(FAILED, final=True)
    first, *_ = drawn(progress, width).splitlines()
    assert re.search(r" 1/120 1 failed · 0 running time left [-\d]:[-\d]{2}:[-\d]{2}$", first.rstrip())


def test_cells_under_way_are_shown_before_the_first_has_ended():
    progress, _ = watched(60, is_terminal=True)
    progress.started(DTC)
    assert "dtc/lars" in drawn(progress, 60)
    assert "1 running" in drawn(progress, 60)


def test_a_pipe_is_told_what_has_started_until_a_first_cell_has_ended():
    progress, console = watched(60, is_terminal=False)
    progress.started(DTC)
    assert console.file.getvalue().startswith("started dtc/lars")
    progress.ended(FAILED, final=True)
    progress.started(DTC)
    assert console.file.getvalue().count("started") == 1


def test_cells_that_differ_in_an_option_are_told_apart():
    progress, _ = watched(60, is_terminal=True)
    for norm in ("l2", "l1"):
        choice = REGISTERED.choice("method", "magnitude", {"norm": norm})
        progress.started(replace(DTC, method=choice, solver=None))
    lines = [line.strip() for line in drawn(progress, 60).splitlines()]
    assert any(line.startswith("magnitude mlp") for line in lines)
    assert any(line.startswith("magnitude(norm=l1) mlp") for line in lines)


@pytest.mark.parametrize(
    ("running", "told"),
    [
        (0, "stopping: no cell is running"),
        (1, "stopping: 1 running cell is finished first; Ctrl-C again stops at once"),
        (2, "stopping: 2 running cells are finished first; Ctrl-C again stops at once"),
    ],
)
def test_who_stops_a_run_hears_what_is_finished_first(running, told):
    progress, console = watched(160, is_terminal=False)
    with progress:
        progress.stopping(running)
    assert console.file.getvalue() == f"{told}\n"
