"""Which attempt starts next, which cell is retried, which is finished: a state machine, driven by events.

It uses no Ray, no files and no clock: `now` is monotonic time in seconds, from the caller. Every cell ends exactly
once, and no cell runs twice at the same time.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from dtcbench.plan.cell import Cell
from dtcbench.record import Status


@dataclass(frozen=True)
class Attempt:
    """One attempt at one cell."""

    cell: Cell = field(compare=False)
    number: int
    """Counted from 1, over all runs on the same folder."""
    key: str = field(init=False)
    """The cell's key. It is computed once, and stands for the cell where attempts are compared."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.cell.key)


def own_lane(cell: Cell) -> str:
    """A lane for this cell alone: it may run on any GPU."""
    return cell.key


def shared_lane(cell: Cell) -> str:
    """One lane for all cells of a model, data set and seed, dense included: their energies are compared.

    On one physical GPU the meter's gain error is the same for all of them, and cancels from their ratios.
    """
    return json.dumps([cell.model.label, cell.dataset.label, cell.seed])


@dataclass(frozen=True)
class Policy:
    """The limits of a run."""

    slots: int
    """Maximum number of lanes that run at the same time."""
    lane: Callable[[Cell], str] = own_lane
    """Cells of one lane run one after another. A lane keeps its slot until all its cells have ended."""
    timeout_s: float | None = None
    """Time limit of one attempt."""
    infra_retries: int = 2
    """Number of retries allowed for a cell whose node or worker was lost."""
    memory_retries: int = 1
    """Number of retries allowed for a cell that its node killed for memory: another process may have used it up.
    No other failure is retried."""


class Scheduler:
    """The state of one run. The time of a step does not grow with the number of waiting cells."""

    def __init__(self, attempts: Iterable[Attempt], policy: Policy) -> None:
        self.policy = policy
        self._waiting: dict[str, deque[Attempt]] = {}
        """The attempts of each lane that have not started; no queue in it is empty."""
        for attempt in attempts:
            self._waiting.setdefault(policy.lane(attempt.cell), deque()).append(attempt)
        self._closed = deque(self._waiting)
        """Lanes that have not had a slot yet, in plan order."""
        self._open: dict[str, None] = {}
        """Lanes that have a slot, in the order in which they got it."""
        self._running: dict[Attempt, str] = {}
        """The running attempts and their lanes, the oldest first."""
        self._begun_at: dict[Attempt, float] = {}
        """When running attempts began. A cluster may let a submitted attempt wait: then it is not in here."""
        self._retries: dict[str, int] = {}
        self._stopped = False
        self.finished: dict[str, Status] = {}
        """Final status of the cells that have ended, by key."""

    @property
    def done(self) -> bool:
        """Whether no attempt runs and no attempt waits."""
        return not self._running and not self._waiting

    @property
    def running(self) -> tuple[Attempt, ...]:
        """Running attempts, the oldest first."""
        return tuple(self._running)

    def start(self) -> list[Attempt]:
        """The attempts to start now; from here on they count as running."""
        while self._closed and len(self._open) < self.policy.slots:
            self._open[self._closed.popleft()] = None
        busy = set(self._running.values())
        return [self._start_next(lane) for lane in self._open if lane not in busy]

    def begun(self, attempt: Attempt, now: float) -> None:
        """A running attempt has begun: its time limit counts from now."""
        if attempt in self._running:
            self._begun_at[attempt] = now

    def holds(self, lane: str) -> bool:
        """Whether the lane has a slot: some of its cells have started, and some have not ended."""
        return lane in self._open

    def ended(self, attempt: Attempt, status: Status, by: Literal["cell", "node"] = "cell") -> bool:
        """A running attempt has ended, by itself or because of its node. False if it had ended before.

        An attempt that ended as `infra` or `oom` because of its node is retried, after the other cells of its lane,
        until its retries are used up.
        """
        if (lane := self._running.pop(attempt, None)) is None:
            return False
        self._begun_at.pop(attempt, None)
        key = attempt.key
        retries = self._retries.get(key, 0)
        if by == "node" and retries < self._retries_allowed(status) and not self._stopped:
            self._retries[key] = retries + 1
            self._waiting.setdefault(lane, deque()).append(Attempt(attempt.cell, attempt.number + 1))
        else:
            self.finished[key] = status
        if lane not in self._waiting:
            del self._open[lane]
        return True

    def overdue(self, now: float) -> list[Attempt]:
        """Running attempts that have exceeded their time limit."""
        limit = self.policy.timeout_s
        return [] if limit is None else [attempt for attempt, begun in self._begun_at.items() if now - begun > limit]

    def seconds_to_deadline(self, now: float) -> float | None:
        """Seconds until the next attempt exceeds its time limit; None if no attempt can."""
        if self.policy.timeout_s is None or not self._begun_at:
            return None
        return max(0.0, min(self._begun_at.values()) + self.policy.timeout_s - now)

    def stop(self) -> list[Attempt]:
        """Start no more attempts; running ones may finish. Returns the attempts that will not start."""
        self._stopped = True
        not_started = [attempt for queue in self._waiting.values() for attempt in queue]
        self._waiting, self._closed = {}, deque()
        busy = set(self._running.values())
        self._open = {lane: None for lane in self._open if lane in busy}
        return not_started

    def _start_next(self, lane: str) -> Attempt:
        """Start the next attempt of an open lane in which none runs."""
        attempt = self._waiting[lane].popleft()
        if not self._waiting[lane]:
            del self._waiting[lane]
        self._running[attempt] = lane
        return attempt

    def _retries_allowed(self, status: Status) -> int:
        """Number of retries allowed for this status, if the node caused it."""
        return {Status.INFRA: self.policy.infra_retries, Status.OOM: self.policy.memory_retries}.get(status, 0)
