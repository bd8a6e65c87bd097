"""The loop of one run: it connects scheduler, executor and records, and tells a watcher."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from dtcbench.errors import UserError
from dtcbench.execution.executor import Executor
from dtcbench.execution.interrupts import Interrupts
from dtcbench.execution.joule_budget import Giving, Refused, allowed_steps, givings
from dtcbench.execution.scheduler import Scheduler, UnfitNodes
from dtcbench.execution.stacks import without_places
from dtcbench.execution.task import Job, Outcome, Place, Task
from dtcbench.execution.watcher import Watcher
from dtcbench.plan.cell import Cell
from dtcbench.plan.joule_budget import Givers, has_joule_budget
from dtcbench.record import INCONCLUSIVE, CellRecord, Status
from dtcbench.records.store import Contents
from dtcbench.records.writer import Writer
from dtcbench.training.determinism import generator

POLL_S = 0.5
"""Maximum seconds between two checks of time limits and Ctrl-C."""
NOTES_S = 15.0
"""Between two questions to the executor about what the user should know."""
NODES_S = 2.0
"""Between two looks at the nodes."""
CLOCK_S = 5.0
"""A node's clock that differs by more from the driver's is wrong."""


def to_run(
    cells: Iterable[Cell],
    contents: Contents[Any],
    job: Job,
    *,
    retry_failed: bool = False,
    givers: Mapping[str, Givers] = MappingProxyType({}),
    places: Mapping[str, int] = MappingProxyType({}),
) -> list[Task]:
    """The tasks of a run: of cells without a record, cells whose end says nothing about them, and, if `retry_failed`,
    failed cells.

    Parameters
    ----------
    givers : by key, the cells that decide a cell's budget of joules
    places : by key, the cells' places in their lanes (`drawn_places`)
    """
    tasks = []
    for cell in cells:
        record = contents.record(cell.key)
        failed = record is not None and record.status is not Status.OK
        if record is None or record.status in INCONCLUSIVE or (failed and retry_failed):
            attempt, place = contents.next_attempt(cell.key), places.get(cell.key)
            tasks.append(Task(cell, attempt, job, givers.get(cell.key), place=place))
    return sorted(tasks, key=lambda task: task.place or 0)  # cells without a place stay in the plan's order


def drawn_places(cells: Iterable[Cell], job: Job) -> dict[str, int]:
    """By key, the place of each cell in its lane, counted from 1: in an order drawn from the lane's seed, so that what
    drifts while a lane runs is no method's. Cells whose budget others decide come last.

    Parameters
    ----------
    cells : all of the plan; those without a lane get no place
    """
    lanes: dict[str, list[Cell]] = {}
    for cell in cells:
        if (lane := job.lane(cell)) is not None:
            lanes.setdefault(lane, []).append(cell)
    places: dict[str, int] = {}
    for lane, together in lanes.items():
        drawn = generator(together[0].seed, f"order of {lane}").permutation(len(together)).tolist()
        ordered = sorted((together[number] for number in drawn), key=has_joule_budget)
        places |= {cell.key: place for place, cell in enumerate(ordered, 1)}
    return places


def drive(
    tasks: list[Task],
    job: Job,
    writer: Writer,
    executor: Executor,
    watcher: Watcher,
    data: Mapping[str, str] = MappingProxyType({}),
    interrupts: Interrupts | None = None,
) -> dict[str, Status]:
    """Execute the tasks and seal a record of each; the cells' final statuses by key.

    KeyboardInterrupt at the second Ctrl-C: then the running cells are recorded as cancelled.

    Parameters
    ----------
    data : SHA-256 of the content of each data set that the run's ok cells were trained on, by `Choice.label`. A cell
        whose node has other content ends as `error`.
    interrupts : says afterwards whether the user has asked to stop
    """
    limit = None if job.timeout_s is None else job.timeout_s + executor.grace_s
    scheduler = Scheduler(tasks, executor.slots, limit)
    interrupts, is_stopping = interrupts or Interrupts(), False
    given = givings(tasks, writer.store)
    driver = _Driver(scheduler, len(tasks), job, writer, executor, watcher, interrupts, dict(data), given)
    with interrupts.caught():
        try:
            while not scheduler.done:
                if interrupts.asked_to_stop and not is_stopping:
                    driver.stop()
                    is_stopping = True
                else:
                    driver.step()
        except KeyboardInterrupt:
            driver.abandon(Status.CANCELLED, "stopped by Ctrl-C while it was running")
            raise
        except UserError as error:
            driver.abandon(Status.INFRA, without_places(str(error)))
            raise
    return scheduler.finished


@dataclass
class _Driver:
    """A run in progress."""

    scheduler: Scheduler
    cells: int
    job: Job
    writer: Writer
    executor: Executor
    watcher: Watcher
    interrupts: Interrupts
    data: dict[str, str]
    """SHA-256 of the content of each data set that an ok cell was trained on, by `Choice.label`."""
    given: dict[str, Giving]
    """By key, what the ended cells give to budgets of joules."""
    began: dict[Task, tuple[str, float]] = field(default_factory=dict)
    """When each running task was submitted: as a date, and in monotonic seconds."""
    unfit: UnfitNodes = field(default_factory=UnfitNodes)
    hosts: dict[str, str] = field(default_factory=dict)
    """The host's name of each node on which a cell has ended, by Ray's id."""
    first: dict[str, str] = field(default_factory=dict)
    """By data set's label, the host of this run's first ok cell of it, if no earlier run had one."""
    wrong_clocks: set[str] = field(default_factory=set)
    """Nodes whose clocks were found wrong."""
    notes_at: float = -math.inf
    """When the executor was last asked for notes, in monotonic seconds."""
    nodes_at: float = -math.inf
    """When the nodes were last looked at, in monotonic seconds."""
    placed: set[Task] = field(default_factory=set)
    """The running tasks of which the watcher knows where they run."""
    failed: int = 0

    def step(self) -> None:
        """Submit the tasks that can start, wait a little, and record those that ended."""
        self._start()
        if not self.scheduler.running:
            return  # all that were left have ended without an attempt
        for task in self.executor.begun():
            self.scheduler.begun(task, time.monotonic())
        if time.monotonic() - self.notes_at > NOTES_S:
            self.notes_at = time.monotonic()
            for note in self.executor.notes():
                self.watcher.noted(note)
        if time.monotonic() - self.nodes_at > NODES_S:
            self.nodes_at = time.monotonic()
            self._look_at_nodes()
        deadline = self.scheduler.seconds_to_deadline(time.monotonic())
        for outcome in self.executor.wait(POLL_S if deadline is None else min(POLL_S, deadline)):
            self._end(outcome)
        for task in self.scheduler.overdue(time.monotonic()):  # after those that ended in time
            self.executor.kill(task)
            self._end(Outcome(task, None, Status.TIMEOUT, task.overdue_reason))

    def _look_at_nodes(self) -> None:
        """Tell the watcher which nodes there are, and which tasks they run."""
        self.watcher.nodes(nodes := self.executor.nodes())
        for node in nodes:
            for task in node.running:
                self._place(task, node.host)

    def _place(self, task: Task, host: str) -> None:
        if task not in self.placed:
            self.placed.add(task)
            self.watcher.placed(task.cell, host)

    def _start(self) -> None:
        """Submit the tasks that can start, unless the user has asked to stop."""
        if self.interrupts.asked_to_stop:
            return
        self.scheduler.slots = self.executor.slots
        for task in self.scheduler.start():
            self.began[task] = _now(), time.monotonic()
            steps = allowed_steps(task, self.given)
            if isinstance(steps, Refused):
                self._end(Outcome(task, None, steps.status, steps.reason))
                continue
            self.executor.submit(replace(task, steps=steps, avoid=self.unfit.avoided(task.key)))
            self.watcher.started(task.cell)

    def stop(self) -> None:
        """Start no more tasks."""
        self.scheduler.stop()
        self.watcher.stopping(len(self.scheduler.running))

    def abandon(self, status: Status, reason: str) -> None:
        """Record the running tasks with this status. The executor ends them when it is closed."""
        self.scheduler.stop()
        for task in self.scheduler.running:
            self._end(Outcome(task, None, status, reason))

    def _skip_the_rest(self) -> None:
        """If too many cells have failed, start no more, and record the others as skipped."""
        if self.job.fail_over is None or self.failed <= self.job.fail_over * self.cells:
            return
        reason = f"{self.failed} of {self.cells} cells failed, more than --fail-over {self.job.fail_over:g}"
        for task in self.scheduler.stop():
            self.writer.append(task.record(Status.SKIPPED, reason, _now(), 0.0))

    def _end(self, outcome: Outcome) -> None:
        task = outcome.task
        if (began := self.began.pop(task, None)) is None:
            return  # it had ended before
        if outcome.place is not None:
            self._place(task, outcome.place.host)
        self.placed.discard(task)
        record = self._with_the_drivers_time(_record(outcome, *began), began[0], outcome.place)
        record = self._as_its_node_let_it(outcome, self._with_the_runs_data(record, task, outcome.place))
        is_nodes = outcome.report is None or record.status is Status.INFRA
        if self.scheduler.ended(task, record.status, "node" if is_nodes else "cell"):
            is_final = record.key in self.scheduler.finished
            self.given[record.key] = Giving.of(record)
            self.failed += is_final and record.status not in (Status.OK, Status.SKIPPED)
            if task.lane is not None and not self.scheduler.holds(task.lane):
                self.executor.release(task.lane)
            self._skip_the_rest()
            self._start()  # before sealing, so that no worker waits for the disk
            is_metered = record.energy is not None and record.energy.trace_sha256 is not None
            trace = outcome.report.trace if outcome.report and is_metered else None
            self.writer.append(
                record, trace, outcome.report.weights if outcome.report and record.weights_sha256 else None
            )
            has_ended = is_final and record.status not in INCONCLUSIVE
            if has_ended and (outcome.report is None or outcome.report.has_checkpoints):
                self.writer.discard_checkpoints(record.key)
            self.watcher.ended(record, final=is_final)

    def _as_its_node_let_it(self, outcome: Outcome, record: CellRecord) -> CellRecord:
        """The record; `infra` instead if the cell failed before its training began, and another node should try it."""
        if (place := outcome.place) is None:
            return record
        self.hosts[place.node] = place.host
        if outcome.unfit:
            self._refuse(place, outcome.reason)
        elif record.status is not Status.ERROR or (record.provenance and record.provenance.dataset_sha256):
            for node, reason in self.unfit.begun(record.key).items():
                self.watcher.set_aside(self.hosts[node], reason)
        elif self.unfit.not_begun(record.key, place.node, record.reason) and place.has_others:
            reason = f"it did not begin on its node, and is tried on another: {record.reason}"
            return outcome.task.record(Status.INFRA, reason, record.started_at, record.wall_s, record.detail)
        return record

    def _refuse(self, place: Place, reason: str) -> None:
        """The node gets no more cells."""
        if self.unfit.refused(place.node):
            self.watcher.set_aside(place.host, reason)

    def _with_the_runs_data(self, record: CellRecord, task: Task, place: Place | None) -> CellRecord:
        """The record; if its node has other data than the run's cells were trained on, `infra` instead, and an `error`
        on the last node.
        """
        found, label = record.provenance.dataset_sha256 if record.provenance else None, record.cell.dataset.label
        if record.status is not Status.OK or found is None:
            return record
        if place is not None and label not in self.data:
            self.first[label] = place.host
        expected = self.data.setdefault(label, found)
        if found == expected:
            return record
        reason = (
            f"its node holds other data of {label} (SHA-256 {found[:12]}) than the run's other "
            f"cells were trained on ({expected[:12]}); put the same data on every node"
        )
        if place is not None and place.has_others:
            whose = f"node {self.first[label]}" if label in self.first else "an earlier run"
            self._refuse(
                place, f"{reason}; those of {whose} came first: if they are wrong, start again with another --out"
            )
            return task.record(Status.INFRA, reason, record.started_at, record.wall_s)
        return task.record(Status.ERROR, reason, record.started_at, record.wall_s)

    def _with_the_drivers_time(self, record: CellRecord, submitted_at: str, place: Place | None) -> CellRecord:
        """The record; with the driver's time of its start if its node's clock is wrong."""
        ended_at = datetime.now(UTC)
        if place is None or abs(ahead_s := clock_ahead_s(record, submitted_at, ended_at)) <= CLOCK_S:
            return record
        if place.node not in self.wrong_clocks:
            self.wrong_clocks.add(place.node)
            self.watcher.noted(
                f"node {place.host}: its clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the "
                "driver's; set it. Its records have the driver's time"
            )
        started = ended_at - timedelta(seconds=record.wall_s)
        return record.model_copy(update={"started_at": started.isoformat(timespec="milliseconds")})


def clock_ahead_s(record: CellRecord, submitted_at: str, ended_at: datetime) -> float:
    """By how many seconds, at least, the clock that the record's start is from is ahead of the driver's; negative if it
    is behind, and 0 if the start lies between the submission and the latest start that the end allows.

    Parameters
    ----------
    submitted_at, ended_at : by the driver's clock
    """
    started, first = datetime.fromisoformat(record.started_at), datetime.fromisoformat(submitted_at)
    latest = ended_at - timedelta(seconds=record.wall_s)
    return max(0.0, (started - latest).total_seconds()) + min(0.0, (started - first).total_seconds())


def _record(outcome: Outcome, started_at: str, began: float) -> CellRecord:
    if outcome.report is not None:
        return CellRecord.model_validate(outcome.report.record)
    wall_s = time.monotonic() - began
    return outcome.task.record(outcome.status, outcome.reason, started_at, wall_s, outcome.detail)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
