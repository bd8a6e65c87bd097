"""One cell, from start to finish: data, network, training under a meter, record.

Runs in the driver's process or in a worker's on another machine. Nothing leaves but a record as
JSON values: an exception becomes a status and a reason.
"""

from __future__ import annotations

import hashlib
import re
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from dtcbench import registry
from dtcbench.dtc.errors import CompressionError, NonFiniteError
from dtcbench.energy.meter import Phases, open_meter
from dtcbench.errors import UserError
from dtcbench.plan.cell import Cell
from dtcbench.plan.protocol import from_choice
from dtcbench.records.provenance import collect
from dtcbench.records.record import CellRecord, Provenance, Result, Status
from dtcbench.training.course import Workplace
from dtcbench.training.determinism import make_deterministic
from dtcbench.training.loop import to_device
from dtcbench.training.protocols import run


@dataclass(frozen=True)
class Task:
    """What a worker needs to know to make one attempt at one cell."""

    cell: Cell
    suite: str
    attempt: int
    device: str
    """`cpu` or `cuda`."""
    plugins: tuple[registry.Plugin, ...] = ()


def attempt(task: Task) -> dict[str, Any]:
    """Make the attempt; its record as JSON values, whatever happens inside."""
    started_at, begin = datetime.now(UTC).isoformat(timespec="milliseconds"), time.perf_counter()
    status, reason, detail = Status.OK, "", ""
    result: Result | None = None
    provenance: Provenance | None = None
    try:
        for plugin in task.plugins:
            plugin.load()
        provenance = _provenance(task)
        result = _compute(task)
    except Exception as error:
        status, reason = _verdict(error)
        detail = _without_folders(traceback.format_exc()) if status is Status.ERROR and not _expected(error) else ""
    wall_s = time.perf_counter() - begin
    return _record(task, status, reason, started_at, wall_s, detail, result, provenance)


def lost(task: Task, status: Status, reason: str, started_at: str, wall_s: float) -> dict[str, Any]:
    """The record of an attempt whose worker cannot give one."""
    return _record(task, status, reason, started_at, wall_s)


def _record(
    task: Task,
    status: Status,
    reason: str,
    started_at: str,
    wall_s: float,
    detail: str = "",
    result: Result | None = None,
    provenance: Provenance | None = None,
) -> dict[str, Any]:
    missing = {"result": result, "provenance": provenance}
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
        provenance=provenance,
        reasons={name: f"the cell ended before: {reason}" for name, value in missing.items() if value is None},
    ).model_dump(mode="json")


def _compute(task: Task) -> Result:
    cell = task.cell
    threads = from_choice(cell.protocol).threads
    device = _device(task.device)
    make_deterministic(threads)
    with threadpool_limits(limits=threads, user_api="blas"):
        splits = registry.datasets.bind(cell.dataset.name, cell.dataset.options)()
        train, test = to_device(splits, device)
        synchronize = torch.cuda.synchronize if device.type == "cuda" else _nothing_to_wait_for
        phases = Phases(open_meter(task.device), synchronize)
        return run(Workplace(cell, splits, train, test, phases))


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise CompressionError("the suite asks for a GPU and torch sees none; set resources.gpus: 0 or install CUDA")
    return torch.device(name)


def _nothing_to_wait_for() -> None:
    """CPU work is done when its call returns."""


def _provenance(task: Task) -> Provenance:
    plugins = {plugin.name: hashlib.sha256(plugin.source.encode()).hexdigest() for plugin in task.plugins}
    return collect(task.device, from_choice(task.cell.protocol).threads, plugins)


def _without_folders(trace: str) -> str:
    """A traceback without what its paths tell of the machine and its users."""
    return re.sub(r'File ".*?((?:site-packages|dtcbench)/[^"]*|[^/"]*)"', r'File "\1"', trace)


def _expected(error: Exception) -> bool:
    return isinstance(error, CompressionError | UserError)


def _verdict(error: Exception) -> tuple[Status, str]:
    if isinstance(error, NonFiniteError):
        return Status.DIVERGED, str(error)
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        return Status.OOM, f"{type(error).__name__}: {error}".partition("\n")[0]
    if _expected(error):
        return Status.ERROR, str(error)
    return Status.ERROR, f"{type(error).__name__}: {error}"
