"""The loop that joins plan, scheduler, executor and records: one run of a suite."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import Protocol

from dtcbench.execution.executor import Executor, Outcome
from dtcbench.execution.scheduler import Attempt, Policy, Scheduler
from dtcbench.execution.worker import Task, lost
from dtcbench.plan.cell import Cell
from dtcbench.records.record import CellRecord, Status
from dtcbench.records.store import Contents, Store
from dtcbench.registry import Plugin

POLL_S = 0.5
"""How often, at least, time limits and Ctrl-C are looked at."""
AGAIN = frozenset({Status.INFRA, Status.CANCELLED, Status.SKIPPED})
"""Ends that say nothing about the cell: the next run tries it again by itself."""


class Watcher(Protocol):
    """Is told what happens, as it happens."""

    def started(self, cell: Cell) -> None:
        """An attempt at the cell began."""

    def ended(self, record: CellRecord) -> None:
        """An attempt ended, and its record is sealed."""

    def stopping(self, running: int) -> None:
        """The user asked to stop; so many cells are still under way."""


@dataclass(frozen=True)
class Job:
    """What does not change between the cells of a run."""

    suite: str
    device: str
    timeout_s: float | None
    plugins: tuple[Plugin, ...] = ()

    def task(self, attempt: Attempt) -> Task:
        """The task of one attempt."""
        return Task(attempt.cell, self.suite, attempt.number, self.device, self.plugins)


class Interrupts:
    """Ctrl-C, counted: once asks to finish what runs, twice ends everything at once."""

    def __init__(self) -> None:
        self.asked_to_stop = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Count SIGINT inside, instead of raising KeyboardInterrupt for the first one."""
        before = signal.signal(signal.SIGINT, self._count)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _count(self, signum: int, frame: FrameType | None) -> None:
        if self.asked_to_stop:
            raise KeyboardInterrupt
        self.asked_to_stop = True


def to_run(cells: tuple[Cell, ...], contents: Contents, retry_failed: bool) -> list[Attempt]:
    """Attempts still to be made: cells without a record, those whose end says nothing about them,
    and, if asked for, those that failed."""
    attempts = []
    for cell in cells:
        record = contents.record(cell.key)
        failed = record is not None and record.status is not Status.OK
        if record is None or record.status in AGAIN or (failed and retry_failed):
            attempts.append(Attempt(cell, contents.next_attempt(cell.key)))
    return attempts


def drive(attempts: list[Attempt], job: Job, store: Store, executor: Executor, watcher: Watcher) -> dict[str, Status]:
    """Make the attempts and seal a record of each; the cells' final statuses by key.

    KeyboardInterrupt at the second Ctrl-C; what ran then has no record and is redone next time.
    """
    scheduler = Scheduler(attempts, Policy(executor.slots, job.timeout_s))
    began: dict[Attempt, tuple[str, float]] = {}
    interrupts, told = Interrupts(), False
    with interrupts.caught():
        while not scheduler.done:
            if interrupts.asked_to_stop and not told:
                scheduler.stop()
                watcher.stopping(len(scheduler.running))
                told = True
                continue
            for attempt in scheduler.start(time.monotonic()):
                began[attempt] = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
                executor.submit(job.task(attempt))
                watcher.started(attempt.cell)
            deadline = scheduler.seconds_to_deadline(time.monotonic())
            for outcome in _outcomes(scheduler, job, executor, POLL_S if deadline is None else min(POLL_S, deadline)):
                attempt = Attempt(outcome.task.cell, outcome.task.attempt)
                record = _record(outcome, *began[attempt])
                if scheduler.ended(attempt, record.status):
                    store.append(record)
                    watcher.ended(record)
    return scheduler.finished


def _outcomes(scheduler: Scheduler, job: Job, executor: Executor, timeout_s: float) -> Iterator[Outcome]:
    yield from executor.wait(timeout_s)
    yield from _overdue(scheduler, job, executor)  # after what came back in time has been told


def _overdue(scheduler: Scheduler, job: Job, executor: Executor) -> list[Outcome]:
    outcomes = []
    for attempt in scheduler.overdue(time.monotonic()):
        task = job.task(attempt)
        executor.kill(task)
        reason = f"took longer than the suite's timeout of {job.timeout_s:g} s; raise `timeout` or lower the steps"
        outcomes.append(Outcome(task, None, Status.TIMEOUT, reason))
    return outcomes


def _record(outcome: Outcome, started_at: str, began: float) -> CellRecord:
    if outcome.record is not None:
        return CellRecord.model_validate(outcome.record)
    wall_s = time.monotonic() - began
    return CellRecord.model_validate(lost(outcome.task, outcome.status, outcome.reason, started_at, wall_s))
