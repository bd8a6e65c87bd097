"""What to start next, what to try again, what to give up: a state machine that is told events.

Knows no Ray, no files and no clock: `now` is whatever monotonic seconds the caller has. Every cell
it is given ends exactly once, and never runs twice at the same time.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from dtcbench.plan.cell import Cell
from dtcbench.record import Status


@dataclass(frozen=True)
class Attempt:
    """One try at one cell."""

    cell: Cell = field(compare=False)
    number: int
    """Counted from 1 over all runs on the same folder."""
    key: str = field(init=False)
    """The cell's, which takes a hash to find out: it stands for the cell wherever attempts are looked up."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.cell.key)


def alone(cell: Cell) -> str:
    """The block of a cell that has no need to share a GPU with any other: its own."""
    return cell.key


def paired(cell: Cell) -> str:
    """The block of a cell whose energy is compared: all cells of one (model, dataset, seed), dense included.

    On one physical GPU the error of its meter is the same for all of them, and cancels from their ratios.
    """
    return json.dumps([cell.model.label, cell.dataset.label, cell.seed])


@dataclass(frozen=True)
class Policy:
    """The limits a run works under."""

    slots: int
    """Blocks under way at the same time, at most."""
    block: Callable[[Cell], str] = alone
    """Cells of one block run one after another, and no slot leaves a block before it is done."""
    timeout_s: float | None = None
    """Seconds one attempt may take."""
    infra_retries: int = 2
    """Further attempts at a cell whose node or worker was lost."""
    memory_retries: int = 1
    """Further attempts at a cell that its node killed for memory: another may have eaten it. No other failure
    is tried again."""


@dataclass(frozen=True)
class _Running:
    """What is known of an attempt under way."""

    block: str
    since: float | None
    """When it began, as far as is known: a cluster may keep a started attempt waiting."""


class Scheduler:
    """The state of one run. What it does in one step does not take longer where more cells wait."""

    def __init__(self, attempts: Iterable[Attempt], policy: Policy) -> None:
        self.policy = policy
        self._waiting: dict[str, deque[Attempt]] = {}
        """By block, what of it has not started; never empty."""
        for attempt in attempts:
            self._waiting.setdefault(policy.block(attempt.cell), deque()).append(attempt)
        self._closed = deque(self._waiting)
        """Blocks that no slot has taken up yet, in plan order."""
        self._open: dict[str, None] = {}
        """Blocks that hold a slot, in the order they took it."""
        self._running: dict[Attempt, _Running] = {}
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

    def start(self) -> list[Attempt]:
        """The attempts to start; from here on they count as running."""
        while self._closed and len(self._open) < self.policy.slots:
            self._open[self._closed.popleft()] = None
        busy = {running.block for running in self._running.values()}
        return [self._begin(block) for block in self._open if block not in busy]

    def begun(self, attempt: Attempt, now: float) -> None:
        """Told that a running attempt has begun: its time limit counts from here."""
        if attempt in self._running:
            self._running[attempt] = replace(self._running[attempt], since=now)

    def holds(self, block: str) -> bool:
        """Whether the block has a slot: something of it has started, and something runs or waits."""
        return block in self._open

    def ended(self, attempt: Attempt, status: Status, by: Literal["cell", "node"] = "cell") -> bool:
        """Told how a running attempt ended, and who ended it. True if its record counts, False if it is a late echo.

        What its node ended by `infra` or `oom` is queued again, behind the others of its block, until its retries
        are spent.
        """
        if (ran := self._running.pop(attempt, None)) is None:
            return False
        key = attempt.key
        retries = self._retries.get(key, 0)
        if by == "node" and retries < self._worth(status) and not self._stopped:
            self._retries[key] = retries + 1
            self._waiting.setdefault(ran.block, deque()).append(Attempt(attempt.cell, attempt.number + 1))
        else:
            self.finished[key] = status
        if ran.block not in self._waiting:
            del self._open[ran.block]
        return True

    def overdue(self, now: float) -> list[Attempt]:
        """Running attempts whose time limit has passed."""
        limit = self.policy.timeout_s
        if limit is None:
            return []
        return [a for a, running in self._running.items() if running.since is not None and now - running.since > limit]

    def seconds_to_deadline(self, now: float) -> float | None:
        """Until the next time limit passes; None where nothing can become overdue."""
        since = [running.since for running in self._running.values() if running.since is not None]
        if self.policy.timeout_s is None or not since:
            return None
        return max(0.0, min(since) + self.policy.timeout_s - now)

    def stop(self) -> list[Attempt]:
        """Start nothing more; what runs may finish. The attempts that will not be made."""
        self._stopped = True
        given_up = [attempt for queue in self._waiting.values() for attempt in queue]
        self._waiting, self._closed = {}, deque()
        busy = {running.block for running in self._running.values()}
        self._open = {block: None for block in self._open if block in busy}
        return given_up

    def _begin(self, block: str) -> Attempt:
        """The next attempt of an open block of which nothing runs."""
        attempt = self._waiting[block].popleft()
        if not self._waiting[block]:
            del self._waiting[block]
        self._running[attempt] = _Running(block, None)
        return attempt

    def _worth(self, status: Status) -> int:
        """How many further attempts an end by the node's doing is worth."""
        return {Status.INFRA: self.policy.infra_retries, Status.OOM: self.policy.memory_retries}.get(status, 0)
