"""NVIDIA's management library: the GPUs of the machine, and what they can tell of their energy.

Beside the sampler, the only module that knows NVML (package nvidia-ml-py, module pynvml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

SIMULATED = "FAKE"
"""The names of simulated GPUs begin so: nothing measured on them may be ranked or published."""


T = TypeVar("T")


class NvmlError(RuntimeError):
    """NVML cannot answer; the message is the reason that goes into a record."""


@dataclass(frozen=True)
class Gpu:
    """One GPU board as NVML shows it."""

    index: int
    """As NVML counts: by PCI bus, as far as is known."""
    name: str
    uuid: str
    """With the prefix `GPU-`."""
    memory_gib: float
    power_limit_w: float | None
    """The limit in force; None where the board does not tell."""
    driver: str
    mig: bool
    """Whether MIG divides it: its figures cover the whole board, not an instance."""
    counter_problem: str | None
    """Why the energy counter cannot be read; None where it can."""
    power_problem: str | None
    """Why the power cannot be read; None where it can."""

    @property
    def simulated(self) -> bool:
        """Whether it is a simulation of a GPU."""
        return self.name.startswith(SIMULATED)


@dataclass(frozen=True)
class NvmlState:
    """The GPUs of the machine, and what kept NVML from telling of (all of) them."""

    gpus: tuple[Gpu, ...]
    """In NVML's order; one that cannot be described is missing."""
    reason: str | None


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


def gpu(uuid: str) -> Gpu:
    """The GPU `uuid` (`GPU-…`); NvmlError where NVML cannot tell."""
    return _asked(uuid, "describe the GPU", _describe)


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


def board_of_instance(name: str) -> Gpu:
    """The board that the MIG instance `name` (`MIG-…`) is a part of; NvmlError where NVML cannot tell."""
    return _asked(
        name,
        "find the board of the MIG instance",
        lambda nvml, handle: _describe(nvml, nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)),
    )


def temperature_c(uuid: str) -> float:
    """Degrees Celsius of the GPU's die; NvmlError where it cannot be read."""
    return _asked(
        uuid,
        "read the temperature",
        lambda nvml, handle: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
    )


def compute_processes(uuid: str) -> frozenset[int]:
    """Ids of the compute processes on the GPU, as the host numbers them; NvmlError where they are not told."""
    return _asked(
        uuid,
        "list the compute processes",
        lambda nvml, handle: frozenset(int(p.pid) for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle)),
    )


def _asked(uuid: str, what: str, ask: Callable[[Any, Any], T]) -> T:
    nvml = _library()
    try:
        return ask(nvml, nvml.nvmlDeviceGetHandleByUUID(uuid))
    except nvml.NVMLError as error:
        raise NvmlError(f"NVML cannot {what} {uuid}: {error}") from error


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


def _describe(nvml: Any, handle: Any) -> Gpu:
    return Gpu(
        index=nvml.nvmlDeviceGetIndex(handle),
        name=nvml.nvmlDeviceGetName(handle),
        uuid=nvml.nvmlDeviceGetUUID(handle),
        memory_gib=nvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30,
        power_limit_w=_power_limit_w(nvml, handle),
        driver=nvml.nvmlSystemGetDriverVersion(),
        mig=_in_mig_mode(nvml, handle),
        counter_problem=_problem(nvml, lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)),
        power_problem=_problem(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(handle)),
    )


def _power_limit_w(nvml: Any, handle: Any) -> float | None:
    try:
        return float(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)) / 1000
    except nvml.NVMLError_NotSupported:
        return None


def _in_mig_mode(nvml: Any, handle: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):  # the board, or the driver, has no MIG
        return False
    return bool(current)


def _problem(nvml: Any, ask: Callable[[], object]) -> str | None:
    """Why a question is not answered; None where it is."""
    try:
        ask()
    except nvml.NVMLError as error:
        return str(error)
    return None


PCI_ORDER = "PCI_BUS_ID"
_NONE = ("", "-1", "NoDevFiles")


@dataclass(frozen=True)
class AssignedGpu:
    """The board that a process computes on."""

    board: Gpu
    division: str | None
    """Why its figures cover more than the process was given; None where the whole board was."""


def assigned_gpu(environment: Mapping[str, str]) -> AssignedGpu:
    """The GPU that CUDA's device 0 is for a process with this environment; NvmlError says why it is not known.

    `CUDA_VISIBLE_DEVICES`, set by Ray or from outside, holds indices, UUIDs or their beginnings, or names of MIG
    instances (CUDA C++ Programming Guide, environment variables).
    """
    name = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if name in _NONE:
        raise NvmlError("CUDA_VISIBLE_DEVICES hides every GPU from the cell")
    if name.startswith("MIG-"):
        return AssignedGpu(
            _board_of(name), f"the cell ran on the MIG instance {name}; the numbers cover its whole board"
        )
    state = gpus()
    board = _of_uuid(name, state) if name.startswith("GPU-") else _of_index(name, state, environment)
    return AssignedGpu(board, "MIG divides the GPU, the figures cover the whole board" if board.mig else None)


def _board_of(instance: str) -> Gpu:
    # Before driver R470 an instance was named by its board: MIG-GPU-<uuid>/<instance>/<compute instance>.
    old = instance.removeprefix("MIG-")
    return gpu(old.partition("/")[0]) if old.startswith("GPU-") else board_of_instance(instance)


def _of_uuid(name: str, state: NvmlState) -> Gpu:
    found = [board for board in state.gpus if board.uuid.startswith(name)]
    if len(found) != 1:
        raise NvmlError(f"CUDA_VISIBLE_DEVICES names {name}, and {len(found)} GPUs begin so; {_shown(state)}")
    return found[0]


def _of_index(name: str, state: NvmlState, environment: Mapping[str, str]) -> Gpu:
    found = [board for board in state.gpus if str(board.index) == name]
    if not found:
        raise NvmlError(f"CUDA's first GPU is {name!r}, which NVML does not show; {_shown(state)}")
    # CUDA puts the fastest GPU first unless told otherwise; NVML goes by the PCI bus, which is not promised. Among
    # equal GPUs both agree, and in the end torch's UUID decides.
    alike = len({board.name for board in state.gpus}) == 1
    if not alike and environment.get("CUDA_DEVICE_ORDER") != PCI_ORDER:
        raise NvmlError(
            f"CUDA may count these different GPUs in another order than NVML; set CUDA_DEVICE_ORDER={PCI_ORDER}"
        )
    return found[0]


def _shown(state: NvmlState) -> str:
    """What NVML shows, for a message."""
    boards = ", ".join(f"{board.index}: {board.uuid}" for board in state.gpus)
    return "; ".join(filter(None, [f"NVML shows {boards}" if boards else "", state.reason]))
