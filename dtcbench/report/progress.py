"""The progress of a run: a live display on a terminal, a line per finished cell elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from dtcbench.execution.quiet import quiet
from dtcbench.execution.watcher import Watcher
from dtcbench.plan.cell import Cell
from dtcbench.plan.looks import Look
from dtcbench.record import CellRecord, Status
from dtcbench.records.location import AnyPath
from dtcbench.report.score import score_text


class RunProgress(Watcher):
    """Prints how many cells have ended, have failed and are running, which these are, and the time left.

    Parameters
    ----------
    is_quiet : send what Ray prints to its log instead of the terminal. It redirects standard output and error of the
        whole process, so it is for a program that does nothing else.
    """

    def __init__(self, console: Console, *, is_quiet: bool = False) -> None:
        self._console, self._is_quiet = console, is_quiet
        self._entered: ExitStack | None = None
        self._keep: Callable[[Path], None] = lambda log: None
        self.files: Sequence[AnyPath] = ()
        """The rebuilt tables and leaderboard."""
        self._running: dict[str, str] = {}
        """The labels of the running cells, by key."""
        self._done = self._failed = 0
        self._note = ""
        self._bar = Progress(
            BarColumn(bar_width=None),  # the rest of the line
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TextColumn("time left"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._live = Live(console=console, get_renderable=self.__rich__, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._entered = ExitStack()
        if self._is_quiet:
            self._entered.callback(setattr, self._console, "file", self._console.file)
            self._console.file, self._keep = self._entered.enter_context(quiet())
        return self

    def __exit__(self, *error: object) -> None:
        if self._entered is not None:
            self._entered.close()
        self._entered = None

    def damaged(self, record: str) -> None:
        """Name the damaged record."""
        self._print(f"damaged record: {record}")

    def planned(self, suite: str, cells: int, to_run: int) -> None:
        """Say how many cells there are, and start the display on a terminal."""
        self._print(f"{suite}: {cells} cells, {to_run} to run")
        self._bar.update(self._task, total=self._done + self._failed + to_run)
        if self._entered is not None and to_run and self._console.is_terminal and not self._live.is_started:
            self._entered.enter_context(self._live)

    def ray_log(self, file: Path) -> None:
        """Write what Ray prints to the file."""
        self._keep(file)

    def looked(self, look: Look) -> None:
        """Print what the look decided, and what goes on."""
        end = f"{len(look.rows)} rows get more seeds" if look.rows else "no row gets more seeds"
        self._print(f"look at {look.seeds} seeds: {len(look.decided)} newly decided, {len(look.open)} open; {end}")
        for title, lines in (("decided", look.decided), ("open", look.open)):
            for line in lines:
                self._print(f"  {title}: {line}")

    def written(self, files: Sequence[AnyPath]) -> None:
        """Keep the names of the files."""
        self.files = files

    def started(self, cell: Cell) -> None:
        """Show the cell among the running ones. Elsewhere than on a terminal, print it until a first cell has ended."""
        self._running[cell.key] = cell.label
        if not self._console.is_terminal and not self._done + self._failed:
            self._print(f"started {self._running[cell.key]}")
        self._describe()

    def ended(self, record: CellRecord, final: bool) -> None:
        """Count the record. Print it if it failed, and elsewhere than on a terminal always."""
        self._running.pop(record.key, None)
        if not final:
            self._print_end(record, f"{record.status}, retried")
            return
        failed = record.status is not Status.OK
        self._failed += failed
        self._done += not failed
        self._bar.advance(self._task)
        self._describe()
        if failed or not self._console.is_terminal:
            self._print_end(record, record.status.value)

    def set_aside(self, host: str, reason: str) -> None:
        """Name the node and its fault."""
        self._print(f"node {host} gets no more cells: {reason}")

    def noted(self, note: str) -> None:
        """Print the note."""
        self._print(f"note: {note}")

    def stopping(self, running: int) -> None:
        """Say that no more cells start."""
        cells = "1 running cell is" if running == 1 else f"{running} running cells are"
        first = f"{cells} finished first; Ctrl-C again stops at once"
        self._note = f"stopping: {first if running else 'no cell is running'}"
        if not self._console.is_terminal:
            self._console.print(self._note)

    def _print_end(self, record: CellRecord, end: str) -> None:
        count = f"[{self._done + self._failed}/{self._bar.tasks[0].total or 0:g}]"
        text = (record.result and score_text(record.result)) or record.reason
        self._print(f"{count} {record.cell.label}: {end}, {text}, {record.wall_s:.1f} s, cell {record.key[:12]}")

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def _describe(self) -> None:
        counts = f"{self._failed} failed · {len(self._running)} running"
        self._bar.update(self._task, description=counts)

    def __rich__(self) -> Group:
        """What a terminal shows."""
        current = [Text(f"  {label}", style="dim") for label in self._running.values()]
        return Group(self._bar, *current, *([Text(self._note, style="yellow")] if self._note else []))
