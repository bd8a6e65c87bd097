"""Who is told what happens in a run, while it happens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

from dtcbench.execution.task import ActiveNode
from dtcbench.plan.cell import Cell
from dtcbench.plan.looks import Look
from dtcbench.record import CellRecord
from dtcbench.records.location import AnyPath


class Watcher:
    """Receives the events of a run, in the thread that runs it. Override those you need: each does nothing by itself.

    A KeyboardInterrupt that an event raises stops the run at once: running cells are recorded as cancelled, and the
    next run makes them. The watcher is entered before Ray starts, and left after Ray has ended.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Ray has ended, or no cell ran at all."""

    def damaged(self, record: str) -> None:
        """A damaged record was set aside; `record` names its file and what is wrong."""

    def planned(self, suite: str, cells: int, to_run: int) -> None:
        """The suite has this number of cells, and this number of them is run now."""

    def ray_log(self, file: Path) -> None:
        """Ray runs; what it prints belongs in this file."""

    def started(self, cell: Cell) -> None:
        """An attempt at the cell has started."""

    def nodes(self, nodes: Sequence[ActiveNode]) -> None:
        """The cluster has these nodes now; told every few seconds."""

    def placed(self, cell: Cell, host: str) -> None:
        """The attempt at the cell runs on this node, or has just ended there; told once."""

    def ended(self, record: CellRecord, final: bool) -> None:
        """An attempt has ended, and its record is sealed; not `final` if the cell is retried."""

    def set_aside(self, host: str, reason: str) -> None:
        """A node gets no more cells: it could not begin those that others could, or has other versions or data."""

    def noted(self, note: str) -> None:
        """Something that the user should know: in what the nodes differ, what the run waits for and what ends that."""

    def stopping(self, running: int) -> None:
        """The user asked to stop; this number of cells is still running."""

    def looked(self, look: Look) -> None:
        """The run was looked at: this is decided, and those rows get more seeds."""

    def written(self, files: Sequence[AnyPath]) -> None:
        """Tables and leaderboard were rebuilt in these files."""


class Watchers(Watcher):
    """Tells each event to several watchers, in their order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers, self._entered = watchers, ExitStack()
        for event in (name for name in vars(Watcher) if not name.startswith("_")):
            setattr(self, event, partial(self._tell, event))

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            for watcher in self._watchers:
                entered.enter_context(watcher)
            self._entered = entered.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.close()

    def _tell(self, event: str, *what: Any, **named: Any) -> None:
        for watcher in self._watchers:
            getattr(watcher, event)(*what, **named)
