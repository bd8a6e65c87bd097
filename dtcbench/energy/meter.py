"""The energy meter of one cell: opened before CUDA starts, read after the last repeat of the training."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from dtcbench.energy import nvml, rapl
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.nvml import AssignedGpu, NvmlError, assigned_gpu
from dtcbench.energy.rapl import Packages
from dtcbench.energy.reading import GpuContext, Unread, read, unmeasured
from dtcbench.energy.segments import Interval, PhaseTimer, counting, seconds_in, windows
from dtcbench.energy.trace import INTERVAL_S, Sampler, SamplerError, to_parquet
from dtcbench.plan.metering import CoolDown, Metering
from dtcbench.record import Energy

_AFTERGLOW_S = 3 * REFRESH_S
"""Sampled after the last window, so that the counter has told of all of it."""


@dataclass(frozen=True)
class ResourceShare:
    """What a cell was given of its machine."""

    gpus: float
    """GPUs, or the part of one."""
    cpus: int

    @property
    def of_gpu(self) -> str | None:
        """Why the GPU's figures cover more than the cell; None where it has the GPU to itself."""
        return f"the cell was given {self.gpus:g} of the GPU" if 0 < self.gpus < 1 else None

    @property
    def of_processors(self) -> str | None:
        """Why the processors' figures may cover more than the cell; None where no other cell fits beside it."""
        cores = os.cpu_count() or 1  # of the whole machine, as the figures are, whatever the cell's process may use
        if 2 * self.cpus > cores:
            return None
        return f"other cells may have run beside it: it was given {self.cpus} of {cores} cores"


@dataclass(frozen=True)
class Reading:
    """A cell's energy and, where there was a sampler, its trace as a Parquet file."""

    energy: Energy
    trace: bytes | None


class EnergyMeter(Protocol):
    """Measures what a cell's phases used. No method raises: what fails is in the reading."""

    def settle(self) -> None:
        """Let the GPU cool down and measure it idle; nothing of the cell may be on it yet."""

    def enough(self, phases: PhaseTimer) -> bool:
        """Whether the window is long enough; if not, the training is to be repeated."""

    def reading(self, phases: PhaseTimer, flags: list[str]) -> Reading:
        """The joules of one training, flagged with `flags` too; the measurement is over."""

    def close(self) -> None:
        """End what was started, read or not."""


class NoMeter:
    """Stands where nothing measures: its reading is null, with the reasons."""

    def __init__(self, reason: str, cpu: str | None = None) -> None:
        self.reason = reason
        """Of the GPU."""
        self.cpu = cpu or reason

    def settle(self) -> None:
        """There is nothing to wait for."""

    def enough(self, phases: PhaseTimer) -> bool:
        """No repeat would tell more."""
        return True

    def reading(self, phases: PhaseTimer, flags: list[str]) -> Reading:
        """No joules, and why."""
        return Reading(unmeasured(self.reason, self.cpu, phases.segments, flags), None)

    def close(self) -> None:
        """Nothing was started."""


class SampledMeter:
    """Reads a GPU, the processor packages, or both, from the sampler's trace. See `open_meter`."""

    def __init__(
        self, sampler: Sampler, given: AssignedGpu | str, packages: Packages, share: ResourceShare, metering: Metering
    ) -> None:
        self._sampler = sampler
        self._given = given
        self._packages = packages
        self._share = share
        self._metering = metering
        self._settled = IdleBaseline(0.0, True, frozenset(), None)

    def settle(self) -> None:
        """Let the GPU cool down and measure it idle."""
        if isinstance(self._given, AssignedGpu):
            self._settled = settle(self._given.board.uuid, self._metering)

    def enough(self, phases: PhaseTimer) -> bool:
        """Whether the trainings that count take `min_window` together. The processors' counters need no repeats."""
        if isinstance(self._given, str):
            return True
        return seconds_in(windows(counting(phases.segments))) >= self._metering.min_window

    def reading(self, phases: PhaseTimer, flags: list[str]) -> Reading:
        """The joules of one training, flagged with `flags` too; the measurement is over."""
        time.sleep(_AFTERGLOW_S)
        try:
            trace = self._sampler.finish()
        except SamplerError as error:
            return NoMeter(str(error)).reading(phases, flags)
        file = to_parquet(trace, phases.segments, self._about())
        digest = hashlib.sha256(file).hexdigest()
        return Reading(read(trace, phases.segments, self._circumstances(), self._packages, flags, digest), file)

    def close(self) -> None:
        """End the sampler."""
        self._sampler.kill()

    def _circumstances(self) -> GpuContext | Unread:
        given = self._given
        if isinstance(given, str):
            return Unread(given)
        if not given.board.simulated and (other := _another_gpu(given)):
            return Unread(other)
        return GpuContext(
            device=given.board.name,
            uuid=given.board.uuid,
            simulated=given.board.simulated,
            interval_s=INTERVAL_S,
            shared="; ".join(filter(None, [given.division, self._share.of_gpu])) or None,
            label_shared=self._metering.shared == "label",
            own_processes=frozenset({os.getpid()}),
            earlier_processes=self._settled.processes,
            idle=self._settled.idle,
            cool_down_s=self._settled.cool_down_s,
            cooled=self._settled.cooled,
        )

    def _about(self) -> dict[str, str]:
        zones = ", ".join(zone.name for zone in self._packages.zones)
        gpu = {} if isinstance(self._given, str) else {"device": self._given.board.name}
        return {**gpu, "zones": zones, "interval_s": f"{INTERVAL_S:g}"}


def open_meter(device: str, share: ResourceShare, metering: Metering, environment: Mapping[str, str]) -> EnergyMeter:
    """The meter of a cell on `device`, `cpu` or `cuda`, in a process with this `environment`. Never raises.

    Where nothing can be read it is a `NoMeter` that knows why.
    """
    if metering.meter == "none":
        return NoMeter("the suite asks for no meter")
    given = _given(device, share, metering, environment)
    packages = rapl.packages()
    if packages.zones and (beside := share.of_processors):
        packages = Packages((), beside)
    if isinstance(given, str) and not packages.zones:
        return NoMeter(given, packages.reason)
    uuid = None if isinstance(given, str) else given.board.uuid
    try:
        return SampledMeter(Sampler(uuid, packages.zones), given, packages, share, metering)
    except SamplerError as error:
        return NoMeter(str(error))


def _given(device: str, share: ResourceShare, metering: Metering, environment: Mapping[str, str]) -> AssignedGpu | str:
    """The GPU to measure, or why none is."""
    if device == "cpu":
        return "the cell ran on the CPU"
    try:
        given = assigned_gpu(environment)
    except NvmlError as error:
        return str(error)
    if metering.shared == "refuse" and (shared := given.division or share.of_gpu):
        return f"{shared}; `energy: {{shared: label}}` in the suite measures the board, and labels it"
    return given


def is_simulated(environment: Mapping[str, str]) -> bool:
    """Whether the GPU given to a process with this environment is a simulation, which computes on the CPU."""
    try:
        return assigned_gpu(environment).board.simulated
    except NvmlError:
        return False


def _another_gpu(given: AssignedGpu) -> str | None:
    """Why the meter's GPU is not the one torch computed on; None where it is."""
    try:
        seen = nvml.torch_gpu("cuda")
    except NvmlError as error:
        return str(error)
    if given.division or seen.uuid == given.board.uuid:  # an instance has a UUID of its own
        return None
    return f"the meter read {given.board.uuid}, torch computed on {seen.uuid}"


LEAVE_WITHIN_S = 10.0
"""How long the process of the cell before may take to leave the GPU."""
LEAD_S = 2 * REFRESH_S
"""How long the sampler has run before anything is measured: it must have seen the counter move."""
_POLL_S = 0.2


@dataclass(frozen=True)
class IdleBaseline:
    """How the GPU was when the cell began."""

    cool_down_s: float
    cooled: bool
    """Whether it was as cool as asked for; True where nothing was asked for."""
    processes: frozenset[int]
    """Compute processes that were on it all the same."""
    idle: Interval | None
    """When it was idle; None where nobody looked."""


def settle(
    uuid: str,
    metering: Metering,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> IdleBaseline:
    """Wait for the GPU to cool down and to be left alone, then for as long as it is measured idle.

    The sampler runs already.
    """
    sleep(LEAD_S)
    begin_s = clock()
    cooled = _cool(uuid, metering.cool_down, begin_s, clock, sleep)
    left_by = clock() + LEAVE_WITHIN_S
    while (processes := _processes(uuid)) and clock() < left_by:
        sleep(_POLL_S)
    cool_down_s = clock() - begin_s
    if not metering.idle:
        return IdleBaseline(cool_down_s, cooled, processes, None)
    idle_from = clock()
    sleep(metering.idle)
    return IdleBaseline(cool_down_s, cooled, processes | _processes(uuid), Interval(idle_from, clock()))


def _cool(
    uuid: str, asked: CoolDown, begin_s: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> bool:
    sleep(asked.at_least)
    if asked.below_c is None:
        return True
    while not (cool := _cooler_than(uuid, asked.below_c)) and clock() - begin_s < asked.at_most:
        sleep(_POLL_S)
    return cool


def _cooler_than(uuid: str, degrees_c: float) -> bool:
    try:
        return nvml.temperature_c(uuid) < degrees_c
    except NvmlError:  # a temperature that is not told is not a cool one
        return False


def _processes(uuid: str) -> frozenset[int]:
    try:
        return nvml.compute_processes(uuid)
    except NvmlError:  # the trace says that they were not told
        return frozenset()
