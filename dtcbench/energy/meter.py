"""The energy meter of one cell: opened before CUDA starts, read after the last repeat of the training."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence

from dtcbench.energy import nvml, rapl
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.joules import GpuContext, IdleBaseline, read, unmeasured
from dtcbench.energy.nvml import AssignedGpu, assigned_gpu
from dtcbench.energy.rapl import Zone
from dtcbench.energy.segments import Interval, PhaseTimer, counted, total_s, windows
from dtcbench.energy.trace import INTERVAL_S, Sampler, Trace, to_parquet
from dtcbench.plan.metering import CoolDown, Metering
from dtcbench.plan.request import Request
from dtcbench.record import Energy
from dtcbench.unavailable import Unavailable

LEAD_S = 2 * REFRESH_S
"""Sampled before anything is measured, so that the counter is seen to move."""
LEAVE_WITHIN_S = 10.0
"""How long the process of the cell before may take to leave the GPU."""
_AFTERGLOW_S = 3 * REFRESH_S
"""Sampled after the last window, so that the counter has reached its end."""
_POLL_S = 0.2


class EnergyMeter:
    """Measures the energy of a cell's phases: of a GPU, of the processor packages, of both or of neither.

    No method raises: a failure becomes the reason in the record's energy. See `open_meter`.

    Parameters
    ----------
    sampler : running, or why nothing is sampled
    gpu : the GPU to measure, or why none is
    zones : the processor packages to measure, or why none are
    request : what the cell was given
    """

    def __init__(
        self,
        sampler: Sampler | Unavailable,
        gpu: AssignedGpu | Unavailable,
        zones: Sequence[Zone] | Unavailable,
        request: Request,
        metering: Metering,
    ) -> None:
        self._sampler = sampler
        self._gpu = sampler if isinstance(sampler, Unavailable) and isinstance(gpu, AssignedGpu) else gpu
        self._zones = zones
        self._request = request
        self._metering = metering
        self._baseline = IdleBaseline(0.0, True, frozenset(), Unavailable("the idle GPU was not measured"))

    @classmethod
    def without(cls, reason: str) -> EnergyMeter:
        """A meter that measures nothing, for this reason."""
        none = Unavailable(reason)
        return cls(none, none, none, Request(cpus=1), Metering())

    def settle(self) -> None:
        """Let the GPU cool down and measure it idle. Call it before the cell touches the GPU."""
        if isinstance(self._gpu, AssignedGpu):
            self._baseline = settle(self._gpu.board.uuid, self._metering)

    def enough(self, timer: PhaseTimer) -> bool:
        """Whether the trainings that count take `min_window` together; if not, the training is to be repeated.

        Without a GPU no repeat is needed.
        """
        if isinstance(self._gpu, Unavailable):
            return True
        return total_s(windows(counted(timer.segments))) >= self._metering.min_window

    def reading(self, timer: PhaseTimer, flags: Sequence[str]) -> tuple[Energy, bytes | None]:
        """End the measurement: the energy of one training, and the trace as a Parquet file if there was a sampler.

        `flags` are added to the energy's own.
        """
        trace = self._finish()
        if isinstance(trace, Unavailable):
            gpu = self._gpu if isinstance(self._gpu, Unavailable) else trace
            cpu = self._zones if isinstance(self._zones, Unavailable) else trace
            return unmeasured(gpu, cpu, timer.segments, flags), None
        file = to_parquet(trace, timer.segments, self._about())
        digest = hashlib.sha256(file).hexdigest()
        return read(trace, timer.segments, self._context(), self._zones, flags, digest), file

    def close(self) -> None:
        """End the sampler, whether or not it was read."""
        if not isinstance(self._sampler, Unavailable):
            self._sampler.kill()

    def _finish(self) -> Trace | Unavailable:
        if isinstance(self._sampler, Unavailable):
            return self._sampler
        time.sleep(_AFTERGLOW_S)
        return self._sampler.finish()

    def _context(self) -> GpuContext | Unavailable:
        assigned = self._gpu
        if isinstance(assigned, Unavailable):
            return assigned
        if not assigned.board.simulated and (problem := _other_gpu_used(assigned)):
            return problem
        return GpuContext(
            device=assigned.board.name,
            uuid=assigned.board.uuid,
            simulated=assigned.board.simulated,
            interval_s=INTERVAL_S,
            shared="; ".join(filter(None, [assigned.division, _shared_gpu(self._request)])) or None,
            label_shared=self._metering.shared == "label",
            own_processes=frozenset({os.getpid()}),
            baseline=self._baseline,
        )

    def _about(self) -> dict[str, str]:
        gpu = {"device": self._gpu.board.name} if isinstance(self._gpu, AssignedGpu) else {}
        zones = [] if isinstance(self._zones, Unavailable) else self._zones
        return {**gpu, "zones": ", ".join(zone.name for zone in zones), "interval_s": f"{INTERVAL_S:g}"}


def open_meter(device: str, request: Request, metering: Metering, environment: Mapping[str, str]) -> EnergyMeter:
    """The meter of a cell on `device`, `cpu` or `cuda`, in a process with this `environment`. Never raises."""
    if metering.meter == "none":
        return EnergyMeter.without("the suite asks for no meter")
    gpu, zones = _gpu_to_measure(device, request, metering, environment), zones_to_measure(request)
    if isinstance(gpu, Unavailable) and isinstance(zones, Unavailable):
        return EnergyMeter(gpu, gpu, zones, request, metering)
    uuid = gpu.board.uuid if isinstance(gpu, AssignedGpu) else None
    counters = [] if isinstance(zones, Unavailable) else [zone.counter for zone in zones]
    return EnergyMeter(Sampler.start(uuid, counters), gpu, zones, request, metering)


def _gpu_to_measure(
    device: str, request: Request, metering: Metering, environment: Mapping[str, str]
) -> AssignedGpu | Unavailable:
    if device == "cpu":
        return Unavailable("the cell ran on the CPU")
    assigned = assigned_gpu(environment)
    if isinstance(assigned, Unavailable):
        return assigned
    if metering.shared == "refuse" and (shared := assigned.division or _shared_gpu(request)):
        return Unavailable(
            f"{shared}; `energy: {{shared: label}}` in the suite measures the whole board and flags its joules"
        )
    return assigned


def zones_to_measure(request: Request) -> Sequence[Zone] | Unavailable:
    """The processor packages, unless a second cell may run on them at the same time."""
    zones = rapl.packages()
    cores = os.cpu_count() or 1  # of the whole machine, as the readings are, not those that the process may use
    if isinstance(zones, Unavailable) or 2 * request.cpus > cores:
        return zones
    return Unavailable(f"other cells may have run at the same time: it was given {request.cpus} of {cores} cores")


def _shared_gpu(request: Request) -> str | None:
    """Why the GPU's readings cover more than the cell; None if the cell has whole GPUs."""
    return f"the cell was given {request.gpus:g} of the GPU" if 0 < request.gpus < 1 else None


def _other_gpu_used(assigned: AssignedGpu) -> Unavailable | None:
    """Why torch did not compute on the meter's GPU; None if it did."""
    seen = nvml.torch_gpu("cuda")
    if isinstance(seen, Unavailable):
        return seen
    _, uuid, _ = seen
    if assigned.division or uuid == assigned.board.uuid:  # an instance has a UUID of its own
        return None
    return Unavailable(f"the meter read {assigned.board.uuid}, torch computed on {uuid}")


def settle(
    uuid: str,
    metering: Metering,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> IdleBaseline:
    """Wait until the GPU is cool and other processes have left it, then measure it idle.

    The sampler runs already.
    """
    sleep(LEAD_S)
    begin_s = clock()
    cooled = _cool_down(uuid, metering.cool_down, begin_s, clock, sleep)
    leave_by = clock() + LEAVE_WITHIN_S
    while (processes := _processes(uuid)) and clock() < leave_by:
        sleep(_POLL_S)
    cool_down_s = clock() - begin_s
    if not metering.idle:
        unasked = Unavailable("the suite asks for no idle measurement")
        return IdleBaseline(cool_down_s, cooled, processes, unasked)
    idle_from = clock()
    sleep(metering.idle)
    return IdleBaseline(cool_down_s, cooled, processes | _processes(uuid), Interval(idle_from, clock()))


def _cool_down(
    uuid: str, asked: CoolDown, begin_s: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> bool:
    """Wait as the suite asks; whether the GPU is as cool as asked."""
    sleep(asked.at_least)
    if asked.below_c is None:
        return True
    while not (cool := _cooler_than(uuid, asked.below_c)) and clock() - begin_s < asked.at_most:
        sleep(_POLL_S)
    return cool


def _cooler_than(uuid: str, degrees_c: float) -> bool:
    """Whether the GPU is known to be cooler."""
    temperature = nvml.temperature_c(uuid)
    return not isinstance(temperature, Unavailable) and temperature < degrees_c


def _processes(uuid: str) -> frozenset[int]:
    """The compute processes; none if the driver does not list them, which the trace then shows."""
    processes = nvml.compute_processes(uuid)
    return frozenset() if isinstance(processes, Unavailable) else processes
