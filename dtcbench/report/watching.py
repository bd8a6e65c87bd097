"""A run as it is seen from afar: what is shown of its snapshot, and how a terminal shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar

from dtcbench.record import Status
from dtcbench.records.snapshot import NodeSeen, Snapshot
from dtcbench.report.blocks import Block, Bullets, Heading, Mark, Paragraph, Table, Tone, texts
from dtcbench.report.terminal import terminal
from dtcbench.text import ABSENT, count_of, duration, number_text

SHOWN = 5
"""Cells under way, failures and notes that are shown, of each at most."""
SILENT_S = 15.0
"""A driver that has written nothing for so long is said to be silent."""
_SPARE = ("CPUs", "GPUs", "under way")
"""Columns of nodes that a narrow terminal leaves out, the first one first."""


def headline(snapshot: Snapshot, silent_s: float) -> str:
    """What the run does: `running for 12 min, driven by process 7 on rack-1`; ended; or that its driver is silent."""
    if snapshot.ended_at is not None:
        return f"ended after {duration((snapshot.ended_at - snapshot.began_at).total_seconds())}"
    if is_silent(snapshot, silent_s):
        return (
            f"no sign of {snapshot.driver}, which drives it, for {duration(silent_s)}: it is dead, or cut off from "
            "the run's folder; if it is dead, the same command resumes"
        )
    return f"{snapshot.state} for {duration(snapshot.running_s)}, driven by {snapshot.driver}"


def counts(snapshot: Snapshot) -> str:
    """`41 of 120 cells: 38 ok, 3 error; 4 under way`."""
    ends = ", ".join(f"{snapshot.statuses[status]} {status}" for status in Status if status in snapshot.statuses)
    under_way = f"{len(snapshot.under_way)} under way" if snapshot.ended_at is None else ""
    ended = f"{snapshot.ended} of {count_of(snapshot.cells, 'cell')}" + (f": {ends}" if ends else "")
    return "; ".join(filter(None, (ended, under_way)))


def figures(snapshot: Snapshot) -> dict[str, str]:
    """By name, throughput, time left, GPUs and power; of a missing one the reason."""

    def told(name: str, text: Callable[[float], str]) -> str:
        value = getattr(snapshot, name)
        return f"{ABSENT} ({snapshot.reasons[name]})" if value is None else text(value)

    return {
        "throughput": told("cells_per_hour", lambda pace: f"{pace:,.0f} cells per hour"),
        "time left": told("left_s", duration),
        "GPUs": f"{snapshot.gpus_in_use:g} of {snapshot.gpus:g} in use" if snapshot.gpus else "none",
        "power": told("watts", lambda watts: f"{watts:,.0f} W"),
    }


def node_columns(snapshot: Snapshot) -> dict[str, list[str]]:
    """By title, the columns of the table of nodes."""
    nodes = snapshot.nodes
    columns = {
        "node": [node.host for node in nodes],
        "under way": [str(node.under_way) for node in nodes],
        "ended": [str(node.ended) for node in nodes],
        "failed": [str(node.failed) for node in nodes],
        "CPUs": [f"{node.cpus:g}" for node in nodes],
    }
    if any(node.gpus for node in nodes):
        columns["GPUs"] = [f"{node.gpus:g} {node.kind}".strip() for node in nodes]
    if snapshot.boards:
        columns["power"] = [_watts(snapshot, node) for node in nodes]
    if any(node.set_aside or not node.is_there for node in nodes):
        columns["state"] = [_state(node) for node in nodes]
    return columns


def board_columns(snapshot: Snapshot) -> dict[str, list[str]]:
    """By title, the columns of the table of boards that were measured."""
    boards = snapshot.boards
    return {
        "board": [f"{board.device}{' (simulated)' if board.simulated else ''}" for board in boards],
        "power": [f"{board.watts:,.0f} W" for board in boards],
        "now": ["in use" if board.in_use else "free" for board in boards],
        "node": [board.host for board in boards],
        "UUID": [board.gpu_uuid for board in boards],
    }


def _watts(snapshot: Snapshot, node: NodeSeen) -> str:
    found = [board.watts for board in snapshot.boards if board.host == node.host and board.in_use]
    return number_text(sum(found) if found else None, ",.0f", "W")


def _state(node: NodeSeen) -> str:
    return "set aside" if node.set_aside else "" if node.is_there else "gone"


def set_aside(snapshot: Snapshot) -> list[str]:
    """A line for each node that gets no more cells, with the reason."""
    return [f"{node.host}: {node.set_aside}" for node in snapshot.nodes if node.set_aside]


def under_way(snapshot: Snapshot) -> list[str]:
    """A line for each of the cells that have been under way longest, and the number of others."""
    lines = [
        f"{cell.label}, {duration((snapshot.written_at - cell.since).total_seconds())}"
        + (f", on {cell.host}" if cell.host else ", waits for a node")
        for cell in snapshot.under_way[:SHOWN]
    ]
    return [*lines, *_others(len(snapshot.under_way))]


def failures(snapshot: Snapshot) -> list[str]:
    """A line for each of the latest failures, the newest first."""
    return [
        f"{failure.status}{'' if failure.is_final else ', retried'}: {failure.label}"
        + (f", on {failure.host}" if failure.host else "")
        + f" (cell {failure.key[:12]}): {failure.reason}"
        for failure in snapshot.failures[:SHOWN]
    ]


def is_silent(snapshot: Snapshot, silent_s: float) -> bool:
    """Whether the driver of a run that has not ended has written nothing for too long."""
    return snapshot.ended_at is None and silent_s > SILENT_S


def _others(number: int) -> list[str]:
    return [f"… and {number - SHOWN} more"] if number > SHOWN else []


def watch_view(snapshot: Snapshot, silent_s: float) -> RenderableType:
    """The run, in a terminal of 60 columns or more.

    Parameters
    ----------
    silent_s : for how long its driver has written nothing
    """
    kind = "alarm" if is_silent(snapshot, silent_s) else "strong"
    told = node_columns(snapshot)
    columns = texts(list(told), numbers=told.keys() - {"node", "state"}, dropped=_SPARE)
    rows = list(zip(*told.values(), strict=True))
    nodes: list[Block] = [Heading("nodes"), Table(columns, rows)] if rows else []
    return Group(
        terminal([Paragraph((Mark(f"{snapshot.suite}: {headline(snapshot, silent_s)}", kind),))]),
        terminal([Paragraph(counts(snapshot))]),
        Padding(ProgressBar(total=max(1, snapshot.cells), completed=snapshot.ended), 0),  # which ends its line
        terminal(
            [
                *(Paragraph(f"{name}: {text}") for name, text in figures(snapshot).items()),
                *nodes,
                *_listed("set aside", set_aside(snapshot), "alarm"),
                *_listed("under way", under_way(snapshot)),
                *_listed("latest failures", failures(snapshot), "alarm"),
                *_listed("notes", snapshot.notes[:SHOWN], "warning"),
            ]
        ),
    )


def _listed(title: str, lines: Sequence[str], tone: Tone = "") -> list[Block]:
    return [Heading(title), Bullets(lines, tone)] if lines else []
