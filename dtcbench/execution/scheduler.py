"""Which task starts next, which cell is retried, which is finished: a state machine, driven by events.

It uses no Ray, no files and no clock: `now` is monotonic time in seconds, from the caller. Every cell ends exactly
once, and no cell runs twice at the same time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from dtcbench.execution.task import Task
from dtcbench.record import Status

INFRA_RETRIES = 2
"""Number of retries allowed for a cell whose node or worker was lost."""
MEMORY_RETRIES = 1
"""Number of retries allowed for a cell that its node killed for memory: another process may have used it up. No other
failure is retried."""


class UnfitNodes:
    """Which nodes could not begin cells, by a fault of their own.

    A cell that fails before its training begins (no data, no CUDA, no joules) is tried on another node. If it begins
    there, the fault was the first node's, which is set aside. If it begins nowhere, the fault is the cell's.
    """

    def __init__(self, most: int = INFRA_RETRIES) -> None:
        self._most = most
        self._failed_on: dict[str, dict[str, str]] = {}
        """By cell's key, the nodes on which it did not begin, and why."""
        self._set_aside: set[str] = set()

    def avoided(self, key: str) -> frozenset[str]:
        """The nodes that must not run the cell."""
        return frozenset(self._set_aside | self._failed_on.get(key, {}).keys())

    def not_begun(self, key: str, node: str, reason: str) -> bool:
        """The cell did not begin on the node. Whether another node should try it."""
        failed_on = self._failed_on.setdefault(key, {})
        failed_on[node] = reason
        return len(failed_on) <= self._most

    def begun(self, key: str) -> dict[str, str]:
        """The cell began. The nodes that are now set aside because it did not begin there, and why."""
        found = {node: why for node, why in self._failed_on.pop(key, {}).items() if node not in self._set_aside}
        self._set_aside |= found.keys()
        return found

    def refused(self, node: str) -> bool:
        """The node cannot run any cell. Whether it is set aside only now."""
        is_new = node not in self._set_aside
        self._set_aside.add(node)
        return is_new


class Scheduler:
    """The state of one run. The time of a step does not grow with the number of waiting tasks.

    Tasks of one lane run one after another. A lane keeps its slot until all its tasks have ended.

    Parameters
    ----------
    slots : maximum number of lanes that run at the same time; a task without a lane has one of its own. It may change
        between two steps.
    timeout_s : time limit of one attempt
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        slots: int,
        timeout_s: float | None = None,
        infra_retries: int = INFRA_RETRIES,
        memory_retries: int = MEMORY_RETRIES,
    ) -> None:
        self.slots, self._timeout_s = slots, timeout_s
        self._retries_allowed = {Status.INFRA: infra_retries, Status.OOM: memory_retries}
        """By status, if the node caused it."""
        self._waiting: dict[str, deque[Task]] = {}
        """The tasks of each lane that have not started; no queue in it is empty."""
        for task in tasks:
            self._waiting.setdefault(task.lane or task.key, deque()).append(task)
        self._closed = deque(self._waiting)
        """Lanes that have not had a slot yet, in the order of their first tasks."""
        self._open: dict[str, None] = {}
        """Lanes that have a slot, in the order in which they got it."""
        self._running: dict[Task, str] = {}
        """The running tasks and their lanes, the oldest first."""
        self._begun_at: dict[Task, float] = {}
        """When running tasks began. A cluster may let a submitted task wait: then it is not in here."""
        self._retries: dict[str, int] = {}
        self._stopped = False
        self.finished: dict[str, Status] = {}
        """Final status of the cells that have ended, by key."""

    @property
    def done(self) -> bool:
        """Whether no task runs and no task waits."""
        return not self._running and not self._waiting

    @property
    def running(self) -> tuple[Task, ...]:
        """Running tasks, the oldest first."""
        return tuple(self._running)

    def start(self) -> list[Task]:
        """The tasks to start now; from here on they count as running."""
        while self._closed and len(self._open) < self.slots:
            self._open[self._closed.popleft()] = None
        busy = set(self._running.values())
        return [self._start_next(lane) for lane in self._open if lane not in busy]

    def begun(self, task: Task, now: float) -> None:
        """A running task has begun: its time limit counts from now."""
        if task in self._running:
            self._begun_at[task] = now

    def holds(self, lane: str) -> bool:
        """Whether the lane has a slot: some of its tasks have started, and some have not ended."""
        return lane in self._open

    def ended(self, task: Task, status: Status, by: Literal["cell", "node"] = "cell") -> bool:
        """A running task has ended, by itself or because of its node. False if it had ended before.

        A task that ended as `infra` or `oom` because of its node is retried, after the others of its lane,
        until its retries are used up.
        """
        if (lane := self._running.pop(task, None)) is None:
            return False
        self._begun_at.pop(task, None)
        key = task.key
        retries = self._retries.get(key, 0)
        if by == "node" and retries < self._retries_allowed.get(status, 0) and not self._stopped:
            self._retries[key] = retries + 1
            self._waiting.setdefault(lane, deque()).append(task.again())
        else:
            self.finished[key] = status
        if lane not in self._waiting:
            del self._open[lane]
        return True

    def overdue(self, now: float) -> list[Task]:
        """Running tasks that have exceeded their time limit."""
        limit = self._timeout_s
        return [] if limit is None else [task for task, begun in self._begun_at.items() if now - begun > limit]

    def seconds_to_deadline(self, now: float) -> float | None:
        """Seconds until the next task exceeds its time limit; None if no task can."""
        if self._timeout_s is None or not self._begun_at:
            return None
        return max(0.0, min(self._begun_at.values()) + self._timeout_s - now)

    def stop(self) -> list[Task]:
        """Start no more tasks; running ones may finish. Returns the tasks that will not start."""
        self._stopped = True
        not_started = [task for queue in self._waiting.values() for task in queue]
        self._waiting, self._closed = {}, deque()
        busy = set(self._running.values())
        self._open = {lane: None for lane in self._open if lane in busy}
        return not_started

    def _start_next(self, lane: str) -> Task:
        """Start the next task of an open lane in which none runs: one whose budget others decide comes last."""
        queue = self._waiting[lane]
        task = next((task for task in queue if task.givers is None), queue[0])
        queue.remove(task)
        if not queue:
            del self._waiting[lane]
        self._running[task] = lane
        return task
