"""The energy meter of one cell: opened before CUDA starts, read after the last repeat of the training."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dtcbench.energy import nvml, rapl
from dtcbench.energy.device import GivenGpu, given_gpu
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.nvml import NvmlError
from dtcbench.energy.phases import Phases
from dtcbench.energy.rapl import Packages
from dtcbench.energy.reading import Circumstances, Unread, read, unmeasured
from dtcbench.energy.settling import Settled, settle
from dtcbench.energy.trace import INTERVAL_S, Sampler, SamplerError, to_parquet
from dtcbench.energy.windows import counting, seconds_in, windows
from dtcbench.plan.metering import Metering
from dtcbench.record import Energy

_AFTERGLOW_S = 3 * REFRESH_S
"""Sampled after the last window, so that the counter has told of all of it."""


@dataclass(frozen=True)
class Share:
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

    def enough(self, phases: Phases) -> bool:
        """Whether the window is long enough; if not, the training is to be repeated."""

    def reading(self, phases: Phases, flags: list[str]) -> Reading:
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

    def enough(self, phases: Phases) -> bool:
        """No repeat would tell more."""
        return True

    def reading(self, phases: Phases, flags: list[str]) -> Reading:
        """No joules, and why."""
        return Reading(unmeasured(self.reason, self.cpu, phases.stretches, flags), None)

    def close(self) -> None:
        """Nothing was started."""


class SampledMeter:
    """Reads a GPU, the processor packages, or both, from the sampler's trace. See `open_meter`."""

    def __init__(
        self, sampler: Sampler, given: GivenGpu | str, packages: Packages, share: Share, metering: Metering
    ) -> None:
        self._sampler = sampler
        self._given = given
        self._packages = packages
        self._share = share
        self._metering = metering
        self._settled = Settled(0.0, True, frozenset(), None)

    def settle(self) -> None:
        """Let the GPU cool down and measure it idle."""
        if isinstance(self._given, GivenGpu):
            self._settled = settle(self._given.board.uuid, self._metering)

    def enough(self, phases: Phases) -> bool:
        """Whether the trainings that count take `min_window` together. The processors' counters need no repeats."""
        if isinstance(self._given, str):
            return True
        return seconds_in(windows(counting(phases.stretches))) >= self._metering.min_window

    def reading(self, phases: Phases, flags: list[str]) -> Reading:
        """The joules of one training, flagged with `flags` too; the measurement is over."""
        time.sleep(_AFTERGLOW_S)
        try:
            trace = self._sampler.finish()
        except SamplerError as error:
            return NoMeter(str(error)).reading(phases, flags)
        file = to_parquet(trace, phases.stretches, self._about())
        digest = hashlib.sha256(file).hexdigest()
        return Reading(read(trace, phases.stretches, self._circumstances(), self._packages, flags, digest), file)

    def close(self) -> None:
        """End the sampler."""
        self._sampler.kill()

    def _circumstances(self) -> Circumstances | Unread:
        given = self._given
        if isinstance(given, str):
            return Unread(given)
        if not given.board.simulated and (other := _another_gpu(given)):
            return Unread(other)
        return Circumstances(
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


def open_meter(device: str, share: Share, metering: Metering, environment: Mapping[str, str]) -> EnergyMeter:
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


def _given(device: str, share: Share, metering: Metering, environment: Mapping[str, str]) -> GivenGpu | str:
    """The GPU to measure, or why none is."""
    if device == "cpu":
        return "the cell ran on the CPU"
    try:
        given = given_gpu(environment)
    except NvmlError as error:
        return str(error)
    if metering.shared == "refuse" and (shared := given.division or share.of_gpu):
        return f"{shared}; `energy: {{shared: label}}` in the suite measures the board, and labels it"
    return given


def is_simulated(environment: Mapping[str, str]) -> bool:
    """Whether the GPU given to a process with this environment is a simulation, which computes on the CPU."""
    try:
        return given_gpu(environment).board.simulated
    except NvmlError:
        return False


def _another_gpu(given: GivenGpu) -> str | None:
    """Why the meter's GPU is not the one torch computed on; None where it is."""
    try:
        seen = nvml.torch_gpu("cuda")
    except NvmlError as error:
        return str(error)
    if given.division or seen.uuid == given.board.uuid:  # an instance has a UUID of its own
        return None
    return f"the meter read {given.board.uuid}, torch computed on {seen.uuid}"
