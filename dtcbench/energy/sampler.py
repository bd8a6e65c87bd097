"""The sampler: a separate process that polls one GPU and the processor packages until its parent ends it.

    python -P sampler.py '{"uuid": "GPU-…" | null, "zones": ["/sys/…/energy_uj"], "interval_s": 0.025}'

It imports only pynvml and the standard library, so that it starts at once, and it runs outside the trainer's
interpreter, so that no work there delays a sample. After its first sample it writes one JSON line, `{"begun": true}`
or `{"error": "why not"}`. It ends at a line or the end of file on its standard input; the end of file also comes
when the parent dies. Then it writes one JSON line that describes its columns, and the columns themselves: float64
in native byte order, NaN where a reading failed. Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

import pynvml

SLOW_S = 0.5
"""Seconds between two polls of quantities that change slowly or take long to read: temperature, clocks, limits,
processes."""
_VALUE = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal"}
"""The member that holds a field's value, by the value's type (nvmlValueType_t)."""
_ABSENT = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_InvalidArgument)
"""Errors of a quantity that will never be read: the board lacks it, or the driver lacks the function or the field."""
_FIELDS = {
    "average_w": pynvml.NVML_FI_DEV_POWER_AVERAGE,
    "instant_w": pynvml.NVML_FI_DEV_POWER_INSTANT,
}


class Poller:
    """Polls one GPU and the processor packages into columns that grow together."""

    def __init__(self, uuid: str | None, zones: list[str]) -> None:
        self.values: dict[str, array[float]] = {"t_s": array("d")}
        """By column: its values so far."""
        self.errors: dict[str, list[Any]] = {}
        """By column: how many readings failed, and the first error message."""
        self.processes: dict[int, list[float]] = {}
        """By id of a compute process: when it was first and last seen."""
        self.lost_s: float | None = None
        """When the GPU was lost; it is not asked again."""
        self._zones = {f"rapl{number}_uj": path for number, path in enumerate(zones)}
        self._unsupported: set[str] = set()
        """Columns that the GPU does not support. They are asked for once."""
        self._handle = None
        if uuid:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)

    def poll(self, slow: bool = False) -> None:
        """Add a row; with `slow` also the quantities that are read every `SLOW_S`."""
        for name, column in self.values.items():
            column.append(time.monotonic() if name == "t_s" else math.nan)
        if self._handle is not None:
            self._poll_energy(self._handle)
            if slow:
                self._poll_slow(self._handle)
        for name, path in self._zones.items():
            self._read_zone(name, path)

    def _poll_energy(self, h: Any) -> None:
        """The energy counter and the power."""
        self._read("counter_mj", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(h), never_zero=True)
        self._read_fields(h)
        if self._unsupported.issuperset(_FIELDS):
            self._read("usage_w", lambda: pynvml.nvmlDeviceGetPowerUsage(h) / 1000, never_zero=True)

    def _poll_slow(self, h: Any) -> None:
        """The quantities that the power depends on."""
        gpu = pynvml.NVML_TEMPERATURE_GPU
        self._read("temperature_c", lambda: pynvml.nvmlDeviceGetTemperature(h, gpu))
        self._read("sm_clock_mhz", lambda: pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_SM))
        self._read("memory_clock_mhz", lambda: pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_MEM))
        self._read("power_limit_w", lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(h) / 1000)
        self._read("throttle_reasons", lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(h))
        self._read("utilisation_pct", lambda: pynvml.nvmlDeviceGetUtilizationRates(h).gpu)
        self._read("processes", lambda: self._count_processes(h))

    def _read(self, name: str, ask: Callable[[], float], never_zero: bool = False) -> None:
        if self.lost_s is not None or name in self._unsupported:
            return
        try:
            self._put(name, float(ask()), never_zero)
        except pynvml.NVMLError as error:
            self._gpu_failed(name, error)

    def _read_fields(self, h: Any) -> None:
        """Average and instantaneous power in one call."""
        names = [name for name in _FIELDS if name not in self._unsupported]
        if self.lost_s is not None or not names:
            return
        try:
            answers = pynvml.nvmlDeviceGetFieldValues(h, [_FIELDS[name] for name in names])
        except pynvml.NVMLError as error:
            for name in names:
                self._gpu_failed(name, error)
            return
        for name, answer in zip(names, answers, strict=True):
            if answer.nvmlReturn == pynvml.NVML_SUCCESS:
                self._put(name, float(getattr(answer.value, _VALUE[answer.valueType])) / 1000, never_zero=True)
            else:
                self._gpu_failed(name, pynvml.NVMLError(answer.nvmlReturn))

    def _read_zone(self, name: str, path: str) -> None:
        """One processor package's counter, in microjoules."""
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib takes time to import
                self._put(name, float(file.read()))
        except (OSError, ValueError) as error:
            self._failed(name, getattr(error, "strerror", None) or str(error))

    def _count_processes(self, h: Any) -> int:
        now = time.monotonic()
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(h)
        for process in running:
            self.processes.setdefault(int(process.pid), [now, now])[1] = now
        return len(running)

    def _put(self, name: str, value: float, never_zero: bool = False) -> None:
        """A reading of the present row."""
        if never_zero and value == 0:
            self._failed(name, "read as 0, which no board draws")
            return
        if name not in self.values:
            self.values[name] = array("d", [math.nan]) * len(self.values["t_s"])
        self.values[name][-1] = value

    def _failed(self, name: str, why: str) -> None:
        """A failed reading of the present row."""
        self._put(name, math.nan)
        self.errors.setdefault(name, [0, why])[0] += 1

    def _gpu_failed(self, name: str, error: pynvml.NVMLError) -> None:
        self._failed(name, str(error))
        if isinstance(error, _ABSENT):
            self._unsupported.add(name)
        if isinstance(error, pynvml.NVMLError_GpuIsLost):
            self.lost_s = time.monotonic()


def sample(order: dict[str, Any]) -> None:
    """Poll until standard input ends, then write the samples."""
    poller = Poller(order["uuid"], order["zones"])
    begun, begun_cpu, due, due_slow = time.monotonic(), time.process_time(), 0.0, 0.0
    ended = False
    while not ended:
        now = time.monotonic()
        slow = now >= due_slow
        poller.poll(slow)
        if slow:
            due_slow = now + SLOW_S
        if not due:
            _write_line({"begun": True})
        # After a late poll the next one keeps its distance: the lost time is not made up for.
        due = max(due + order["interval_s"], now)
        ended = bool(select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0])
    _write_line(
        {
            "columns": list(poller.values),
            "rows": len(poller.values["t_s"]),
            "errors": poller.errors,
            "processes": poller.processes,
            "lost_s": poller.lost_s,
            "cpu_s": time.process_time() - begun_cpu,
            "elapsed_s": time.monotonic() - begun,
        }
    )
    for column in poller.values.values():
        sys.stdout.buffer.write(column.tobytes())
    sys.stdout.buffer.flush()


def _write_line(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Sample as the first argument says; an NVML error before the first sample is written as a JSON line."""
    try:
        sample(json.loads(sys.argv[1]))
    except pynvml.NVMLError as error:
        _write_line({"error": str(error)})
    except BrokenPipeError:  # the parent died
        os._exit(0)


if __name__ == "__main__":
    main()
