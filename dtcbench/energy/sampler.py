"""The sampler: a separate process that polls a cell's GPUs and the processor packages until its parent ends it.

    python -P sampler.py '{"uuids": ["GPU-…"], "zones": ["/sys/…/energy_uj"], "interval_s": 0.025}'

Several GPUs have one column of each quantity together (`_TOGETHER`), and each its own of the energy and the power, such
as `counter_mj_0`. A reading that one of them refuses is a failed reading of all.

It imports only pynvml and the standard library, so that it starts at once, and it runs outside the trainer's
interpreter, so that no work there delays a sample. After its first sample it writes one JSON line, `{"begun": true}`
or `{"error": "why not"}`. It ends at a line or the end of file on its standard input; the end of file also comes
when the parent dies. Then it writes one JSON line that describes its columns, and the columns themselves: float64
in native byte order, NaN where a reading failed. Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import operator
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
_OLD_DRIVER: type[Exception] = getattr(pynvml, "NVMLLibraryMismatchError", pynvml.NVMLError_FunctionNotFound)
"""What newer bindings raise in place of "function not found", and it is no NVMLError."""
_ABSENT = (
    pynvml.NVMLError_NotSupported,
    pynvml.NVMLError_FunctionNotFound,
    pynvml.NVMLError_InvalidArgument,
    _OLD_DRIVER,
)
"""Errors of a quantity that will never be read: the board lacks it, or the driver lacks the function or the field."""
_TOGETHER: dict[str, Callable[[list[float]], float]] = {
    "temperature_c": max,
    "sm_clock_mhz": min,
    "memory_clock_mhz": min,
    "throttle_reasons": lambda reasons: float(functools.reduce(operator.or_, map(int, reasons))),
    "utilisation_pct": lambda shares: sum(shares) / len(shares),
}
"""What several GPUs have together; of every other quantity it is the sum."""
_OF_EACH = ("counter_mj", "average_w", "instant_w", "usage_w")
_FIELDS = {
    "average_w": pynvml.NVML_FI_DEV_POWER_AVERAGE,
    "instant_w": pynvml.NVML_FI_DEV_POWER_INSTANT,
}
_MODULE = 1
"""NVML_POWER_SCOPE_MODULE, which older bindings do not name. A field that is asked for without a scope is the GPU's."""
_MODULES = ("GH200", "GB200", "GB300")
"""In the names of the GPUs that share a module with a processor."""


class Poller:
    """Polls GPUs and the processor packages into columns that grow together."""

    def __init__(self, uuids: list[str], zones: list[str]) -> None:
        self.values: dict[str, array[float]] = {"t_s": array("d")}
        """By column: its values so far."""
        self.errors: dict[str, list[Any]] = {}
        """By column: how many readings failed, and the first error message."""
        self.processes: dict[int, list[float]] = {}
        """By id of a compute process: when it was first and last seen."""
        self.lost_s: float | None = None
        """When a GPU was lost; none is asked again."""
        self._zones = {f"rapl{number}_uj": path for number, path in enumerate(zones)}
        self._unsupported: set[str] = set()
        """Columns that a GPU does not support. They are asked for once."""
        self._handles = []
        self.counter_scope = self.power_scope = "gpu"
        """What energy counter and power cover: the GPU, or the module that it is a part of."""
        if uuids:
            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
            if any(map(_is_on_a_module, self._handles)):
                self.counter_scope = "module"
                self.power_scope = "module" if all(map(_has_module_power, self._handles)) else "gpu"

    def poll(self, slow: bool = False) -> None:
        """Add a row; with `slow` also the quantities that are read every `SLOW_S`."""
        for name, column in self.values.items():
            column.append(time.monotonic() if name == "t_s" else math.nan)
        if self._handles:
            self._poll_energy()
            if slow:
                self._poll_slow()
        for name, path in self._zones.items():
            self._read_zone(name, path)

    def _poll_energy(self) -> None:
        """The energy counter and the power."""
        self._read("counter_mj", pynvml.nvmlDeviceGetTotalEnergyConsumption, never_zero=True)
        self._read_fields()
        if self._unsupported.issuperset(_FIELDS):
            self._read("usage_w", lambda h: pynvml.nvmlDeviceGetPowerUsage(h) / 1000, never_zero=True)

    def _poll_slow(self) -> None:
        """The quantities that the power depends on."""
        gpu = pynvml.NVML_TEMPERATURE_GPU
        self._read("temperature_c", lambda h: pynvml.nvmlDeviceGetTemperature(h, gpu))
        self._read("sm_clock_mhz", lambda h: pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_SM))
        self._read("memory_clock_mhz", lambda h: pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_MEM))
        self._read("power_limit_w", lambda h: pynvml.nvmlDeviceGetEnforcedPowerLimit(h) / 1000)
        self._read("throttle_reasons", pynvml.nvmlDeviceGetCurrentClocksThrottleReasons)
        self._read("utilisation_pct", lambda h: pynvml.nvmlDeviceGetUtilizationRates(h).gpu)
        self._read("processes", self._count_processes)
        self._read("unlisted_mib", _unlisted_mib)

    def _read(self, name: str, ask: Callable[[Any], float], never_zero: bool = False) -> None:
        if self.lost_s is not None or name in self._unsupported:
            return
        try:
            self._put(name, [float(ask(handle)) for handle in self._handles], never_zero)
        except (pynvml.NVMLError, _OLD_DRIVER) as error:
            self._gpu_failed(name, error)

    def _read_fields(self) -> None:
        """Average and instantaneous power, in one call for each GPU."""
        names = [name for name in _FIELDS if name not in self._unsupported]
        if self.lost_s is not None or not names:
            return
        fields = [_FIELDS[name] if self.power_scope == "gpu" else (_FIELDS[name], _MODULE) for name in names]
        try:
            answers = [pynvml.nvmlDeviceGetFieldValues(handle, fields) for handle in self._handles]
        except pynvml.NVMLError as error:
            for name in names:
                self._gpu_failed(name, error)
            return
        for place, name in enumerate(names):
            of_gpus = [answer[place] for answer in answers]
            refused = [answer.nvmlReturn for answer in of_gpus if answer.nvmlReturn != pynvml.NVML_SUCCESS]
            if refused:
                self._gpu_failed(name, pynvml.NVMLError(refused[0]))
            else:
                watts = [float(getattr(answer.value, _VALUE[answer.valueType])) / 1000 for answer in of_gpus]
                self._put(name, watts, never_zero=True)

    def _read_zone(self, name: str, path: str) -> None:
        """One processor package's counter, in microjoules."""
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib takes time to import
                self._put(name, [float(file.read())])
        except (OSError, ValueError) as error:
            self._failed(name, getattr(error, "strerror", None) or str(error))

    def _count_processes(self, h: Any) -> int:
        now = time.monotonic()
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(h)
        for process in running:
            self.processes.setdefault(int(process.pid), [now, now])[1] = now
        return len(running)

    def _put(self, name: str, values: list[float], never_zero: bool = False) -> None:
        """A reading of the present row: the value of each GPU."""
        if never_zero and 0 in values:
            self._failed(name, "read as 0, which no board draws")
            return
        self._set(name, _TOGETHER.get(name, sum)(values))
        if len(values) > 1 and name in _OF_EACH:
            for number, value in enumerate(values):
                self._set(f"{name}_{number}", value)

    def _set(self, name: str, value: float) -> None:
        """A value of the present row."""
        if name not in self.values:
            self.values[name] = array("d", [math.nan]) * len(self.values["t_s"])
        self.values[name][-1] = value

    def _failed(self, name: str, why: str) -> None:
        """A failed reading of the present row."""
        self._set(name, math.nan)
        self.errors.setdefault(name, [0, why])[0] += 1

    def _gpu_failed(self, name: str, error: Exception) -> None:
        self._failed(name, str(error))
        if isinstance(error, _ABSENT):
            self._unsupported.add(name)
        if isinstance(error, pynvml.NVMLError_GpuIsLost):
            self.lost_s = time.monotonic()


def _is_on_a_module(handle: Any) -> bool:
    """Whether the GPU shares a module with a processor, to which it has a chip-to-chip link. Its energy counter then
    covers the module."""
    try:
        if any(module in pynvml.nvmlDeviceGetName(handle) for module in _MODULES):
            return True
        return bool(pynvml.nvmlDeviceGetC2cModeInfoV(handle).isC2cEnabled)
    except (pynvml.NVMLError, _OLD_DRIVER, AttributeError):  # neither older drivers nor older bindings know the link
        return False


def _has_module_power(handle: Any) -> bool:
    """Whether the GPU tells the power of its module."""
    try:
        asked = [(field, _MODULE) for field in _FIELDS.values()]
        return any(
            answer.nvmlReturn == pynvml.NVML_SUCCESS for answer in pynvml.nvmlDeviceGetFieldValues(handle, asked)
        )
    except pynvml.NVMLError:
        return False


def _unlisted_mib(h: Any) -> float:
    """Memory in use less that of the processes in the driver's lists; NaN if it does not tell theirs."""
    used = pynvml.nvmlDeviceGetMemoryInfo(h, pynvml.nvmlMemory_v2).used
    listed = list(pynvml.nvmlDeviceGetComputeRunningProcesses(h))
    with contextlib.suppress(pynvml.NVMLError, _OLD_DRIVER):  # a board without a display may refuse
        listed += pynvml.nvmlDeviceGetGraphicsRunningProcesses(h)
    of_each = {process.pid: process.usedGpuMemory for process in listed}  # a process may be in both lists
    return math.nan if None in of_each.values() else (used - sum(of_each.values())) / 2**20


def sample(order: dict[str, Any]) -> None:
    """Poll until standard input ends, then write the samples."""
    poller = Poller(order["uuids"], order["zones"])
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
            "counter_scope": poller.counter_scope,
            "power_scope": poller.power_scope,
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
