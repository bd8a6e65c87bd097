"""Calibrating a board: a cell is repeated over longer and longer windows, and known loads are run under the meter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import torch

from dtcbench import __version__
from dtcbench.analysis.energy_columns import DISQUALIFYING
from dtcbench.energy.calibration import REPEATS, Calibration, Load, LoadName, Repeats, agree, candidates, shortest
from dtcbench.energy.meter import obstacle
from dtcbench.energy.nvml import Gpu, assigned_gpu
from dtcbench.energy.segments import PhaseTimer
from dtcbench.energy.trace import Sampler
from dtcbench.errors import UserError
from dtcbench.execution.task import Job, Task
from dtcbench.execution.worker import attempt
from dtcbench.plan.cell import Cell
from dtcbench.plan.metering import CoolDown
from dtcbench.record import CellRecord, Energy, Status
from dtcbench.training.determinism import torch_generator
from dtcbench.unavailable import Unavailable

LOAD_S = 10.0
PERIOD_S = 0.25
"""Of the square wave: no multiple of the driver's refresh, so that its edges fall everywhere between two refreshes."""
_EDGE_S = 0.5
"""Sampled before the first load and after the last, and left between two."""

Measure = Callable[[float, float], float | Unavailable]
"""Joules of one training of the cell over a window, after a pause; both in seconds."""


def board(job: Job) -> Gpu:
    """The board to calibrate: the first that this process sees. UserError if the suite or the board gives no joules."""
    if not job.request.gpus or job.metering.meter == "none":
        raise UserError(
            f"suite {job.suite} measures no GPU (resources.gpus {job.request.gpus:g}, energy.meter "
            f"{job.metering.meter}); calibrate with one that does"
        )
    request = replace(job.request, gpus=1.0)
    assigned = assigned_gpu(os.environ)
    if (why := obstacle(request, job.metering, os.environ)) or isinstance(assigned, Unavailable):
        raise UserError(f"nothing can be calibrated here: {why or assigned}; `dtcbench doctor` says what is measured")
    return assigned.board


def calibrated(gpu: Gpu, cell: Cell, job: Job, begun: Calibration | None) -> Iterator[Calibration]:
    """What the board is found to be: so far, after each window that is tried, and at last in the end.

    It goes on where `begun` stopped. UserError if no window can be measured, or if `begun` is of something else.
    """
    about = {
        **{"gpu_uuid": gpu.uuid, "device": gpu.name, "simulated": gpu.simulated, "driver": gpu.driver},
        **{"suite": job.suite, "key": cell.key, "dtcbench": __version__},
    }
    for name, value in about.items():
        if begun and (then := getattr(begun, name)) != value:
            raise UserError(
                f"the calibration of {gpu.uuid} was begun with {name} {then}, and here it is {value}; "
                "remove its file to begin anew, or choose another folder with --out"
            )
    loads, tried = (begun.loads, list(begun.tried)) if begun else (known_loads(gpu), [])
    for repeats in tries(partial(joules, cell, job), candidates()[len(tried) :]):
        tried.append(repeats)
        found = shortest(tried)
        yield Calibration.of(
            **about,
            taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
            tried=tried,
            loads=loads,
            window_s=found if isinstance(found, Unavailable) else found.window_s,
            cool_down_s=found if isinstance(found, Unavailable) else found.cool_down_s,
        )


def tries(measure: Measure, pairs: Sequence[tuple[float, float]]) -> Iterator[Repeats]:
    """Repeats at each pair of window and pause, up to the first that agree.

    One before them, at the last pair, only warms the board. UserError if it has no joules: no shorter window helps.
    """
    if isinstance(why := measure(*pairs[-1]), Unavailable):
        raise UserError(f"nothing can be calibrated here: {why}")
    for window_s, cool_down_s in pairs:
        of_each = _repeated(partial(measure, window_s, cool_down_s))
        repeats = Repeats.of(window_s=window_s, cool_down_s=cool_down_s, joules=of_each)
        yield repeats
        if agree(repeats):
            return


def _repeated(measure: Callable[[], float | Unavailable]) -> list[float] | Unavailable:
    """The joules of each repeat; the first reason why one has none ends them."""
    of_each = []
    for _ in range(REPEATS):
        if isinstance(found := measure(), Unavailable):
            return found
        of_each.append(found)
    return of_each


def joules(cell: Cell, job: Job, window_s: float, cool_down_s: float) -> float | Unavailable:
    """Joules of one training of the cell, if they could be ranked but for their short window."""
    pause = CoolDown().model_copy(update={"at_least": cool_down_s})
    metering = job.metering.model_copy(update={"min_window": window_s, "idle": 0.0, "cool_down": pause})
    one_board = replace(job, metering=metering, request=replace(job.request, gpus=1.0), keep_weights="none", use=None)
    record = CellRecord.model_validate(attempt(Task(cell, 1, one_board)).record)
    if record.status is not Status.OK or record.energy is None:
        return Unavailable(f"cell {record.key[:12]}, which is repeated, ended as {record.status}: {record.reason}")
    return rankable(record.energy)


def rankable(energy: Energy) -> float | Unavailable:
    """Its joules, or why they bar a rank. A short window does not, nor a simulated board, whose calibration says so."""
    if energy.energy_j is None:
        return Unavailable(energy.reasons["energy_j"])
    barring = [words for flag, words in DISQUALIFYING.items() if flag in {*energy.flags} - {"short", "simulated"}]
    return Unavailable(f"joules that bar a rank: {', '.join(barring)}") if barring else energy.energy_j


def known_loads(gpu: Gpu, seconds: float = LOAD_S) -> list[Load]:
    """Each load for so long on the board, and its joules by counter and by power. UserError if nothing is sampled."""
    device = torch.device("cpu" if gpu.simulated else "cuda")
    synchronize: Callable[[], None] = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
    multiply = _product(device)
    _busy(multiply, synchronize, 0.0)  # gives the process its context
    sampler = Sampler.start([gpu.uuid], [])
    if isinstance(sampler, Unavailable):
        raise UserError(f"nothing can be calibrated here: {sampler}")
    timer = PhaseTimer(synchronize)
    works: dict[LoadName, Callable[[float], None]] = {
        "idle": time.sleep,
        "steady": partial(_busy, multiply, synchronize),
        "square wave": partial(_square_wave, multiply, synchronize),
    }
    for work in works.values():
        time.sleep(_EDGE_S)
        with timer.phase("train"):
            work(seconds)
    time.sleep(_EDGE_S)
    trace = sampler.finish()
    if isinstance(trace, Unavailable):
        raise UserError(f"the known loads were not measured: {trace}")
    return [
        Load.of(
            name=name,
            seconds=segment.seconds,
            counter_j=trace.counter_j([segment]),
            integral_j=trace.integral_j([segment]),
        )
        for name, segment in zip(works, timer.segments, strict=True)
    ]


def _product(device: torch.device) -> Callable[[], torch.Tensor]:
    """A matrix product of some milliseconds."""
    size = 4096 if device.type == "cuda" else 256
    draw = partial(torch.randn, size, size, generator=torch_generator(0, "known load"))
    left, right = draw().to(device), draw().to(device)
    return lambda: left @ right


def _busy(multiply: Callable[[], object], synchronize: Callable[[], object], seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while True:
        multiply()
        synchronize()  # else the products would queue up beyond the end
        if time.monotonic() >= end_s:
            return


def _square_wave(multiply: Callable[[], object], synchronize: Callable[[], object], seconds: float) -> None:
    begin_s, half_s = time.monotonic(), PERIOD_S / 2
    for half in range(round(seconds / half_s)):
        left_s = begin_s + (half + 1) * half_s - time.monotonic()
        if half % 2:
            time.sleep(max(0.0, left_s))
        else:
            _busy(multiply, synchronize, left_s)
