"""What scheduler, executors and workers pass to each other: a task, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dtcbench.errors import UserError
from dtcbench.plan import shipped
from dtcbench.plan.cell import Cell
from dtcbench.plan.joule_budget import Givers
from dtcbench.plan.metering import Metering, Using
from dtcbench.plan.request import Request, Resources
from dtcbench.plan.suite import Suite
from dtcbench.record import CellRecord, Energy, Part, Provenance, Result, Status, Use
from dtcbench.registry import Plugin
from dtcbench.unavailable import Unavailable

_MEASURED = ("continued_at", "parts", "result", "energy", "provenance", "weights_sha256", "use")


@dataclass(frozen=True)
class Job:
    """What all tasks of a run share."""

    suite: str
    device: str
    """`cpu` or `cuda`."""
    request: Request
    metering: Metering
    timeout_s: float | None = None
    plugins: tuple[Plugin, ...] = ()
    fail_over: float | None = None
    """Start no more cells when a larger share of them has failed."""
    keep_weights: Literal["last", "none"] = "none"
    use: Using | None = None
    calibrated: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By a board's UUID: the window and the pause of its calibration, seconds. For `min_window` None."""
    checkpoint_s: float | None = None
    """Seconds between two checkpoints of a training, at least; None if there are none."""
    run: str | None = None
    """The run's folder, for checkpoints; None if the cells belong to no run."""

    @classmethod
    def of(cls, suite: Suite, plugins: tuple[Plugin, ...] = (), fail_over: float | None = None) -> Job:
        """The job of running `suite`."""
        device = "cuda" if suite.resources.gpus else "cpu"
        return cls(
            suite.name,
            device,
            suite.request,
            suite.energy,
            suite.timeout,
            plugins,
            fail_over,
            suite.keep_weights,
            suite.use,
            checkpoint_s=suite.checkpoint,
        )

    def lane(self, cell: Cell) -> str | None:
        """Cells of one lane run on the same physical GPU or GPUs, one after another; None if any will do.

        If energies are compared, all cells of a model, data set and seed share a lane, dense included: on one GPU the
        meter's gain error is the same for all of them, and cancels from their ratios. A part of a GPU is not metered,
        or flagged: then no energies are compared.
        """
        if self.request.gpus < 1 or self.metering.meter == "none":
            return None
        return json.dumps([cell.model.label, cell.dataset.label, cell.seed])

    def metering_on(self, uuids: Sequence[str]) -> Metering:
        """How a cell on these boards is measured: if the suite says so, by the longest of their calibrations.

        UserError if one of them has none.
        """
        if self.metering.min_window is not None or not uuids:
            return self.metering
        if missing := [uuid for uuid in uuids if uuid not in self.calibrated]:
            raise UserError(uncalibrated(self.suite, missing[0]))
        windows_s, pauses_s = zip(*(self.calibrated[uuid] for uuid in uuids), strict=True)
        return self.metering.calibrated(max(windows_s), max(pauses_s))


def uncalibrated(suite: str, uuid: str, out: str = "") -> str:
    """What to say of a board without a calibration: with the line to type."""
    named = suite if suite in shipped.names() else f"{suite}.yaml"
    line = f"CUDA_VISIBLE_DEVICES={uuid} dtcbench calibrate {named}{f' --out {out}' if out else ''}"
    return f"suite {suite} says min_window: calibrated, and {uuid} has no window by a calibration; run `{line}`"


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one cell: all that a worker needs to know."""

    cell: Cell = field(compare=False)
    attempt: int
    """Counted from 1, over all runs on the same folder."""
    job: Job = field(compare=False)
    givers: Givers | None = field(default=None, compare=False)
    """The cells of its lane whose joules are its budget: it starts after all that have none."""
    steps: int | None = field(default=None, compare=False)
    """How many a budget of joules allows."""
    place: int | None = field(default=None, compare=False)
    """Its cell's place in the order drawn for its lane, counted from 1."""
    avoid: frozenset[str] = field(default=frozenset(), compare=False)
    """Ids of the nodes that must not run it: they are set aside, or could not begin its cell."""
    node: str = field(default="inline", compare=False)
    """Names the node that runs it, as `Part.node` does."""
    key: str = field(init=False)
    """The cell's key. It is computed once, and stands for the cell where tasks are compared."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.cell.key)

    @property
    def lane(self) -> str | None:
        """Of its cell (`Job.lane`)."""
        return self.job.lane(self.cell)

    @property
    def overdue_reason(self) -> str:
        """The reason in the record of a cell that exceeded its time limit."""
        return f"took longer than the suite's timeout of {self.job.timeout_s:g} s; raise it or lower the steps"

    def again(self) -> Task:
        """The next attempt at the same cell."""
        return replace(self, attempt=self.attempt + 1)

    def record(
        self,
        status: Status,
        reason: str,
        started_at: str,
        wall_s: float,
        detail: str = "",
        **measured: Result | Energy | Provenance | list[Use] | list[Part] | str | int | Unavailable,
    ) -> CellRecord:
        """The record of this attempt.

        Parameters
        ----------
        detail : traceback or stack, if there is one
        measured : `continued_at`, `parts`, `result`, `energy`, `provenance`, `weights_sha256` and `use`, as far as the
            attempt came
        """
        missing = Unavailable(f"the cell ended before: {reason}")
        return CellRecord.of(
            key=self.key,
            cell=self.cell,
            suite=self.job.suite,
            attempt=self.attempt,
            status=status,
            reason=reason,
            detail=detail,
            started_at=started_at,
            wall_s=wall_s,
            place=self.place or Unavailable("no order was drawn for its cells"),
            **dict.fromkeys(_MEASURED, missing) | measured,
        )


@dataclass(frozen=True)
class Report:
    """What a worker returns of a task."""

    record: dict[str, Any]
    """A CellRecord as JSON values."""
    trace: bytes | None
    """The samples of its power, a Parquet file; None if no power was sampled."""
    weights: bytes | None = None
    """The final network's file (`training/network_file.py`); None if it is not kept."""
    has_checkpoints: bool = False
    """Whether there may be checkpoints of the cell."""


@dataclass(frozen=True)
class Place:
    """Where a task ran on a cluster."""

    node: str
    """Ray's id of the node."""
    host: str
    """The host's name; no record contains it."""
    has_others: bool = False
    """Whether the cluster has another node, not one that the task avoids, that can run the cell."""


@dataclass(frozen=True)
class ActiveNode:
    """A node of the cluster, and what runs on it now."""

    host: str
    """The host's name."""
    resources: Resources
    running: tuple[Task, ...]
    """The attempts that are known to run there."""


@dataclass(frozen=True)
class Outcome:
    """How a task ended."""

    task: Task
    report: Report | None
    """What the worker returned; None if the worker was lost, and then the other fields say how."""
    status: Status = Status.OK
    reason: str = ""
    detail: str = ""
    """The stack that the lost worker left, if it left one."""
    place: Place | None = None
    """Where it ran; None in this process, or if the worker was lost."""
    unfit: bool = False
    """Whether the node refused the task, as it would every other: its versions are not the driver's."""
