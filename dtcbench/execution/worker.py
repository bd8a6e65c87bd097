"""One attempt at one cell, in the driver's process or in a worker's: load the data, train under a meter, report."""

from __future__ import annotations

import hashlib
import os
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import torch
from threadpoolctl import threadpool_limits

from dtcbench import registry
from dtcbench.datasets.splits import Splits
from dtcbench.energy.meter import EnergyMeter, open_meter
from dtcbench.energy.nvml import assigned_gpus, is_simulated
from dtcbench.energy.segments import PhaseTimer, repeats
from dtcbench.energy.use import Ran, use_of
from dtcbench.errors import CompressionError, NonFiniteError, UserError
from dtcbench.execution.checkpointing import Checkpointing, checkpointing_of
from dtcbench.execution.provenance import collect, with_dataset
from dtcbench.execution.stacks import without_folders, without_places
from dtcbench.execution.task import Job, Report, Task
from dtcbench.models.packages import building
from dtcbench.plan.metering import Metering
from dtcbench.plan.protocol import from_choice
from dtcbench.record import Energy, Part, Provenance, Result, Status, Use
from dtcbench.text import error_line
from dtcbench.training.compressor import Compressor
from dtcbench.training.determinism import deterministic
from dtcbench.training.network import ModelError
from dtcbench.training.network_file import NetworkFile
from dtcbench.training.prepared import prepared
from dtcbench.training.protocols import run, trained
from dtcbench.training.training_run import CellContext, warm_up
from dtcbench.training.use import Stopwatch, used
from dtcbench.unavailable import Unavailable

NOT_KEPT = Unavailable("the suite keeps no weights (keep_weights: none)")
NO_CHECKPOINTS = Unavailable("the suite asks for no checkpoints")
IN_PARTS = "the cell was continued from a checkpoint, so no meter saw its whole training"
NOT_USED = Unavailable("the suite does not measure the use of networks (it has no `use`)")

Measured = Result | Energy | Provenance | list[Use] | list[Part] | str | int | Unavailable
"""What a record holds that an attempt has measured."""


def attempt(task: Task, *, alone: bool = False, asked_to_stop: Callable[[], bool] = lambda: False) -> Report:
    """Make the attempt. It never raises: an exception becomes a status and a reason.

    If this process serves the attempt `alone`, SIGTERM or SIGINT saves the training, and then SystemExit ends it. Else
    the training is saved once `asked_to_stop`, and goes on.
    """
    started_at, begin = datetime.now(UTC).isoformat(timespec="milliseconds"), time.perf_counter()
    status, reason, detail = Status.OK, "", ""
    measured: dict[str, Measured] = {}
    checkpointing: Checkpointing | None = None
    trace: bytes | None = None
    weights: bytes | Unavailable = NOT_KEPT
    try:
        for plugin in task.job.plugins:
            plugin.load()
        windows_s = {uuid: window_s for uuid, (window_s, _) in task.job.calibrated.items()}
        with closing(
            open_meter(task.job.device, task.job.request, _metering(task.job), os.environ, windows_s)
        ) as meter:
            if task.job.metering.required and (why := meter.unmeasured):
                raise UserError(f"the suite requires joules (energy.required), and this cell would get none: {why}")
            meter.settle()
            named = [(noun, choice.name) for noun, choice in task.cell.choices.items()]
            threads, plugins = from_choice(task.cell.protocol).threads, registry.plugins_of(named, task.job.plugins)
            measured["provenance"] = provenance = collect(
                task.job.device, threads, plugins, task.job.request.boards, building(task.cell.model.name)
            )
            _device(task.job.device)  # before the data: without it no cell begins here
            splits = registry.datasets.bind(task.cell.dataset.name, task.cell.dataset.values)()
            measured["provenance"] = provenance = with_dataset(provenance, sha256 := splits.sha256)
            checkpointing = checkpointing_of(task, provenance, alone, asked_to_stop)
            numbers, trace, weights = _measured(task, splits, sha256, meter, checkpointing)
            measured |= numbers
            measured["weights_sha256"] = hashlib.sha256(weights).hexdigest() if isinstance(weights, bytes) else weights
    except Exception as error:
        status, reason, detail = _failure(error)
    record = task.record(status, reason, started_at, time.perf_counter() - begin, detail, **measured)
    has_checkpoints = checkpointing is not None and checkpointing.exist
    kept = weights if isinstance(weights, bytes) else None
    return Report(record.model_dump(mode="json"), trace, kept, has_checkpoints)


def _metering(job: Job) -> Metering:
    """How the suite wants its cells measured on the boards that this process was assigned, if it was."""
    boards = assigned_gpus(os.environ, job.request.boards) if job.device != "cpu" else []
    return job.metering_on([] if isinstance(boards, Unavailable) else [gpu.board.uuid for gpu in boards])


def _failure(error: Exception) -> tuple[Status, str, str]:
    """Status, reason, and the traceback of an error that its message does not explain."""
    # What a model's code raised decides. Its author needs the traceback even if a message names the model.
    raised = error.__cause__ if isinstance(error, ModelError) and error.__cause__ else error
    is_explained = isinstance(raised, CompressionError | UserError)
    if isinstance(error, NonFiniteError):
        status, reason = Status.DIVERGED, str(error)
    elif isinstance(raised, MemoryError | torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator" in str(raised):
        status, reason = Status.OOM, error_line(raised)
    else:
        status = Status.ERROR
        reason = str(error) if isinstance(error, CompressionError | UserError) else error_line(error)
    needs_traceback = status is Status.ERROR and not is_explained
    return status, without_places(reason), without_folders(traceback.format_exc()) if needs_traceback else ""


def _measured(
    task: Task, splits: Splits, sha256: str, meter: EnergyMeter, checkpointing: Checkpointing | None
) -> tuple[dict[str, Measured], bytes | None, bytes | Unavailable]:
    """Train the cell, repeat it until the meter has seen enough, and use the network if the suite asks for it.

    Returns
    -------
    The record's `continued_at`, `parts`, `result`, `energy` (of one training) and `use`; the samples behind the joules;
    the first training's network.
    """
    cell = task.cell
    threads = from_choice(cell.protocol).threads
    device = _device(task.job.device)
    with deterministic(threads), threadpool_limits(limits=threads, user_api="blas"):
        train, test = prepared(splits, sha256, device)
        others = _others(device, task.job.request.boards)
        synchronize = partial(_synchronize, [device, *others] if device.type == "cuda" else [])
        phases = PhaseTimer(synchronize)
        context = CellContext(cell, splits, train, test, phases, others, task.steps)
        if device.type == "cuda":
            warm_up(context)
            synchronize()
        meter.idle_with_context()
        result, compressor, continued_at = (
            (*trained(context), NO_CHECKPOINTS) if checkpointing is None else checkpointing.trained(context)
        )
        weights = _weights(task, splits, compressor)
        flags: set[str] = set()
        while not meter.enough(phases):
            phases.train_again()
            repeat = run(context.repeat())
            flags |= set() if same_training(repeat, result) else {"not-repeatable"}
        ways = list(used(context, compressor, Stopwatch(task.job.use, synchronize))) if task.job.use else []
        is_whole = isinstance(continued_at, Unavailable) or bool(repeats(phases.segments))
        energy, trace = (meter if is_whole else EnergyMeter.without(IN_PARTS)).reading(phases, sorted(flags))
        use = [use_of(way, meter.of_windows(way.ran.windows) if isinstance(way.ran, Ran) else []) for way in ways]
        numbers: dict[str, Measured] = {"result": result, "energy": energy, "use": use or NOT_USED}
        parts = NO_CHECKPOINTS if checkpointing is None else checkpointing.parts
        return {"continued_at": continued_at, "parts": parts, **numbers}, trace, weights


def _weights(task: Task, splits: Splits, compressor: Compressor) -> bytes | Unavailable:
    """The network's file if the suite keeps it. A network that no file can hold does not take its result with it."""
    if task.job.keep_weights == "none":
        return NOT_KEPT
    try:
        return NetworkFile.of(task.cell, splits.input_shape, splits.num_classes, compressor).content()
    except Exception as error:  # a plug-in's state dict may hold anything
        return Unavailable(f"they cannot be written: {error_line(error)}")


def same_training(one: Result, other: Result) -> bool:
    """Whether two trainings had the same losses and kept the same neurons, cycle by cycle."""
    first, second = (
        [(cycle.loss, [layer.kept_sha256 for layer in cycle.layers]) for cycle in result.cycles]
        for result in (one, other)
    )
    return first == second


def _others(device: torch.device, boards: int) -> tuple[torch.device, ...]:
    """The boards besides the cell's first; simulated ones compute on the CPU, too."""
    if boards == 1:
        return ()
    if device.type == "cpu":
        return (device,) * (boards - 1)
    if boards > torch.cuda.device_count():
        raise CompressionError(
            f"the suite asks for {boards} GPUs and torch sees {torch.cuda.device_count()}; lower resources.gpus"
        )
    return tuple(torch.device("cuda", number) for number in range(1, boards))


def _synchronize(devices: Sequence[torch.device]) -> None:
    for device in devices:
        torch.cuda.synchronize(device)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        if is_simulated(os.environ):
            return torch.device("cpu")
        raise CompressionError("the suite asks for a GPU and torch sees none; set resources.gpus: 0 or install CUDA")
    return torch.device(name)
