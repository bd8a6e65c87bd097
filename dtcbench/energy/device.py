"""Which physical GPU a cell was given: found before CUDA starts, so that the GPU can be measured idle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dtcbench.energy import nvml
from dtcbench.energy.nvml import Gpu, NvmlError, NvmlState

PCI_ORDER = "PCI_BUS_ID"
_NONE = ("", "-1", "NoDevFiles")


@dataclass(frozen=True)
class GivenGpu:
    """The board that a process computes on."""

    board: Gpu
    division: str | None
    """Why its figures cover more than the process was given; None where the whole board was."""


def given_gpu(environment: Mapping[str, str]) -> GivenGpu:
    """The GPU that CUDA's device 0 is for a process with this environment; NvmlError says why it is not known.

    `CUDA_VISIBLE_DEVICES`, set by Ray or from outside, holds indices, UUIDs or their beginnings, or names of MIG
    instances (CUDA C++ Programming Guide, environment variables).
    """
    name = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if name in _NONE:
        raise NvmlError("CUDA_VISIBLE_DEVICES hides every GPU from the cell")
    if name.startswith("MIG-"):
        return GivenGpu(_board_of(name), f"the cell ran on the MIG instance {name}, the figures cover its whole board")
    state = nvml.gpus()
    board = _of_uuid(name, state) if name.startswith("GPU-") else _of_index(name, state, environment)
    return GivenGpu(board, "MIG divides the GPU, the figures cover the whole board" if board.mig else None)


def _board_of(instance: str) -> Gpu:
    # Before driver R470 an instance was named by its board: MIG-GPU-<uuid>/<instance>/<compute instance>.
    old = instance.removeprefix("MIG-")
    return nvml.gpu(old.partition("/")[0]) if old.startswith("GPU-") else nvml.board_of_instance(instance)


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
