"""The energy meter of one cell: opened before CUDA starts, read after the last repeat of the training."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dtcbench.energy import nvml, rapl
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.joules import (
    AFTERGLOW_S,
    NOT_MEASURED,
    GpuContext,
    Idle,
    IdleBaseline,
    idle_of,
    read,
    unmeasured,
)
from dtcbench.energy.nvml import AssignedGpu, assigned_gpus
from dtcbench.energy.processes import ThisProcess, this_process
from dtcbench.energy.rapl import Zone
from dtcbench.energy.segments import Interval, PhaseTimer, Segment, repeats, total_s, windows
from dtcbench.energy.trace import INTERVAL_S, Sampler, Trace, to_parquet
from dtcbench.plan.metering import CoolDown, Metering
from dtcbench.plan.request import Request
from dtcbench.record import Energy
from dtcbench.unavailable import Unavailable

LEAD_S = 2 * REFRESH_S
"""Sampled before anything is measured, so that the counter is seen to move."""
LEAVE_WITHIN_S = 10.0
"""How long the process of the cell before may take to leave the GPU."""
NOT_ASKED = Unavailable("the suite asks for no idle measurement")
DECAY_S = 1.0
"""After the last kernel the power falls, and one that is averaged over the last second lags."""
STEADY_S = 60.0
"""A GPU that has not become cooler by a degree for so long cools no further: with its fans stopped it stays warm."""
_POLL_S = 0.2
_IDLE: dict[tuple[str, ...], Idle] = {}
"""By the boards: what this process's first cell found of them. From then on the process's own context is on them."""


class EnergyMeter:
    """Measures the energy of a cell's phases: of its GPUs, of the processor packages, of both or of neither.

    No method raises: a failure becomes the reason in the record's energy. See `open_meter`.

    Parameters
    ----------
    sampler : running, or why nothing is sampled
    gpus : the GPUs to measure together, or why none is
    zones : the processor packages to measure, the cell's own or shared, or why none are
    request : what the cell was given
    calibrated : by a board's UUID, the window of its calibration in seconds, if the suite measures by it
    """

    def __init__(
        self,
        sampler: Sampler | Unavailable,
        gpus: Sequence[AssignedGpu] | Unavailable,
        zones: Sequence[Zone] | Unavailable,
        request: Request,
        metering: Metering,
        calibrated: Mapping[str, float] | None = None,
    ) -> None:
        self._sampler = sampler
        self._gpus = sampler if isinstance(sampler, Unavailable) and not isinstance(gpus, Unavailable) else gpus
        self._zones = zones
        self._request = request
        self._metering = metering
        self._calibrated = calibrated or {}
        not_yet = NOT_MEASURED if metering.idle else NOT_ASKED
        self._baseline = IdleBaseline(0.0, True, frozenset(), not_yet)
        self._idle_context: Interval | Unavailable = not_yet
        self._computed_elsewhere: Unavailable | None = Unavailable("torch was not asked which GPU it computes on")
        self._own = this_process(has_context=False)

    @classmethod
    def without(cls, reason: str) -> EnergyMeter:
        """A meter that measures nothing, for this reason."""
        none = Unavailable(reason)
        return cls(none, none, none, Request(cpus=1), Metering())

    @property
    def unmeasured(self) -> str | None:
        """Why a cell would get no joules of its GPUs; None if it would."""
        return _obstacle(self._gpus)

    def settle(self) -> None:
        """Let the GPUs cool down and measure them idle. Call it before the cell touches them."""
        if not isinstance(self._gpus, Unavailable):
            uuids = _uuids(self._gpus)
            known = _IDLE.get(uuids)
            self._own = this_process(has_context=known is not None or nvml.has_context())
            self._baseline = settle(uuids, self._metering, self._own)
            if known is not None and self._metering.idle:
                self._baseline = replace(self._baseline, idle=known)

    def idle_with_context(self) -> None:
        """Ask torch which GPUs it computes on, and measure them idle once more.

        Call it when the cell's context is on them and all queued work is done.
        """
        if isinstance(self._gpus, Unavailable):
            return
        self._computed_elsewhere = _computed_elsewhere(self._gpus)
        if self._metering.idle:
            time.sleep(DECAY_S)
            begin_s = time.monotonic()
            time.sleep(self._metering.idle)
            self._idle_context = Interval(begin_s, time.monotonic())

    def enough(self, timer: PhaseTimer) -> bool:
        """Whether there are repeats, and they take `min_window` together; if not, the training is to be repeated.

        Without a GPU no repeat is needed.
        """
        if isinstance(self._gpus, Unavailable):
            return True
        again = repeats(timer.segments)
        return bool(again) and total_s(windows(again)) >= (self._metering.min_window or 0.0)

    def reading(self, timer: PhaseTimer, flags: Sequence[str]) -> tuple[Energy, bytes | None]:
        """End the measurement: the energy of one training, and the trace as a Parquet file if there was a sampler.

        `flags` are added to the energy's own.
        """
        trace = self._trace
        if isinstance(trace, Unavailable):
            return self._energy(timer.segments, self._context(), flags), None
        self._keep_idle()
        file = to_parquet(trace, timer.segments, self._about())
        return self._energy(timer.segments, self._context(), flags, hashlib.sha256(file).hexdigest()), file

    def of_windows(self, intervals: Sequence[Interval]) -> list[Energy]:
        """The energy of each of these windows by itself, by the rules of a training's. It ends the measurement, too."""
        context = self._context()
        if isinstance(context, GpuContext) and len(context.uuids) > 1:
            context = Unavailable("the cell's GPUs were metered together, and one of them was used")
        # A training of its own each, of those that count.
        segments = [Segment(interval.begin_s, interval.end_s, "train", training=1) for interval in intervals]
        return [self._energy([segment], context) for segment in segments]

    def _energy(
        self,
        segments: Sequence[Segment],
        context: GpuContext | Unavailable,
        flags: Sequence[str] = (),
        trace_sha256: str = "",
    ) -> Energy:
        trace = self._trace
        if isinstance(trace, Unavailable):
            gpu = self._gpus if isinstance(self._gpus, Unavailable) else trace
            cpu = self._zones if isinstance(self._zones, Unavailable) else trace
            return unmeasured(gpu, cpu, segments, flags)
        return read(trace, segments, context, self._zones, flags, trace_sha256, _shared_cpus(self._request))

    def close(self) -> None:
        """End the sampler, whether or not it was read."""
        self._keep_idle()  # a cell that failed was not read
        if not isinstance(self._sampler, Unavailable):
            self._sampler.kill()

    def _keep_idle(self) -> None:
        """Keep what this cell saw of the idle GPUs for the cells of this process that follow."""
        if isinstance(self._gpus, Unavailable) or not isinstance(self._baseline.idle, Interval):
            return
        if isinstance(trace := self._trace, Trace) and isinstance(found := idle_of(trace, self._baseline), Idle):
            _IDLE[_uuids(self._gpus)] = found

    @functools.cached_property
    def _trace(self) -> Trace | Unavailable:
        """The samples; asked for once, it ends the sampler."""
        if isinstance(self._sampler, Unavailable):
            return self._sampler
        if not isinstance(self._gpus, Unavailable):
            time.sleep(AFTERGLOW_S)
        return self._sampler.finish()

    def _context(self) -> GpuContext | Unavailable:
        if isinstance(self._gpus, Unavailable):
            return self._gpus
        if self._computed_elsewhere:
            return self._computed_elsewhere
        divisions = [assigned.division for assigned in self._gpus]
        return GpuContext(
            device=_name(self._gpus),
            uuids=_uuids(self._gpus),
            simulated=any(assigned.board.simulated for assigned in self._gpus),
            interval_s=INTERVAL_S,
            shared="; ".join(filter(None, [*divisions, _shared_gpu(self._request)])) or None,
            label_shared=self._metering.shared == "label",
            own=self._own,
            baseline=self._baseline,
            idle_context=self._idle_context,
            calibrated=self._calibrated,
        )

    def _about(self) -> dict[str, str]:
        gpu = {} if isinstance(self._gpus, Unavailable) else {"device": _name(self._gpus)}
        zones = [] if isinstance(self._zones, Unavailable) else self._zones
        return {**gpu, "zones": ", ".join(zone.name for zone in zones), "interval_s": f"{INTERVAL_S:g}"}


def open_meter(
    device: str,
    request: Request,
    metering: Metering,
    environment: Mapping[str, str],
    calibrated: Mapping[str, float] | None = None,
) -> EnergyMeter:
    """The meter of a cell on `device`, `cpu` or `cuda`, in a process with this `environment`. Never raises.

    `calibrated` are the boards' windows by calibration, if the suite measures by them.
    """
    if metering.meter == "none":
        return EnergyMeter.without("the suite asks for no meter")
    gpus, zones = _gpus_to_measure(device, request, metering, environment), rapl.packages()
    if isinstance(gpus, Unavailable) and isinstance(zones, Unavailable):
        return EnergyMeter(gpus, gpus, zones, request, metering)
    uuids = () if isinstance(gpus, Unavailable) else _uuids(gpus)
    counters = [] if isinstance(zones, Unavailable) else [zone.counter for zone in zones]
    return EnergyMeter(Sampler.start(uuids, counters), gpus, zones, request, metering, calibrated)


def obstacle(request: Request, metering: Metering, environment: Mapping[str, str]) -> str | None:
    """Why a GPU cell in a process with this environment would get no joules; None if it would."""
    return _obstacle(_gpus_to_measure("cuda", request, metering, environment))


def _obstacle(gpus: Sequence[AssignedGpu] | Unavailable) -> str | None:
    if isinstance(gpus, Unavailable):
        return str(gpus)
    return next((found for gpu in gpus if (found := gpu.board.obstacle(is_whole=False))), None)


def _uuids(gpus: Sequence[AssignedGpu]) -> tuple[str, ...]:
    return tuple(assigned.board.uuid for assigned in gpus)


def _name(gpus: Sequence[AssignedGpu]) -> str:
    """Of the board; of several with their number, and each kind once."""
    kinds = dict.fromkeys(assigned.board.name for assigned in gpus)
    return f"{len(gpus)} × {' and '.join(kinds)}" if len(gpus) > 1 else next(iter(kinds))


def _gpus_to_measure(
    device: str, request: Request, metering: Metering, environment: Mapping[str, str]
) -> Sequence[AssignedGpu] | Unavailable:
    if device == "cpu":
        return Unavailable("the cell ran on the CPU")
    assigned = assigned_gpus(environment, request.boards)
    if isinstance(assigned, Unavailable):
        return assigned
    division = next((gpu.division for gpu in assigned if gpu.division), None)
    if metering.shared == "refuse" and (shared := division or _shared_gpu(request)):
        return Unavailable(
            f"{shared}; `energy: {{shared: label}}` in the suite measures the whole board and flags its joules"
        )
    return assigned


def _shared_cpus(request: Request) -> str | None:
    """Why the packages' joules cover more than the cell; None if no second cell fits on them beside it."""
    cores = os.cpu_count() or 1  # of the whole machine, as the readings are, not those that the process may use
    if 2 * request.cpus > cores:
        return None
    return f"other cells may have run at the same time: it was given {request.cpus} of {cores} cores"


def _shared_gpu(request: Request) -> str | None:
    """Why the GPU's readings cover more than the cell; None if the cell has whole GPUs."""
    return f"the cell was given {request.gpus:g} of the GPU" if 0 < request.gpus < 1 else None


def _computed_elsewhere(gpus: Sequence[AssignedGpu]) -> Unavailable | None:
    """Why torch's GPUs are not these; None if they are. On simulated ones nothing is computed."""
    for number, assigned in enumerate(gpus):
        if assigned.board.simulated:
            continue
        seen = nvml.torch_gpu(f"cuda:{number}")
        if isinstance(seen, Unavailable):
            return seen
        _, uuid, _ = seen
        if not assigned.division and uuid != assigned.board.uuid:  # an instance has a UUID of its own
            return Unavailable(f"the meter read {assigned.board.uuid}, torch computed on {uuid}")
    return None


def settle(
    uuids: Sequence[str],
    metering: Metering,
    own: ThisProcess,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> IdleBaseline:
    """Wait until the GPUs are cool and other processes have left them, then measure them idle.

    The sampler runs already.
    """
    sleep(LEAD_S)
    begin_s = clock()
    cooled, steady = _cool_down(uuids, metering.cool_down, begin_s, clock, sleep)
    leave_by = clock() + LEAVE_WITHIN_S
    while (processes := own.others(_processes(uuids))) and clock() < leave_by:
        sleep(_POLL_S)
    cool_down_s = clock() - begin_s
    if not metering.idle:
        return IdleBaseline(cool_down_s, cooled, processes, NOT_ASKED, steady)
    if own.has_context:
        unmeasurable = Unavailable("this process had a CUDA context on the GPU before its first cell was measured")
        return IdleBaseline(cool_down_s, cooled, processes, unmeasurable, steady)
    idle_from = clock()
    sleep(metering.idle)
    processes |= own.others(_processes(uuids))
    return IdleBaseline(cool_down_s, cooled, processes, Interval(idle_from, clock()), steady)


def _cool_down(
    uuids: Sequence[str], asked: CoolDown, begin_s: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[bool, bool]:
    """Wait as the suite asks; whether all GPUs are as cool as asked, and, if not, whether they cool no further."""
    sleep(asked.at_least)
    if asked.below_c is None:
        return True, False
    coolest_c, since_s = math.inf, clock()
    while (hottest_c := _hottest_c(uuids)) >= asked.below_c:
        if hottest_c < coolest_c:
            coolest_c, since_s = hottest_c, clock()
        if math.isfinite(coolest_c) and clock() - since_s >= STEADY_S:
            return False, True
        if clock() - begin_s >= asked.at_most:
            return False, False
        sleep(_POLL_S)
    return True, False


def _hottest_c(uuids: Sequence[str]) -> float:
    """Degrees Celsius of the hottest GPU; infinite if one of them does not tell."""
    degrees = map(nvml.temperature_c, uuids)
    return max(math.inf if isinstance(one, Unavailable) else one for one in degrees)


def _processes(uuids: Sequence[str]) -> frozenset[int]:
    """The compute processes; none where the driver does not list them, which the trace then shows."""
    listed = map(nvml.compute_processes, uuids)
    return frozenset().union(*(processes for processes in listed if not isinstance(processes, Unavailable)))
