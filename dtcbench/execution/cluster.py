"""Cells as Ray tasks, on this machine or on a cluster. Only this module knows Ray."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from dtcbench.cores import usable
from dtcbench.energy.nvml import PCI_ORDER
from dtcbench.errors import UserError
from dtcbench.execution.board import Board, Sign
from dtcbench.execution.executor import Outcome
from dtcbench.execution.folders import candidates, short_folder
from dtcbench.execution.interrupts import kept_from_children
from dtcbench.execution.nodes import MUST_AGREE, Node, describe, disagreements
from dtcbench.execution.watchdog import take_stack, time_limit
from dtcbench.execution.worker import Report, Task, attempt
from dtcbench.heartbeat import heartbeat
from dtcbench.plan.request import Request, shown
from dtcbench.record import Status
from dtcbench.text import error_line

BEAT_S = 2.0
"""Between two signs of life of an attempt."""
SILENCE_S = 120.0
"""After so long without a sign of life an attempt is given up: its node is frozen or cut off, or it hangs."""
GRACE_S = 5.0
_LOOK_S = 1.0
"""Between two looks at the board."""
_SURVEY_S = 120.0
"""How long the nodes may take to tell what they offer: each starts a process and imports torch."""
_ANSWER_S = 60.0
"""How long the head may take to answer before the cluster counts as lost: a busy one may have to start the board."""
_KNOCK_S = 10.0
"""How long an address may take to accept a connection."""
_STACK_S = 10.0
"""How long a node may take to show the stack of an attempt."""
_MAX_FOLDER = 107 - len("/ray/session_2026-11-26_12-00-00_000000_4194304/sockets/plasma_store")
"""Bytes in the path of Ray's folder: with this at its end it is a socket's path, which may have 107."""
_SILENT: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
"""What keeps Ray's messages out of the driver's."""
_EVERYWHERE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a task without a GPU sees none
    "CUDA_DEVICE_ORDER": PCI_ORDER,  # Ray counts GPUs as NVML does, CUDA by itself does not
}
LOOPBACK = {
    "RAY_AUTH_MODE": "disabled",  # sockets stay on loopback; a token would be written to the home folder
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


class ClusterError(UserError):
    """No node can run the suite's cells, or the cluster cannot be reached; says what there is."""


@dataclass
class _Flight:
    """A task that was handed to Ray."""

    task: Task
    id: str
    """Of this very attempt, by which the board knows it: no other, however late, bears it."""
    begun: bool = False


class RayExecutor:
    """One Ray task per cell, at most as many as the cluster can run at once.

    Without an address it starts a Ray of its own on loopback with `cores`, else all cores this process may use.

    Parameters
    ----------
    slots : cells handed to Ray at the same time; what the nodes there can run unless given. More than that is
        for a cluster that grows.
    work : what is done with a task on its node
    """

    def __init__(
        self,
        request: Request,
        cores: int | None = None,
        address: str | None = None,
        slots: int | None = None,
        silence_s: float = SILENCE_S,
        work: Callable[[Task], Report] = attempt,
    ) -> None:
        self._request = request
        self._silence_s = silence_s
        self._blocks: dict[str, Any] = {}
        self._flights: dict[Any, _Flight] = {}
        self._seen: dict[str, Sign] = {}
        with ExitStack() as ends:
            self._ray = ends.enter_context(_joined(address) if address else _own(request, cores))
            if address is not None:
                _refuse_a_motley(_nodes(self._ray, address))
            self.slots = slots or self._room()
            self._function = self._ray.remote(
                num_cpus=request.cpus,
                num_gpus=request.gpus,
                accelerator_type=request.accelerator,
                name="cell",
                max_retries=0,  # trying again is the scheduler's business
                max_calls=1 if request.gpus else 0,  # a measured cell gets a process of its own
            )(_watched(work))
            # On the head, which outlives every other node; a local Ray is its own head.
            head = {"node:__internal_head__": 0.001}
            # Started and asked again whenever it dies: those that live beat again.
            board = self._ray.remote(num_cpus=0, resources=head, max_restarts=-1, max_task_retries=-1)(Board)
            self._board = board.remote()
            self._signs(_SURVEY_S)  # on a busy head its process takes a while to start: that is no silence
            self._looked = time.monotonic()
            self._ends = ends.pop_all()

    def submit(self, task: Task) -> None:
        """Hand a task to Ray; all of one block to the same GPU."""
        flight = _Flight(task, f"{task.cell.key[:12]}-{task.attempt}-{uuid.uuid4().hex[:12]}")
        function = self._function if task.block is None else self._in_block(task.block)
        self._flights[function.remote(task, flight.id, self._board)] = flight

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Tasks that came back within the time, and those that will not come back any more."""
        ready, _ = self._ray.wait(list(self._flights), num_returns=1, timeout=timeout_s)
        return [*map(self._outcome, ready), *self._silent()]

    @property
    def grace_s(self) -> float:
        """The worker ends an overdue cell by itself; this is for one that cannot."""
        return GRACE_S

    def begun(self) -> list[Task]:
        """Tasks that have been heard of for the first time since the last call."""
        signs = self._glance()
        news = [flight for flight in self._flights.values() if not flight.begun and flight.id in signs]
        for flight in news:
            flight.begun = True
        return [flight.task for flight in news]

    def kill(self, task: Task) -> None:
        """Kill the task's worker process and forget the task: whatever still arrives of it is nobody's."""
        for reference in [r for r, flight in self._flights.items() if flight.task == task]:
            self._forget(reference)
            self._ray.cancel(reference, force=True)

    def release(self, block: str) -> None:
        """Give the block's GPU back."""
        if (group := self._blocks.pop(block, None)) is not None:
            self._ray.util.remove_placement_group(group)

    def close(self) -> None:
        """Shut this Ray down, or leave the cluster."""
        for block in list(self._blocks):
            self.release(block)
        self._ends.close()

    def _in_block(self, block: str) -> Any:
        """The function on the block's own resources: a placement group keeps one physical GPU as long as it lives."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if block not in self._blocks:
            self._blocks[block] = self._ray.util.placement_group([self._request.bundle])
        return self._function.options(scheduling_strategy=PlacementGroupSchedulingStrategy(self._blocks[block]))

    def _room(self) -> int:
        """How many cells the nodes that are there can run at once; ClusterError where none can run any."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = sum(map(self._request.cells_on, nodes))
        if room < 1:
            raise ClusterError(
                f"a cell asks for {self._request}, and no node has them: there are {shown(nodes)}; lower `resources` "
                "in the suite, run it where there is more, or, on a cluster that grows, say --workers N"
            )
        return room

    def _glance(self) -> dict[str, Sign]:
        """What the board knew at the last look, a moment ago: it is not asked for every cell."""
        if time.monotonic() - self._looked > _LOOK_S:
            self._seen, self._looked = self._signs(), time.monotonic()
        return self._seen

    def _signs(self, within_s: float = _ANSWER_S) -> dict[str, Sign]:
        """What the board knows; ClusterError where nobody answers any more."""
        try:
            signs: dict[str, Sign] = self._ray.get(self._board.signs.remote(), timeout=within_s)
        except self._ray.exceptions.RayError as error:
            raise ClusterError(
                f"the cluster's head does not answer ({error_line(error)}); mend it: the same command resumes"
            ) from error
        return signs

    def _silent(self) -> list[Outcome]:
        """Attempts that gave signs of life once, and none for too long, and that no time limit will end."""
        signs, lost = self._glance(), []
        for reference, flight in list(self._flights.items()):
            sign = signs.get(flight.id)
            if sign is None or sign.silent_s <= self._silence_s:
                continue
            if not _is_there(self._ray, sign.node):
                end = Status.INFRA, f"no sign of life for {sign.silent_s:.0f} s: its node is frozen, or cut off"
            elif flight.task.timeout_s is None:
                end = Status.TIMEOUT, f"no sign of life for {sign.silent_s:.0f} s, but of its node: it hangs"
            else:  # it holds Python's lock, perhaps for a reason: it has its time
                continue
            self._forget(reference)
            self._ray.cancel(reference, force=True)
            lost.append(Outcome(flight.task, None, *end))
        return lost

    def _outcome(self, reference: Any) -> Outcome:
        try:
            return self._landed(reference, self._flights[reference])
        finally:
            self._forget(reference)

    def _landed(self, reference: Any, flight: _Flight) -> Outcome:
        task, errors = flight.task, self._ray.exceptions
        try:
            return Outcome(task, self._ray.get(reference))
        except errors.OutOfMemoryError as error:
            return Outcome(task, None, Status.OOM, f"the node's memory ran out: {error_line(error)}")
        except errors.RayTaskError as error:
            return Outcome(task, None, Status.ERROR, f"the worker failed outside the cell: {error_line(error)}")
        except errors.WorkerCrashedError as error:
            if stack := self._stack(flight):
                reason = f"took longer than the suite's timeout of {task.timeout_s:g} s; raise it or lower the steps"
                return Outcome(task, None, Status.TIMEOUT, reason, stack)
            return Outcome(task, None, Status.INFRA, f"the worker was lost: {error_line(error)}")
        except errors.RayError as error:
            return Outcome(task, None, Status.INFRA, f"the worker was lost: {error_line(error)}")

    def _stack(self, flight: _Flight) -> str:
        """What the attempt's watchdog left on its node; empty where it left nothing, or the node is gone."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        sign = self._signs().get(flight.id)
        if flight.task.timeout_s is None or sign is None:
            return ""
        there = NodeAffinitySchedulingStrategy(sign.node, soft=False)
        look = self._ray.remote(num_cpus=0, max_retries=0)(take_stack).options(scheduling_strategy=there)
        try:
            return str(self._ray.get(look.remote(flight.id), timeout=_STACK_S))
        except self._ray.exceptions.RayError:
            return ""

    def _forget(self, reference: Any) -> None:
        self._board.forget.remote(self._flights.pop(reference).id)


def _refuse_a_motley(nodes: list[Node]) -> None:
    """ClusterError where nodes, or this driver, differ in what decides numbers."""
    if found := disagreements([describe(), *nodes], MUST_AGREE):
        raise ClusterError(f"the nodes disagree: {'; '.join(found)}; install one version everywhere")


def survey(address: str) -> list[Node]:
    """What every node of the cluster at `address` says of itself."""
    with _joined(address) as ray:
        return _nodes(ray, address)


def _nodes(ray: Any, address: str) -> list[Node]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=3)(describe)  # again, until a node that dies is known to be dead
    answers = {
        node["NodeID"]: ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in ray.nodes()
        if node["Alive"]
    }
    nodes = []
    for node, answer in answers.items():
        try:
            nodes.append(ray.get(answer, timeout=_SURVEY_S))
        except ray.exceptions.RayError as error:
            if _is_there(ray, node):  # what has gone meanwhile has no say
                reason = f"not every node answers ({error_line(error)}); is dtcbench installed on all of them?"
                raise ClusterError(f"--address {address}: {reason}") from error
    return nodes


def _is_there(ray: Any, node: str) -> bool:
    """Whether the cluster still counts the node in: it asks every node for its health all the time."""
    return any(known["NodeID"] == node and known["Alive"] for known in ray.nodes())


def _watched(work: Callable[[Task], Report]) -> Callable[[Task, str, Any], Report]:
    """`work` on a node, watched from inside and from outside.

    Where its heartbeats fail for good the attempt goes on, and the driver, which hears nothing, decides.
    """

    def on_node(task: Task, id: str, board: Any) -> Report:
        import ray

        node = ray.get_runtime_context().get_node_id()
        with time_limit(task.timeout_s, id), heartbeat(lambda: board.beat.remote(id, node), BEAT_S):
            return work(task)

    return on_node


def prepare(more: Mapping[str, str]) -> None:
    """Set what Ray reads from the environment when it is first imported, unless the user has."""
    for name, value in (_EVERYWHERE | dict(more)).items():
        os.environ.setdefault(name, value)


@contextmanager
def _own(request: Request, cores: int | None) -> Iterator[Any]:
    """A Ray of this run's own on loopback. It and its folder are gone afterwards."""
    _refuse_no_loopback()
    prepare(LOOPBACK)
    import ray

    if ray.is_initialized():  # the caller's, and it stays
        yield ray
        return
    # Asking for more threads than there are cores is slow, not wrong: one cell at a time then.
    num_cpus = max(cores or usable(), request.cpus)
    with short_folder(_MAX_FOLDER, candidates()) as folder, _connected(ray):
        within = str(folder / "ray")  # Ray opens its folder to every user, so it lies in one that stays shut
        try:
            # "local": never a cluster that happens to be near.
            with kept_from_children():
                ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, _temp_dir=within, **_SILENT)
        except Exception as error:  # Ray raises them plain
            raise ClusterError(f"Ray does not start here ({error_line(error)}); run with --inline") from error
        yield ray


@contextmanager
def _joined(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster at `address`, and disconnected afterwards."""
    _refuse_silence(address)
    prepare({})
    import ray

    if ray.is_initialized():  # the caller's, and it stays
        yield ray
        return
    with _connected(ray):
        try:
            with kept_from_children():
                ray.init(address=address, **_SILENT)
        except (OSError, ValueError, RuntimeError) as error:
            reason = f"{error_line(error)}; is the cluster up, and RAY_AUTH_MODE right?"
            raise ClusterError(f"--address {address}: {reason}") from error
        yield ray


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_no_loopback() -> None:
    """ClusterError where no connection can be made on loopback: Ray itself would wait for one."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=_KNOCK_S).close()
    except OSError as error:
        raise ClusterError(
            f"nothing can connect to 127.0.0.1 on this machine ({error}); bring its loopback interface up with "
            "`ip link set lo up`, or run with --inline"
        ) from error


def _refuse_silence(address: str) -> None:
    """ClusterError where nothing listens at HOST:PORT: Ray itself would go on asking for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:  # auto, ray://…
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
    except OSError as error:
        raise ClusterError(
            f"--address {address}: nothing answers there ({error}); is the cluster up, and the port right?"
        ) from error
