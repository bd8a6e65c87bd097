"""Executing tasks: the interface, and the executor that runs them in this process."""

from __future__ import annotations

import platform
from collections import deque
from typing import Protocol

from dtcbench import cores
from dtcbench.execution.interrupts import Interrupts, Overtime, within
from dtcbench.execution.task import ActiveNode, Outcome, Task
from dtcbench.execution.worker import attempt
from dtcbench.record import Status


class Executor(Protocol):
    """Runs tasks, in this process (`InlineExecutor`) or on Ray (`ray_executor.RayExecutor`)."""

    @property
    def slots(self) -> int:
        """Number of tasks to hand over at present: those that run at the same time, and short ones beside them."""

    @property
    def grace_s(self) -> float:
        """Seconds after a cell's time limit at which the driver kills it."""

    def submit(self, task: Task) -> None:
        """Start a task, or queue it."""

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Tasks that have ended. Waits at most this long for the first."""

    def begun(self) -> list[Task]:
        """Tasks that have begun since the last call: their time limits count from now."""

    def notes(self) -> list[str]:
        """What the user should know, and has not been told: in what nodes differ, what waiting tasks wait for."""

    def nodes(self) -> list[ActiveNode]:
        """The nodes that are there now, and what runs on them."""

    def kill(self, task: Task) -> None:
        """End a task by force. It gets no outcome."""

    def release(self, lane: str) -> None:
        """Free the lane's GPU: no more of its tasks will come."""

    def close(self) -> None:
        """End everything that was started."""


class InlineExecutor:
    """Runs tasks in this process, one after another, when they are waited for.

    A time limit holds in the main thread, from the task's beginning on.

    Parameters
    ----------
    interrupts : the run's; once asked to stop, the task that runs saves its training, and goes on
    """

    slots = 1
    grace_s = 0.0

    def __init__(self, interrupts: Interrupts | None = None) -> None:
        self._interrupts = interrupts or Interrupts()
        self._queue: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.append(task)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Run the oldest task to its end or to its time limit."""
        task = self._queue.popleft()
        try:
            with within(task.job.timeout_s):
                return [Outcome(task, attempt(task, asked_to_stop=lambda: self._interrupts.asked_to_stop))]
        except Overtime:
            return [Outcome(task, None, Status.TIMEOUT, task.overdue_reason)]

    def begun(self) -> list[Task]:
        """Always empty: a task begins and ends within one `wait`."""
        return []

    def notes(self) -> list[str]:
        """Always empty: there is one process."""
        return []

    def nodes(self) -> list[ActiveNode]:
        """This machine, which runs the oldest task."""
        return [ActiveNode(platform.node(), {"CPU": cores.usable()}, tuple(self._queue)[:1])]

    def kill(self, task: Task) -> None:
        """Remove a task from the queue."""
        self._queue.remove(task)

    def release(self, lane: str) -> None:
        """Does nothing: no GPU is reserved."""

    def close(self) -> None:
        """Does nothing: nothing was started."""
