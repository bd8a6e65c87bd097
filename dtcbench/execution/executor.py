"""The one interface for executing cells; `inline` and `cluster` implement it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dtcbench.execution.worker import Report, Task
from dtcbench.record import Status


@dataclass(frozen=True)
class Outcome:
    """How a task came back."""

    task: Task
    report: Report | None
    """What the worker left; None where it was lost."""
    status: Status = Status.OK
    """Where there is no report: why, as a status."""
    reason: str = ""
    """Where there is no report: why, in words."""
    detail: str = ""
    """Where there is no report: the stack that the worker left, if it left one."""


class Executor(Protocol):
    """Runs tasks somewhere."""

    @property
    def slots(self) -> int:
        """Tasks that can run at the same time."""

    @property
    def grace_s(self) -> float:
        """Seconds beyond a cell's time limit after which the driver kills it."""

    def submit(self, task: Task) -> None:
        """Start a task, or queue it."""

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Tasks that came back, waiting at most so long for the first."""

    def begun(self) -> list[Task]:
        """Tasks that have begun since the last call: from now on their time counts."""

    def kill(self, task: Task) -> None:
        """End a task by force; nothing of it comes back any more."""

    def release(self, block: str) -> None:
        """No task of the block will come any more: its GPU is free."""

    def close(self) -> None:
        """End everything that was started."""
