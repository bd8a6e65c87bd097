"""A run as `dtcbench watch` shows it."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from cells import cell, job, task
from rich.console import Console

from dtcbench.cli import result_commands
from dtcbench.execution.live import Live
from dtcbench.execution.task import ActiveNode
from dtcbench.record import Status
from dtcbench.records.store import Store
from dtcbench.report.watching import watch_view

START = datetime(2026, 1, 1, tzinfo=UTC)


def watched():
    """A run of 40 cells after a minute: one failed, one runs on a node, one waits, one node was set aside."""
    times = iter(START + timedelta(seconds=20 * number) for number in range(100))
    live = Live(job(), {Status.OK: 20}, lambda: next(times))
    live.planned("tiny", 40, 20)
    live.nodes([ActiveNode("rack-1.cluster.example", {"CPU": 8.0}, ()), ActiveNode("rack-2", {"CPU": 8.0}, ())])
    for seed in range(3):
        live.started(cell("dtc", seed=seed))
    live.placed(cell("dtc", seed=0), "rack-2")
    live.placed(cell("dtc", seed=1), "rack-1.cluster.example")
    live.ended(task(cell("dtc", seed=0)).record(Status.OOM, "no memory", START.isoformat(), 2.0), final=True)
    live.set_aside("rack-2", "it holds other data of digits (SHA-256 123456789abc) than the run's other cells")
    live.noted("the nodes compute with unlike kernels")
    return live


def shown(width, silent_s=0.0):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(watch_view(watched().snapshot(), silent_s))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    return " ".join(text.split())


@pytest.mark.parametrize("width", [60, 80, 160])
def test_it_has_cells_pace_nodes_and_failures_by_node_at_any_width(width):
    text = shown(width)
    assert "tiny: running for 2 min, driven by process " in text
    assert "21 of 40 cells: 20 ok, 1 oom; 2 under way" in text
    assert "throughput: 36 cells per hour time left: 32 min" in text
    assert "rack-2 0 1 1" in text
    assert "rack-1.cluster.example 1 0 0" in text
    assert "set aside · rack-2: it holds other data" in text
    assert "seed 2, 40 s, waits for a node" in text
    assert "oom: dtc/lars" in text
    assert "on rack-2 (cell " in text
    assert "the nodes compute with unlike kernels" in text


def test_a_silent_driver_is_said_to_be_one():
    assert ", which drives it, for 5 min: it is dead, or cut off" in shown(80, silent_s=300.0)


def test_a_run_that_has_ended_is_said_to_have_ended_by_its_exit_code_too(tiny_workplace, monkeypatch, dtcbench):
    monkeypatch.chdir(tiny_workplace)
    got = dtcbench("watch", "tiny")
    assert (got.code, got.err) == (0, "")
    assert got.out.startswith("tiny: ended after ")
    assert "3 of 3 cells: 3 ok\n" in got.out


def test_on_a_terminal_it_goes_on_until_the_run_ends(tmp_path, monkeypatch, dtcbench):
    store, live = Store(tmp_path), watched()
    store.suite.write_text("")
    looks = []

    def time_passes(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            live.over()
        store.snapshot_file.write_text(live.snapshot().model_dump_json())

    store.snapshot_file.write_text(live.snapshot().model_dump_json())
    monkeypatch.setattr(result_commands.time, "sleep", time_passes)
    monkeypatch.setattr(result_commands, "console", lambda: Console(force_terminal=True, width=80))
    got = dtcbench("watch", tmp_path)
    assert len(looks) == 2
    assert got.code == 1  # cells are missing
    assert "running for " in got.out
    assert "ended after " in got.out
