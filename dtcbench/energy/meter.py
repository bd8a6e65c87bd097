"""The clock and the energy meter of a cell: what lies inside the energy boundary, and what not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, Protocol

from dtcbench.records.record import Energy

Phase = Literal["train", "compress", "evaluate"]


class EnergyMeter(Protocol):
    """Adds up the energy of any number of windows. No method raises: what fails is in the reading."""

    def start(self) -> None:
        """Open a window."""

    def stop(self) -> None:
        """Close the window; its joules are added to those of the windows before."""

    def reading(self, window_s: float) -> Energy:
        """The joules of all windows, which lasted `window_s` seconds together, or why there are none."""


class NoMeter:
    """Stands where nothing measures: its reading is null, with the reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def reading(self, window_s: float) -> Energy:
        """No joules over `window_s` seconds, and why."""
        return Energy(
            energy_j=None,
            method="none",
            scope="none",
            window_s=window_s,
            cross_check_pct=None,
            quantisation_j=None,
            flags=[],
            reasons=dict.fromkeys(("energy_j", "cross_check_pct", "quantisation_j"), self.reason),
        )


def open_meter(device: str) -> EnergyMeter:
    """The meter of `device`, a torch device such as `cpu`, `cuda` or `cuda:1`. Never raises.

    Where the device's energy cannot be read it is a `NoMeter` that knows why.
    """
    # nvml gives its failed readings through NoMeter, so it can only be imported here.
    from dtcbench.energy import nvml

    kind = device.partition(":")[0]
    if kind == "cpu":
        return NoMeter("the cell ran on the CPU, and no CPU meter is read")
    if kind != "cuda":
        return NoMeter(f"there is no meter for the device {device}")
    try:
        return nvml.open_counter(nvml.torch_gpu(device).uuid)
    except nvml.NvmlError as error:
        return NoMeter(str(error))


class Phases:
    """The clock of a cell: seconds by phase, with the meter running while it trains or compresses.

    Evaluation is timed but lies outside the energy boundary. Phases do not nest.

        phases = Phases(meter, synchronize=torch.cuda.synchronize)
        with phases.train():
            ...
        with phases.evaluate():
            ...
        energy = phases.reading()

    Parameters
    ----------
    meter : started and stopped at the edges of `train` and `compress`
    synchronize : waits until the device has done its queued work, so that the work counts for
        the phase that queued it
    clock : seconds, monotonic
    """

    def __init__(
        self,
        meter: EnergyMeter,
        synchronize: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._meter = meter
        self._synchronize = synchronize
        self._clock = clock
        self._current: Phase | None = None
        self._seconds: dict[Phase, float] = {"train": 0.0, "compress": 0.0, "evaluate": 0.0}

    def train(self) -> AbstractContextManager[None]:
        """Forward and backward passes and optimiser steps: inside the energy boundary."""
        return self._phase("train", self._metered())

    def compress(self) -> AbstractContextManager[None]:
        """Projecting, solving, selecting and shrinking: inside the energy boundary."""
        return self._phase("compress", self._metered())

    def evaluate(self) -> AbstractContextManager[None]:
        """Validation and test: outside the energy boundary."""
        return self._phase("evaluate", nullcontext())

    @property
    def train_s(self) -> float:
        """Seconds training so far."""
        return self._seconds["train"]

    @property
    def compress_s(self) -> float:
        """Seconds compressing so far."""
        return self._seconds["compress"]

    @property
    def evaluate_s(self) -> float:
        """Seconds evaluating so far."""
        return self._seconds["evaluate"]

    @property
    def window_s(self) -> float:
        """Seconds inside the energy boundary so far."""
        return self.train_s + self.compress_s

    def reading(self) -> Energy:
        """The meter's reading over all that lay inside the energy boundary so far."""
        return self._meter.reading(self.window_s)

    @contextmanager
    def _phase(self, phase: Phase, metering: AbstractContextManager[None]) -> Iterator[None]:
        if self._current is not None:
            raise RuntimeError(f"phase {phase} begins inside phase {self._current}; end that one first")
        self._current = phase
        try:
            self._synchronize()
            with metering, self._timed(phase):
                yield
                # Not after an exception: a device in trouble would hide it behind an error of its own.
                self._synchronize()
        finally:
            self._current = None

    @contextmanager
    def _metered(self) -> Iterator[None]:
        self._meter.start()
        try:
            yield
        finally:
            self._meter.stop()

    @contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self._seconds[phase] += self._clock() - began
