"""Cells in this very process, one after another: for debugging and for most tests."""

from __future__ import annotations

from collections import deque

from dtcbench.execution.executor import Outcome
from dtcbench.execution.worker import Task, attempt


class InlineExecutor:
    """Runs each task when it is waited for. A time limit cannot be kept: nobody is there to see to it."""

    slots = 1
    grace_s = 0.0

    def __init__(self) -> None:
        self._queue: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.append(task)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Run the oldest task to its end, however long that takes."""
        task = self._queue.popleft()
        return [Outcome(task, attempt(task))]

    def begun(self) -> list[Task]:
        """None: who waits for a task here waits until it has ended."""
        return []

    def kill(self, task: Task) -> None:
        """Take a task out of the queue."""
        self._queue.remove(task)

    def release(self, block: str) -> None:
        """Nothing was reserved."""

    def close(self) -> None:
        """Nothing was started."""
