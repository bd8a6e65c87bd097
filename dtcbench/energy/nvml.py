"""NVIDIA's management library: the GPUs of the machine and their energy counters.

The only module that knows NVML (package nvidia-ml-py, module pynvml). The library stays
initialised as long as the process lives, because meters keep handles into it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dtcbench.energy.meter import NoMeter
from dtcbench.records.record import Energy

REFRESH_S = 0.1
"""Longest time between two refreshes of the counter: a reading may be this old."""
SHORT_WINDOW_S = 60.0
"""A shorter window is flagged: the counter's refresh weighs too much in it."""
COARSE_SHARE = 0.05
"""A figure whose quantisation is a larger share of it is flagged."""
MIG_REASON = "the GPU is divided by MIG: the energy counter covers the whole board, not the instance the cell ran on"


class NvmlError(RuntimeError):
    """NVML cannot answer; the message is the reason that goes into a record."""


@dataclass(frozen=True)
class Gpu:
    """One GPU board as NVML shows it."""

    name: str
    uuid: str
    """With the prefix `GPU-`."""
    memory_gib: float
    power_limit_w: float | None
    """The limit in force; None where the board does not tell."""
    driver: str
    counter_problem: str | None
    """Why the energy counter cannot be used; None where it can."""


@dataclass(frozen=True)
class NvmlState:
    """The GPUs of the machine, and what kept NVML from telling of (all of) them."""

    gpus: tuple[Gpu, ...]
    reason: str | None


class NvmlCounterMeter:
    """Joules of one whole GPU board from its total-energy counter. See `open_counter`.

    Any failure between the first start and the last stop makes the whole reading null: the
    joules of some windows are not the joules of the cell.

    Parameters
    ----------
    read_mj : the counter in mJ; raises NvmlError where it cannot be read
    """

    def __init__(self, read_mj: Callable[[], int]) -> None:
        self._read_mj = read_mj
        self._opened_mj: int | None = None
        self._energy_mj = 0
        self._windows = 0
        self._failure: str | None = None

    def start(self) -> None:
        """Open a window at the counter's present value."""
        self._opened_mj = self._counter()

    def stop(self) -> None:
        """Close the window; without an open one, do nothing."""
        opened, self._opened_mj = self._opened_mj, None
        if opened is None:
            return
        closed = self._counter()
        if closed is None:
            return
        if closed < opened:
            self._failure = f"the GPU's energy counter ran backwards, from {opened} to {closed} mJ"
            return
        self._energy_mj += closed - opened
        self._windows += 1

    def reading(self, window_s: float) -> Energy:
        """Joules of all closed windows, which lasted `window_s` seconds together.

        `quantisation_j`: both edges of a window may be up to `REFRESH_S` old, so that each
        window is uncertain by `REFRESH_S` times the mean power, and n windows by n times that.
        """
        failure = self._failure or self._void(window_s)
        if failure:
            return NoMeter(failure).reading(window_s)
        energy_j = self._energy_mj / 1000
        quantisation_j = REFRESH_S * energy_j / window_s * self._windows
        flags = {"short": window_s < SHORT_WINDOW_S, "coarse": quantisation_j > COARSE_SHARE * energy_j}
        return Energy(
            energy_j=energy_j,
            method="counter",
            scope="gpu",
            window_s=window_s,
            cross_check_pct=None,
            quantisation_j=quantisation_j,
            flags=[flag for flag, applies in flags.items() if applies],
            reasons={"cross_check_pct": "the counter is the only method that was read"},
        )

    def _counter(self) -> int | None:
        if self._failure is not None:
            return None
        try:
            return self._read_mj()
        except NvmlError as error:
            self._failure = str(error)
            return None

    def _void(self, window_s: float) -> str | None:
        """Why the sum is no measurement, though every read went well."""
        if self._opened_mj is not None:
            return "the meter was read while it ran"
        if window_s <= 0:
            return "nothing ran inside the energy boundary"
        if self._energy_mj == 0:
            # A board never draws nothing; 0 J would be a missing figure written as a number.
            return f"the GPU's energy counter did not move in {window_s:.3g} s"
        return None


@dataclass(frozen=True)
class TorchGpu:
    """One GPU, or MIG instance, as torch shows it."""

    name: str
    uuid: str
    """With the prefix `GPU-`: the name that NVML knows it by too. Indices would not do, as
    torch and NVML count differently."""
    memory_gib: float


def torch_gpu(device: str) -> TorchGpu:
    """The GPU that torch calls `device`, such as `cuda`; NvmlError where it has none."""
    import torch

    try:
        properties = torch.cuda.get_device_properties(device)
    except Exception as error:  # AssertionError, RuntimeError and more, as CUDA is missing in many ways
        reason = str(error).partition("\n")[0]
        raise NvmlError(f"torch has no GPU {device}: {reason}") from error
    return TorchGpu(properties.name, f"GPU-{properties.uuid}", properties.total_memory / 2**30)


def open_counter(uuid: str) -> NvmlCounterMeter:
    """Meter on the energy counter of the GPU `uuid` (`GPU-…`).

    NvmlError says why there is none: library, driver, permission, unknown GPU, MIG, no counter.
    """
    nvml = _library()
    handle = _handle(nvml, uuid)
    problem = _counter_problem(nvml, handle)
    if problem:
        raise NvmlError(problem)
    return NvmlCounterMeter(lambda: _counter_mj(nvml, handle))


def gpu(uuid: str) -> Gpu:
    """The GPU `uuid` (`GPU-…`); NvmlError where NVML cannot tell."""
    nvml = _library()
    handle = _handle(nvml, uuid)
    try:
        return _describe(nvml, handle)
    except nvml.NVMLError as error:
        raise NvmlError(f"NVML cannot describe the GPU: {error}") from error


def gpus() -> NvmlState:
    """All GPUs of the machine, whether or not torch may use them. Never raises."""
    try:
        nvml = _library()
        count = _count(nvml)
    except NvmlError as error:
        return NvmlState((), str(error))
    found, problems = [], []
    for index in range(count):
        try:
            found.append(_describe(nvml, nvml.nvmlDeviceGetHandleByIndex(index)))
        except nvml.NVMLError as error:
            problems.append(f"GPU {index}: {error}")
    return NvmlState(tuple(found), "; ".join(problems) or (None if found else "NVML shows no GPU"))


def _library() -> Any:
    """The module pynvml, initialised; NvmlError where it is missing or does not start."""
    try:
        import pynvml
    except ImportError as error:
        raise NvmlError("the package nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NvmlError(f"NVML does not start: {error}") from error
    return pynvml


def _count(nvml: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        raise NvmlError(f"NVML cannot count the GPUs: {error}") from error


def _handle(nvml: Any, uuid: str) -> Any:
    try:
        return nvml.nvmlDeviceGetHandleByUUID(uuid)
    except nvml.NVMLError as error:
        if _is_mig_instance(nvml, uuid):
            raise NvmlError(MIG_REASON) from error
        raise NvmlError(f"NVML cannot find the GPU by the UUID that torch reports: {error}") from error


def _is_mig_instance(nvml: Any, uuid: str) -> bool:
    """Whether `uuid`, prefixed `GPU-` as torch does not tell the kinds apart, is a MIG instance's."""
    try:
        nvml.nvmlDeviceGetHandleByUUID("MIG-" + uuid.removeprefix("GPU-"))
    except nvml.NVMLError:
        return False
    return True


def _describe(nvml: Any, handle: Any) -> Gpu:
    return Gpu(
        name=nvml.nvmlDeviceGetName(handle),
        uuid=nvml.nvmlDeviceGetUUID(handle),
        memory_gib=nvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30,
        power_limit_w=_power_limit_w(nvml, handle),
        driver=nvml.nvmlSystemGetDriverVersion(),
        counter_problem=_counter_problem(nvml, handle),
    )


def _power_limit_w(nvml: Any, handle: Any) -> float | None:
    try:
        return float(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)) / 1000
    except nvml.NVMLError_NotSupported:
        return None


def _counter_problem(nvml: Any, handle: Any) -> str | None:
    if _in_mig_mode(nvml, handle):
        return MIG_REASON
    try:
        _counter_mj(nvml, handle)
    except NvmlError as error:
        return str(error)
    return None


def _in_mig_mode(nvml: Any, handle: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:  # boards without MIG do not support the question
        return False
    return bool(current)


def _counter_mj(nvml: Any, handle: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except nvml.NVMLError as error:
        raise NvmlError(f"the GPU's energy counter cannot be read: {error}") from error
