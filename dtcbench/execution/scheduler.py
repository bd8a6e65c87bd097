"""What to start next, what to try again, what to give up: a state machine that is told events.

Knows no Ray, no files and no clock: `now` is whatever monotonic seconds the caller has. Every cell
it is given ends exactly once, and never runs twice at the same time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from dtcbench.plan.cell import Cell
from dtcbench.records.record import Status


@dataclass(frozen=True)
class Attempt:
    """One try at one cell."""

    cell: Cell
    number: int
    """Counted from 1 over all runs on the same folder."""


@dataclass(frozen=True)
class Policy:
    """The limits a run works under."""

    slots: int
    """Cells under way at the same time, at most."""
    timeout_s: float | None = None
    """Seconds one attempt may take."""
    infra_retries: int = 2
    """Further attempts at a cell whose node or worker was lost; no other failure is tried again."""


class Scheduler:
    """The state of one run."""

    def __init__(self, attempts: Iterable[Attempt], policy: Policy) -> None:
        self.policy = policy
        self._waiting = deque(attempts)
        self._running: dict[Attempt, float] = {}
        self._retries: dict[str, int] = {}
        self._stopped = False
        self.finished: dict[str, Status] = {}

    @property
    def done(self) -> bool:
        """Whether nothing is under way and nothing waits."""
        return not self._running and not self._waiting

    @property
    def running(self) -> tuple[Attempt, ...]:
        """Attempts under way, the oldest first."""
        return tuple(self._running)

    @property
    def waiting(self) -> int:
        """Number of cells not yet started."""
        return len(self._waiting)

    def start(self, now: float) -> list[Attempt]:
        """The attempts to start now; from here on they count as running."""
        started = []
        while self._waiting and len(self._running) < self.policy.slots:
            attempt = self._waiting.popleft()
            self._running[attempt] = now
            started.append(attempt)
        return started

    def ended(self, attempt: Attempt, status: Status) -> bool:
        """Told how a running attempt ended. True if its record counts, False if it is a late echo.

        `infra` queues the cell again, behind the others, until its retries are spent.
        """
        if self._running.pop(attempt, None) is None:
            return False
        key = attempt.cell.key
        retries = self._retries.get(key, 0)
        if status is Status.INFRA and retries < self.policy.infra_retries and not self._stopped:
            self._retries[key] = retries + 1
            self._waiting.append(Attempt(attempt.cell, attempt.number + 1))
        else:
            self.finished[key] = status
        return True

    def overdue(self, now: float) -> list[Attempt]:
        """Running attempts whose time limit has passed."""
        limit = self.policy.timeout_s
        return [] if limit is None else [a for a, since in self._running.items() if now - since > limit]

    def seconds_to_deadline(self, now: float) -> float | None:
        """Until the next time limit passes; None where nothing can become overdue."""
        if self.policy.timeout_s is None or not self._running:
            return None
        return max(0.0, min(self._running.values()) + self.policy.timeout_s - now)

    def stop(self) -> None:
        """Start nothing more; what runs may finish."""
        self._stopped = True
        self._waiting.clear()
