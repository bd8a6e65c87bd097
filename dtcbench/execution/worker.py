"""One cell, from start to finish: data, network, training under a meter, record.

Runs in the driver's process or in a worker's on another machine. Nothing leaves but a record as
JSON values: an exception becomes a status and a reason.
"""

from __future__ import annotations

import os
import time
import traceback
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from dtcbench import registry
from dtcbench.datasets.splits import Splits
from dtcbench.energy.meter import EnergyMeter, ResourceShare, open_meter
from dtcbench.energy.nvml import is_simulated
from dtcbench.energy.segments import PhaseTimer
from dtcbench.errors import CompressionError, NonFiniteError, UserError
from dtcbench.execution.provenance import collect, with_dataset
from dtcbench.execution.stacks import without_folders, without_places
from dtcbench.plan.cell import Cell
from dtcbench.plan.metering import Metering
from dtcbench.plan.protocol import from_choice
from dtcbench.record import CellRecord, Energy, Provenance, Result, Status
from dtcbench.text import error_line
from dtcbench.training.course import Workplace
from dtcbench.training.determinism import deterministic
from dtcbench.training.evaluation import Evaluations
from dtcbench.training.loop import to_device
from dtcbench.training.network import ModelError
from dtcbench.training.protocols import run
from dtcbench.training.warming import warm_up


@dataclass(frozen=True)
class Task:
    """What a worker needs to know to make one attempt at one cell."""

    cell: Cell
    suite: str
    attempt: int
    device: str
    """`cpu` or `cuda`."""
    share: ResourceShare
    metering: Metering
    timeout_s: float | None = None
    plugins: tuple[registry.Plugin, ...] = ()
    lane: str | None = None
    """Tasks of one lane run on one physical GPU, one after another; None if any GPU will do."""

    @property
    def overdue_reason(self) -> str:
        """The reason of a record whose cell exceeded its time limit."""
        return f"took longer than the suite's timeout of {self.timeout_s:g} s; raise it or lower the steps"


@dataclass(frozen=True)
class Report:
    """What an attempt leaves behind."""

    record: dict[str, Any]
    """A CellRecord as JSON values."""
    trace: bytes | None
    """The samples of its energy, a Parquet file; None where nothing was sampled."""


def attempt(task: Task) -> Report:
    """Make the attempt; its record as JSON values, whatever happens inside."""
    started_at, begin = datetime.now(UTC).isoformat(timespec="milliseconds"), time.perf_counter()
    status, reason, detail = Status.OK, "", ""
    result: Result | None = None
    energy: Energy | None = None
    trace: bytes | None = None
    provenance: Provenance | None = None
    try:
        for plugin in task.plugins:
            plugin.load()
        with closing(open_meter(task.device, task.share, task.metering, os.environ)) as meter:
            meter.settle()
            provenance = _provenance(task)
            splits = registry.datasets.bind(task.cell.dataset.name, task.cell.dataset.values)()
            provenance = with_dataset(provenance, splits.sha256)
            result, energy, trace = _measured(task, splits, meter)
    except Exception as error:
        status, reason = _verdict(error)
        reason = without_places(reason)
        detail = without_folders(traceback.format_exc()) if status is Status.ERROR and not _expected(error) else ""
    wall_s = time.perf_counter() - begin
    return Report(_record(task, status, reason, started_at, wall_s, detail, result, energy, provenance), trace)


def lost(task: Task, status: Status, reason: str, started_at: str, wall_s: float, detail: str = "") -> dict[str, Any]:
    """The record of an attempt whose worker cannot give one; `detail` is the stack it left, if it left one."""
    return _record(task, status, reason, started_at, wall_s, detail)


def _record(
    task: Task,
    status: Status,
    reason: str,
    started_at: str,
    wall_s: float,
    detail: str = "",
    result: Result | None = None,
    energy: Energy | None = None,
    provenance: Provenance | None = None,
) -> dict[str, Any]:
    missing = {"result": result, "energy": energy, "provenance": provenance}
    return CellRecord(
        key=task.cell.key,
        cell=task.cell,
        suite=task.suite,
        attempt=task.attempt,
        status=status,
        reason=reason,
        detail=detail,
        started_at=started_at,
        wall_s=wall_s,
        result=result,
        energy=energy,
        provenance=provenance,
        reasons={name: f"the cell ended before: {reason}" for name, value in missing.items() if value is None},
    ).model_dump(mode="json")


def _measured(task: Task, splits: Splits, meter: EnergyMeter) -> tuple[Result, Energy, bytes | None]:
    """Train the cell, and again until the meter has seen enough: its result, and the energy of one training."""
    cell = task.cell
    threads = from_choice(cell.protocol).threads
    device = _device(task.device)
    with deterministic(threads), threadpool_limits(limits=threads, user_api="blas"):
        train, test = to_device(splits, device)
        phases = PhaseTimer(torch.cuda.synchronize if device.type == "cuda" else _nothing_to_wait_for)
        evaluations = Evaluations(phases)
        work = Workplace(cell, splits, train, test, phases, evaluations)
        if device.type == "cuda":
            warm_up(work)
        result = run(work)
        flags: set[str] = set()
        while not meter.enough(phases):
            phases.train_again()
            repeat = run(replace(work, evaluate=evaluations.again()))
            flags |= set() if same_course(repeat, result) else {"not-repeatable"}
        return result, *meter.reading(phases, sorted(flags))


def same_course(one: Result, other: Result) -> bool:
    """Whether two trainings went the same way: the same losses, and the same neurons kept, cycle by cycle."""

    def course(result: Result) -> list[tuple[float, list[str]]]:
        return [(cycle.loss, [layer.kept_sha256 for layer in cycle.layers]) for cycle in result.cycles]

    return course(one) == course(other)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        if is_simulated(os.environ):
            return torch.device("cpu")
        raise CompressionError("the suite asks for a GPU and torch sees none; set resources.gpus: 0 or install CUDA")
    return torch.device(name)


def _nothing_to_wait_for() -> None:
    """CPU work is done when its call returns."""


def _provenance(task: Task) -> Provenance:
    named = [(noun, choice.name) for noun, choice in task.cell.choices.items()]
    plugins = registry.plugins_of(named, task.plugins)
    return collect(task.device, from_choice(task.cell.protocol).threads, plugins)


def _expected(error: Exception) -> bool:
    """Whether the reason says all; of what a model raised, its author needs the traceback too."""
    return isinstance(_raised(error), CompressionError | UserError)


def _raised(error: Exception) -> BaseException:
    """What a model raised that is told as its mistake, else the error itself."""
    return error.__cause__ if isinstance(error, ModelError) and error.__cause__ else error


def _verdict(error: Exception) -> tuple[Status, str]:
    if isinstance(error, NonFiniteError):
        return Status.DIVERGED, str(error)
    raised = _raised(error)
    if isinstance(raised, MemoryError | torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator" in str(raised):
        return Status.OOM, error_line(raised)
    if isinstance(error, CompressionError | UserError):
        return Status.ERROR, str(error)
    return Status.ERROR, error_line(error)
