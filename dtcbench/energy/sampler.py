"""The sampler: a process of its own that polls one GPU, and the processor packages, until its parent is done.

    python -P sampler.py '{"uuid": "GPU-…" | null, "zones": ["/sys/…/energy_uj"], "interval_s": 0.025}'

It imports pynvml and the standard library only, so that it starts at once and no work of the trainer's
interpreter delays a sample. It writes one JSON line when it has begun, `{"begun": true}` or
`{"error": "why not"}`. At a line, or the end of file, on its standard input it writes one JSON line that
describes its columns, and then the columns themselves: float64 in native order, NaN where a reading failed,
time stamps by CLOCK_MONOTONIC, which all processes of a machine share. The end of file also comes when the
parent dies.
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
"""Between two polls of what changes slowly, or is slow to ask: temperature, clocks, limits, processes."""
_VALUE = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal"}
"""The member of a field's value by its type (nvmlValueType_t)."""
_ABSENT = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_InvalidArgument)
"""How a board, a driver without the function, and one that does not know the field's number say so."""
_FIELDS = {
    "average_w": pynvml.NVML_FI_DEV_POWER_AVERAGE,
    "instant_w": pynvml.NVML_FI_DEV_POWER_INSTANT,
}


class Columns:
    """Samples in columns that grow together, and what could not be read."""

    def __init__(self) -> None:
        self.values: dict[str, array[float]] = {"t_s": array("d")}
        self.errors: dict[str, list[Any]] = {}
        """By column: how many readings failed, and the first failure's words."""

    def begin_row(self) -> None:
        """A row at this moment, with nothing read yet."""
        for name, column in self.values.items():
            column.append(time.monotonic() if name == "t_s" else math.nan)

    def put(self, name: str, value: float) -> None:
        """A reading of the present row."""
        if name not in self.values:
            self.values[name] = array("d", [math.nan]) * len(self.values["t_s"])
        self.values[name][-1] = value

    def failed(self, name: str, why: str) -> None:
        """No reading in the present row."""
        self.put(name, math.nan)
        self.errors.setdefault(name, [0, why])[0] += 1


class Gpu:
    """One GPU's readings. What it does not support is asked for once."""

    def __init__(self, uuid: str, columns: Columns) -> None:
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        self._columns = columns
        self._unsupported: set[str] = set()
        self.lost_s: float | None = None
        """When the GPU was lost; it is not asked again."""
        self.processes: dict[int, list[float]] = {}
        """By process id: when a compute process was first and last seen."""

    def poll(self) -> None:
        """The counter and the power."""
        h = self._handle
        self._read("counter_mj", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(h), never_zero=True)
        self._read_fields()
        if self._unsupported.issuperset(_FIELDS):
            self._read("usage_w", lambda: pynvml.nvmlDeviceGetPowerUsage(h) / 1000, never_zero=True)

    def poll_slow(self) -> None:
        """What the power depends on."""
        h = self._handle
        gpu = pynvml.NVML_TEMPERATURE_GPU
        self._read("temperature_c", lambda: pynvml.nvmlDeviceGetTemperature(h, gpu))
        self._read("sm_clock_mhz", lambda: pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_SM))
        self._read("memory_clock_mhz", lambda: pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_MEM))
        self._read("power_limit_w", lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(h) / 1000)
        self._read("throttle_reasons", lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(h))
        self._read("utilisation_pct", lambda: pynvml.nvmlDeviceGetUtilizationRates(h).gpu)
        self._read("processes", self._count_processes)

    def _read(self, name: str, ask: Callable[[], float], never_zero: bool = False) -> None:
        if self.lost_s is not None or name in self._unsupported:
            return
        try:
            self._take(name, float(ask()), never_zero)
        except pynvml.NVMLError as error:
            self._refused(name, error)

    def _read_fields(self) -> None:
        """Average and instantaneous power in one call."""
        names = [name for name in _FIELDS if name not in self._unsupported]
        if self.lost_s is not None or not names:
            return
        try:
            answers = pynvml.nvmlDeviceGetFieldValues(self._handle, [_FIELDS[name] for name in names])
        except pynvml.NVMLError as error:
            for name in names:
                self._refused(name, error)
            return
        for name, answer in zip(names, answers, strict=True):
            if answer.nvmlReturn == pynvml.NVML_SUCCESS:
                self._take(name, float(getattr(answer.value, _VALUE[answer.valueType])) / 1000, never_zero=True)
            else:
                self._refused(name, pynvml.NVMLError(answer.nvmlReturn))

    def _take(self, name: str, value: float, never_zero: bool) -> None:
        if never_zero and value == 0:
            self._columns.failed(name, "read as 0, which no board draws")
        else:
            self._columns.put(name, value)

    def _refused(self, name: str, error: pynvml.NVMLError) -> None:
        self._columns.failed(name, str(error))
        if isinstance(error, _ABSENT):
            self._unsupported.add(name)
        if isinstance(error, pynvml.NVMLError_GpuIsLost):
            self.lost_s = time.monotonic()

    def _count_processes(self) -> int:
        now = time.monotonic()
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        for process in running:
            self.processes.setdefault(int(process.pid), [now, now])[1] = now
        return len(running)


def read_zone(path: str, name: str, columns: Columns) -> None:
    """One processor package's counter, in microjoules."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib takes time to import
            columns.put(name, float(file.read()))
    except (OSError, ValueError) as error:
        columns.failed(name, getattr(error, "strerror", None) or str(error))


def sample(order: dict[str, Any]) -> None:
    """Poll until standard input ends, then write what was seen."""
    columns = Columns()
    gpu = Gpu(order["uuid"], columns) if order["uuid"] else None
    zones = {f"rapl{number}_uj": path for number, path in enumerate(order["zones"])}
    begun, begun_cpu, due, due_slow = time.monotonic(), time.process_time(), 0.0, 0.0
    ended = False
    while not ended:
        now = time.monotonic()
        columns.begin_row()
        if gpu:
            gpu.poll()
            if now >= due_slow:
                gpu.poll_slow()
                due_slow = now + SLOW_S
        for name, path in zones.items():
            read_zone(path, name, columns)
        if not due:
            _write_line({"begun": True})
        # A poll that came late is not made up for: the next one keeps its distance.
        due = max(due + order["interval_s"], now)
        ended = bool(select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0])
    _write_line(
        {
            "columns": list(columns.values),
            "rows": len(columns.values["t_s"]),
            "errors": columns.errors,
            "processes": gpu.processes if gpu else {},
            "lost_s": gpu.lost_s if gpu else None,
            "cpu_s": time.process_time() - begun_cpu,
            "elapsed_s": time.monotonic() - begun,
        }
    )
    for column in columns.values.values():
        sys.stdout.buffer.write(column.tobytes())
    sys.stdout.buffer.flush()


def _write_line(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Entry point of the helper process."""
    try:
        sample(json.loads(sys.argv[1]))
    except pynvml.NVMLError as error:
        _write_line({"error": str(error)})
    except BrokenPipeError:  # the parent died: there is nobody left to tell
        os._exit(0)


if __name__ == "__main__":
    main()
