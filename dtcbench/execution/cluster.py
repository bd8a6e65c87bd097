"""Cells as Ray tasks, on this machine. Only this module knows Ray."""

from __future__ import annotations

import logging
import os
from typing import Any

from dtcbench.energy.device import PCI_ORDER
from dtcbench.errors import UserError
from dtcbench.execution.executor import Outcome
from dtcbench.execution.worker import Task, attempt
from dtcbench.records.record import Status

_LOOPBACK = {
    "RAY_AUTH_MODE": "disabled",  # sockets stay on loopback; a token would be written to the home folder
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a task without a GPU sees none
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "CUDA_DEVICE_ORDER": PCI_ORDER,  # Ray counts GPUs as NVML does, CUDA by itself does not
}


class ClusterError(UserError):
    """No node can run the suite's cells; says what was asked for and what there is."""


class RayExecutor:
    """One Ray task per cell, at most as many as the cluster can run at once.

    Starts a Ray of its own on loopback with this machine's cores (or `cores` of them).
    """

    def __init__(self, cpus: int, gpus: float, cores: int | None = None) -> None:
        for name, value in _LOOPBACK.items():
            os.environ.setdefault(name, value)
        import ray

        self._ray = ray
        available = cores or len(os.sched_getaffinity(0))
        # Asking for more threads than there are cores is slow, not wrong: one cell at a time then.
        ray.init(
            address="local",  # never a cluster that happens to be near
            num_cpus=max(available, cpus),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
        self.slots = self._slots(cpus, gpus)
        self._function = ray.remote(
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=0,  # trying again is the scheduler's business
            max_calls=1 if gpus else 0,  # a measured cell gets a process of its own
        )(attempt)
        self._bundle = {"CPU": cpus, "GPU": gpus}
        self._blocks: dict[str, Any] = {}
        self._tasks: dict[Any, Task] = {}

    def submit(self, task: Task) -> None:
        """Hand a task to Ray; all of one block to the same GPU."""
        function = self._function if task.block is None else self._in_block(task.block)
        self._tasks[function.remote(task)] = task

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Tasks that came back within the time."""
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=timeout_s)
        return [self._outcome(reference) for reference in ready]

    def kill(self, task: Task) -> None:
        """Kill the task's worker process and forget the task."""
        for reference in [r for r, t in self._tasks.items() if t == task]:
            del self._tasks[reference]
            self._ray.cancel(reference, force=True)

    def release(self, block: str) -> None:
        """Give the block's GPU back."""
        if (group := self._blocks.pop(block, None)) is not None:
            self._ray.util.remove_placement_group(group)

    def close(self) -> None:
        """Shut this Ray down."""
        self._ray.shutdown()

    def _in_block(self, block: str) -> Any:
        """The function on the block's own resources: a placement group keeps one physical GPU as long as it lives."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if block not in self._blocks:
            self._blocks[block] = self._ray.util.placement_group([self._bundle])
        return self._function.options(scheduling_strategy=PlacementGroupSchedulingStrategy(self._blocks[block]))

    def _slots(self, cpus: int, gpus: float) -> int:
        total = self._ray.cluster_resources()
        limits = [total.get("CPU", 0) // cpus, *([total.get("GPU", 0) // gpus] if gpus else [])]
        if min(limits) < 1:
            self.close()
            have = f"{total.get('CPU', 0):g} CPUs and {total.get('GPU', 0):g} GPUs"
            raise ClusterError(
                f"a cell asks for {cpus} CPUs and {gpus} GPUs, this machine has {have}; "
                "lower `resources` in the suite or run it where there are more"
            )
        return int(min(limits))

    def _outcome(self, reference: Any) -> Outcome:
        task = self._tasks.pop(reference)
        errors = self._ray.exceptions
        try:
            return Outcome(task, self._ray.get(reference))
        except errors.OutOfMemoryError as error:
            return Outcome(task, None, Status.OOM, f"the node's memory ran out: {_first_line(error)}")
        except errors.RayTaskError as error:
            return Outcome(task, None, Status.ERROR, f"the worker failed outside the cell: {_first_line(error)}")
        except errors.RayError as error:
            return Outcome(task, None, Status.INFRA, f"the worker was lost: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
