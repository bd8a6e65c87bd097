"""NVIDIA's management library: the GPUs of the machine, and the GPU that a process was assigned.

Only this module and the sampler know NVML (package nvidia-ml-py, module pynvml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, TypeVar

from dtcbench.unavailable import Unavailable

SIMULATED = "FAKE"
"""The names of simulated GPUs begin with this. Nothing measured on them may be ranked or published."""
PCI_ORDER = "PCI_BUS_ID"
"""The value of `CUDA_DEVICE_ORDER` with which CUDA counts the GPUs as NVML does."""
_HIDDEN = ("", "-1", "NoDevFiles")
"""First entries of `CUDA_VISIBLE_DEVICES` that hide every GPU."""

T = TypeVar("T")


@dataclass(frozen=True)
class Gpu:
    """One GPU board as NVML describes it."""

    index: int
    """NVML's number, which follows the PCI bus as far as is known."""
    name: str
    uuid: str
    """With the prefix `GPU-`."""
    memory_gib: float | Unavailable
    """Of its own; boards that share the host's memory have none to tell."""
    power_limit_w: float | Unavailable
    """The limit in force."""
    driver: str
    mig: bool
    """Whether the board is divided by MIG. Its readings then cover the whole board, not one instance."""
    counter_mj: float | Unavailable
    """The energy counter when the board was described."""
    power_w: float | Unavailable
    """The power when the board was described."""

    @property
    def simulated(self) -> bool:
        """Whether it is a simulation of a GPU."""
        return self.name.startswith(SIMULATED)

    def obstacle(self, *, is_whole: bool) -> str | None:
        """Why a cell would get no joules on it; None if it would. `is_whole`: whether they must be the cell's alone."""
        if self.mig and is_whole:
            return "MIG divides it, and its readings cover the whole board (`energy: {shared: label}`)"
        return str(self.measured_by) if isinstance(self.measured_by, Unavailable) else None

    @property
    def measured_by(self) -> Literal["counter", "power"] | Unavailable:
        """What its joules would be read from; Unavailable if neither can be read."""
        if isinstance(self.counter_mj, float):
            return "counter"
        if isinstance(self.power_w, float):
            return "power"
        return Unavailable(f"no energy counter ({self.counter_mj}), no power ({self.power_w})")

    def __str__(self) -> str:
        size = "memory unknown" if isinstance(self.memory_gib, Unavailable) else f"{self.memory_gib:.0f} GiB"
        return f"{self.name}, {size}, driver {self.driver}"


@dataclass(frozen=True)
class AssignedGpu:
    """The board that a process computes on."""

    board: Gpu
    division: str | None
    """Why the board's readings cover more than the process; None if the process was assigned the whole board."""


def torch_gpu(device: str) -> tuple[str, str, float] | Unavailable:
    """Name, UUID (`GPU-…`) and memory (GiB) of the GPU or MIG instance that torch calls `device`, such as `cuda`.

    NVML knows the GPU by the same UUID. Indices differ: torch and NVML count in their own orders.
    """
    import torch

    try:
        properties = torch.cuda.get_device_properties(device)
    except Exception as error:  # AssertionError, RuntimeError and more: CUDA can be missing in many ways
        reason = str(error).partition("\n")[0]
        return Unavailable(f"torch has no GPU {device}: {reason}")
    return properties.name, f"GPU-{properties.uuid}", properties.total_memory / 2**30


def has_context() -> bool:
    """Whether torch has given this process a CUDA context already."""
    import torch

    return bool(torch.cuda.is_initialized())


def gpus() -> list[Gpu | Unavailable]:
    """All GPUs of the machine in NVML's order, whether or not torch may use them. Never empty.

    A GPU that cannot be described is `Unavailable`. If NVML lists no GPU, the reason is the only item.
    """
    nvml = _library()
    if isinstance(nvml, Unavailable):
        return [nvml]
    try:
        count = int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        return [Unavailable(f"NVML cannot count the GPUs: {error}")]
    found: list[Gpu | Unavailable] = []
    for index in range(count):
        try:
            found.append(_describe(nvml, nvml.nvmlDeviceGetHandleByIndex(index)))
        except nvml.NVMLError as error:
            found.append(Unavailable(f"GPU {index}: {error}"))
    return found or [Unavailable("NVML shows no GPU")]


def gpu(uuid: str) -> Gpu | Unavailable:
    """The GPU with this UUID (`GPU-…`)."""
    return _ask(uuid, "describe the GPU", _describe)


def board_of_instance(name: str) -> Gpu | Unavailable:
    """The board that the MIG instance `name` (`MIG-…`) is a part of."""
    return _ask(
        name,
        "find the board of the MIG instance",
        lambda nvml, handle: _describe(nvml, nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)),
    )


def temperature_c(uuid: str) -> float | Unavailable:
    """Degrees Celsius of the GPU's die."""
    return _ask(
        uuid,
        "read the temperature",
        lambda nvml, handle: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
    )


def compute_processes(uuid: str) -> frozenset[int] | Unavailable:
    """Ids of the compute processes on the GPU, as the host numbers them."""
    return _ask(
        uuid,
        "list the compute processes",
        lambda nvml, handle: frozenset(int(p.pid) for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle)),
    )


def assigned_gpus(environment: Mapping[str, str], count: int) -> list[AssignedGpu] | Unavailable:
    """The first `count` GPUs that a process with this environment sees, in CUDA's order; or why one is not known."""
    found = [assigned_gpu(environment, place) for place in range(count)]
    unknown = next((gpu for gpu in found if isinstance(gpu, Unavailable)), None)
    return unknown or [gpu for gpu in found if isinstance(gpu, AssignedGpu)]


def assigned_gpu(environment: Mapping[str, str], place: int = 0) -> AssignedGpu | Unavailable:
    """The GPU that a process with this environment sees as CUDA's device `place`.

    It is found before CUDA starts, so that the GPU can be measured idle. `CUDA_VISIBLE_DEVICES`, set by Ray or by
    the user, lists indices, UUIDs or their beginnings, or names of MIG instances (CUDA C++ Programming Guide,
    environment variables).
    """
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    names = [str(place)] * (place + 1) if listed is None else [name.strip() for name in listed.split(",")]
    if names[0] in _HIDDEN:
        return Unavailable("CUDA_VISIBLE_DEVICES hides every GPU from the cell")
    if place >= len(names):
        return Unavailable(f"CUDA_VISIBLE_DEVICES shows {len(names)} GPUs to a cell that asks for more: {listed}")
    name = names[place]
    if name.startswith("MIG-"):
        board = _board_of(name)
        division = f"the cell ran on the MIG instance {name}, the readings cover its whole board"
    else:
        board = _gpu_by_uuid(name) if name.startswith("GPU-") else _gpu_by_index(name, environment)
        division = "MIG divides the GPU, the readings cover the whole board"
    if isinstance(board, Unavailable):
        return board
    return AssignedGpu(board, division if board.mig or name.startswith("MIG-") else None)


def visible_gpus(environment: Mapping[str, str]) -> list[Gpu]:
    """The boards that a process with this environment sees, as far as they are known, in CUDA's order."""
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    count = len(gpus()) if listed is None else listed.count(",") + 1
    found = [assigned_gpu(environment, place) for place in range(count)]
    return [gpu.board for gpu in found if isinstance(gpu, AssignedGpu)]


def is_simulated(environment: Mapping[str, str]) -> bool:
    """Whether a process with this environment is assigned a simulated GPU. Its cells compute on the CPU."""
    assigned = assigned_gpu(environment)
    return isinstance(assigned, AssignedGpu) and assigned.board.simulated


def _board_of(instance: str) -> Gpu | Unavailable:
    # Before driver R470 the name of an instance held that of its board: MIG-GPU-<uuid>/<instance>/<compute instance>.
    old = instance.removeprefix("MIG-")
    return gpu(old.partition("/")[0]) if old.startswith("GPU-") else board_of_instance(instance)


def _gpu_by_uuid(beginning: str) -> Gpu | Unavailable:
    listed = gpus()
    found = [board for board in listed if isinstance(board, Gpu) and board.uuid.startswith(beginning)]
    if len(found) != 1:
        return Unavailable(f"CUDA_VISIBLE_DEVICES names {beginning}, and {len(found)} GPUs begin so; {_shown(listed)}")
    return found[0]


def _gpu_by_index(name: str, environment: Mapping[str, str]) -> Gpu | Unavailable:
    listed = gpus()
    boards = [board for board in listed if isinstance(board, Gpu)]
    found = [board for board in boards if str(board.index) == name]
    if not found:
        return Unavailable(f"CUDA's GPU is {name!r}, which NVML does not show; {_shown(listed)}")
    # By default CUDA puts the fastest GPU first. NVML follows the PCI bus, though no document promises it. Among
    # equal GPUs both orders agree; after the training torch's UUID decides.
    alike = len({board.name for board in boards}) == 1
    if not alike and environment.get("CUDA_DEVICE_ORDER") != PCI_ORDER:
        return Unavailable(
            f"CUDA may count these different GPUs in another order than NVML; set CUDA_DEVICE_ORDER={PCI_ORDER}"
        )
    return found[0]


def _shown(listed: list[Gpu | Unavailable]) -> str:
    """The GPUs that NVML lists, for a message."""
    boards = ", ".join(f"{board.index}: {board.uuid}" for board in listed if isinstance(board, Gpu))
    problems = [str(board) for board in listed if isinstance(board, Unavailable)]
    return "; ".join([*([f"NVML shows {boards}"] if boards else []), *problems])


def _ask(uuid: str, what: str, question: Callable[[Any, Any], T]) -> T | Unavailable:
    """The answer to a question about one GPU; `what` completes the message "NVML cannot …"."""
    nvml = _library()
    if isinstance(nvml, Unavailable):
        return nvml
    try:
        return question(nvml, nvml.nvmlDeviceGetHandleByUUID(uuid))
    # An older driver lacks the call that lists processes: the binding's error for that is no NVMLError.
    except (nvml.NVMLError, getattr(nvml, "NVMLLibraryMismatchError", nvml.NVMLError)) as error:
        return Unavailable(f"NVML cannot {what} {uuid}: {error}")


def foreign_binding() -> str | None:
    """The unofficial package that provides the module pynvml here in place of nvidia-ml-py, such as `pynvml 11.5.3`.

    It lacks newer fields, or only forwards; which of the two is imported depends on the order of installation.
    """
    try:
        found = metadata.distribution("pynvml")
    except metadata.PackageNotFoundError:
        return None
    provides = any(file.parts[0] in ("pynvml", "pynvml.py") for file in found.files or ())
    return f"pynvml {found.version}" if provides else None


def _library() -> Any:
    """The module pynvml, initialised; Unavailable if it is missing or does not start."""
    try:
        import pynvml
    except ImportError:
        return Unavailable("the package nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Unavailable(f"NVML does not start: {error}")
    return pynvml


def _describe(nvml: Any, handle: Any) -> Gpu:
    # Boards refuse single answers (GB10 its memory, Jetson Thor its limit): a description is not a measurement.
    def read(question: Callable[[], float], unit: float = 1.0) -> float | Unavailable:
        try:
            return float(question()) / unit
        except nvml.NVMLError as error:
            return Unavailable(str(error))

    return Gpu(
        index=nvml.nvmlDeviceGetIndex(handle),
        name=nvml.nvmlDeviceGetName(handle),
        uuid=nvml.nvmlDeviceGetUUID(handle),
        memory_gib=read(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total, 2**30),
        power_limit_w=read(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle), 1000),
        driver=nvml.nvmlSystemGetDriverVersion(),
        mig=_in_mig_mode(nvml, handle),
        counter_mj=read(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)),
        power_w=read(lambda: _power_mw(nvml, handle), 1000),
    )


def _power_mw(nvml: Any, handle: Any) -> int:
    """The power by the older call, or, on a board that refuses it, by the field that the sampler prefers."""
    try:
        return int(nvml.nvmlDeviceGetPowerUsage(handle))
    except nvml.NVMLError:
        [field] = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_POWER_INSTANT])
        if field.nvmlReturn:
            raise
        return int(field.value.uiVal)


def _in_mig_mode(nvml: Any, handle: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):  # the board, or the driver, lacks MIG
        return False
    return bool(current)
