"""The loop that joins plan, scheduler, executor and records: one run of a suite."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from dtcbench.energy.meter import ResourceShare
from dtcbench.errors import UserError
from dtcbench.execution.executor import Executor, Outcome
from dtcbench.execution.interrupts import Interrupts
from dtcbench.execution.scheduler import Attempt, Policy, Scheduler, own_lane, shared_lane
from dtcbench.execution.stacks import without_places
from dtcbench.execution.worker import Task
from dtcbench.plan.cell import Cell
from dtcbench.plan.metering import Metering
from dtcbench.plan.suite import Suite
from dtcbench.record import INCONCLUSIVE, CellRecord, Status
from dtcbench.records.location import AnyPath
from dtcbench.records.store import Contents, Writer
from dtcbench.registry import Plugin

POLL_S = 0.5
"""How often, at least, time limits and Ctrl-C are looked at."""


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

    def ended(self, record: CellRecord, final: bool) -> None:
        """An attempt has ended, and its record is sealed; not `final` if the cell is retried."""

    def stopping(self, running: int) -> None:
        """The user asked to stop; this number of cells is still running."""

    def written(self, files: Sequence[AnyPath]) -> None:
        """Tables and leaderboard were rebuilt in these files."""


@dataclass(frozen=True)
class Job:
    """What does not change between the cells of a run."""

    suite: str
    device: str
    timeout_s: float | None
    share: ResourceShare
    metering: Metering
    plugins: tuple[Plugin, ...] = ()
    fail_over: float | None = None
    """Start nothing more when a larger share of the cells has failed."""

    @classmethod
    def of(cls, suite: Suite, plugins: tuple[Plugin, ...], fail_over: float | None) -> Job:
        """The job of running `suite`."""
        device = "cuda" if suite.resources.gpus else "cpu"
        share = ResourceShare(suite.resources.gpus, suite.cpus)
        return cls(suite.name, device, suite.timeout, share, suite.energy, plugins, fail_over)

    def lane(self, cell: Cell) -> str:
        """The lane of a cell: cells whose energies are compared share one."""
        return shared_lane(cell) if self._compares_energy else own_lane(cell)

    def task(self, attempt: Attempt) -> Task:
        """The task of one attempt."""
        lane = shared_lane(attempt.cell) if self._compares_energy else None
        return Task(
            attempt.cell,
            self.suite,
            attempt.number,
            self.device,
            self.share,
            self.metering,
            self.timeout_s,
            self.plugins,
            lane,
        )

    @property
    def _compares_energy(self) -> bool:
        # A part of a GPU is not metered, or flagged: then no energies are compared.
        return self.share.gpus == 1 and self.metering.meter != "none"


def to_run(cells: tuple[Cell, ...], contents: Contents[Any], retry_failed: bool) -> list[Attempt]:
    """Attempts still to be made: cells without a record, those whose end says nothing about them,
    and, if asked for, those that failed."""
    attempts = []
    for cell in cells:
        record = contents.record(cell.key)
        failed = record is not None and record.status is not Status.OK
        if record is None or record.status in INCONCLUSIVE or (failed and retry_failed):
            attempts.append(Attempt(cell, contents.next_attempt(cell.key)))
    return attempts


def drive(
    attempts: list[Attempt],
    job: Job,
    writer: Writer,
    executor: Executor,
    watcher: Watcher,
    data: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Status]:
    """Make the attempts and seal a record of each; the cells' final statuses by key.

    `data` holds the SHA-256 of the data sets' content in the records that the run has, by `Choice.label`: a cell that
    a node trained on other content ends as `error`.

    KeyboardInterrupt at the second Ctrl-C; what ran then is recorded as cancelled.
    """
    limit = None if job.timeout_s is None else job.timeout_s + executor.grace_s
    scheduler = Scheduler(attempts, Policy(executor.slots, job.lane, limit))
    interrupts, told = Interrupts(), False
    run = _Run(scheduler, len(attempts), job, writer, executor, watcher, interrupts, dict(data))
    with interrupts.caught():
        try:
            while not run.scheduler.done:
                if interrupts.asked_to_stop and not told:
                    run.stop()
                    told = True
                else:
                    run.step()
        except KeyboardInterrupt:
            run.abandon(Status.CANCELLED, "stopped by Ctrl-C while under way")
            raise
        except UserError as error:
            run.abandon(Status.INFRA, without_places(str(error)))
            raise
    return run.scheduler.finished


@dataclass
class _Run:
    """One run under way."""

    scheduler: Scheduler
    cells: int
    job: Job
    writer: Writer
    executor: Executor
    watcher: Watcher
    interrupts: Interrupts
    data: dict[str, str]
    """SHA-256 of the content of each data set that an ok cell was trained on, by `Choice.label`."""
    began: dict[Attempt, tuple[str, float]] = field(default_factory=dict)
    failed: int = 0

    def step(self) -> None:
        """Start what can start, wait a little, and record what ended."""
        self._start()
        for task in self.executor.begun():
            self.scheduler.begun(Attempt(task.cell, task.attempt), time.monotonic())
        deadline = self.scheduler.seconds_to_deadline(time.monotonic())
        for outcome in self.executor.wait(POLL_S if deadline is None else min(POLL_S, deadline)):
            self._end(outcome)
        for attempt in self.scheduler.overdue(time.monotonic()):  # after what came back in time
            task = self.job.task(attempt)
            self.executor.kill(task)
            self._end(Outcome(task, None, Status.TIMEOUT, task.overdue_reason))

    def _start(self) -> None:
        """Start what can start, unless the user has asked to stop."""
        if self.interrupts.asked_to_stop:
            return
        for attempt in self.scheduler.start():
            self.began[attempt] = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
            self.executor.submit(self.job.task(attempt))
            self.watcher.started(attempt.cell)

    def stop(self) -> None:
        """Start nothing more."""
        self.scheduler.stop()
        self.watcher.stopping(len(self.scheduler.running))

    def abandon(self, status: Status, reason: str) -> None:
        """Record what still runs as ended so; whoever closes the executor ends it."""
        self.scheduler.stop()
        for attempt in self.scheduler.running:
            self._end(Outcome(self.job.task(attempt), None, status, reason))

    def skip_the_rest(self) -> None:
        """Record what has not started as skipped, where too many cells have failed."""
        if self.job.fail_over is None or self.failed <= self.job.fail_over * self.cells:
            return
        reason = f"{self.failed} of {self.cells} cells failed, more than --fail-over {self.job.fail_over:g}"
        for attempt in self.scheduler.stop():
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self.writer.append(self.job.task(attempt).record(Status.SKIPPED, reason, now, 0.0))

    def _end(self, outcome: Outcome) -> None:
        attempt = Attempt(outcome.task.cell, outcome.task.attempt)
        if (began := self.began.pop(attempt, None)) is None:
            return  # a late echo of what has ended
        record = self._of_the_same_data(_record(outcome, *began), outcome.task)
        if self.scheduler.ended(attempt, record.status, "cell" if outcome.report else "node"):
            final = record.key in self.scheduler.finished
            self.failed += final and record.status is not Status.OK
            if (lane := outcome.task.lane) is not None and not self.scheduler.holds(lane):
                self.executor.release(lane)
            self.skip_the_rest()
            self._start()  # before sealing: no worker waits for the disk
            is_metered = record.energy is not None and record.energy.trace_sha256 is not None
            self.writer.append(record, outcome.report.trace if outcome.report and is_metered else None)
            self.watcher.ended(record, final=final)

    def _of_the_same_data(self, record: CellRecord, task: Task) -> CellRecord:
        """The record, or an `error` in its place where its node has other data than the run's cells were trained on."""
        found = record.provenance.dataset_sha256 if record.provenance else None
        if record.status is not Status.OK or found is None:
            return record
        expected = self.data.setdefault(record.cell.dataset.label, found)
        if found == expected:
            return record
        reason = (
            f"its node holds other data of {record.cell.dataset.label} (SHA-256 {found[:12]}) than the run's other "
            f"cells were trained on ({expected[:12]}); put the same data on every node"
        )
        return task.record(Status.ERROR, reason, record.started_at, record.wall_s)


def _record(outcome: Outcome, started_at: str, began: float) -> CellRecord:
    if outcome.report is not None:
        return CellRecord.model_validate(outcome.report.record)
    wall_s = time.monotonic() - began
    return outcome.task.record(outcome.status, outcome.reason, started_at, wall_s, outcome.detail)
