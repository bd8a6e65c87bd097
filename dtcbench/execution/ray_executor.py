"""Cells as Ray tasks, on this machine or on a cluster."""

from __future__ import annotations

import math
import sys
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dtcbench.errors import UserError
from dtcbench.execution.cluster import joined_ray, local_ray
from dtcbench.execution.nodes import SURVEY_S, is_alive, needed, require_agreement
from dtcbench.execution.on_node import on_node
from dtcbench.execution.stacks import take_stack
from dtcbench.execution.task import ActiveNode, Outcome, Place, Report, Task
from dtcbench.execution.worker import attempt
from dtcbench.heartbeat import Heartbeats
from dtcbench.plan.request import Request, shown
from dtcbench.record import Status
from dtcbench.text import error_line

SILENCE_S = 120.0
"""An attempt that sends no heartbeat for this long is abandoned: its node is frozen or cut off, or it hangs."""
GRACE_S = 5.0
SAVE_S = 10.0
"""Time limit for the attempts that a closing executor ends to save their trainings."""
_REFRESH_S = 1.0
"""Between two queries of the heartbeats."""
_ANSWER_S = 60.0
"""Time limit for the head's answer, after which the cluster counts as lost: a busy head may have to restart the
heartbeats' process."""
_STACK_S = 10.0
"""Time limit for a node to return the stack of an attempt."""
BLOCK_S = 1.0
"""Cells that take so long together, by those that ended last, go to a worker as one block."""
MOST_IN_BLOCK = 50
_RECENT = 20
"""So many cells that ended last say how long the next ones take: as long as the longest of them."""


_ATTEMPT = partial(attempt, alone=True)


@dataclass
class _Block:
    """Tasks that were submitted to Ray as one: a worker runs them one after another, and returns each as it ends."""

    tasks: deque[Task]
    """Those that have not ended; the first one runs."""
    id: str
    """Names the block among the heartbeats. It is unique, so that a late heartbeat of another cannot be mistaken."""
    begun: bool = False
    """Whether it is known that the first task has begun, and was told."""

    @property
    def task(self) -> Task:
        """The one that runs."""
        return self.tasks[0]


class RayExecutor:
    """At most as many Ray tasks as the cluster can run at once: one per cell, or, where cells are short and need no
    GPU, one per block of cells. A lost worker loses the cell that it ran; what had not begun goes to another.

    Parameters
    ----------
    cores : cores of the Ray that is started on loopback if there is no address; all that this process may use if None
    address : of a cluster to join
    slots : number of blocks submitted to Ray at the same time; as many as its nodes can run if None. On a cluster to
        join it may be larger, for one that grows.
    work : what a node does with a task
    """

    def __init__(
        self,
        request: Request,
        cores: int | None = None,
        address: str | None = None,
        slots: int | None = None,
        silence_s: float = SILENCE_S,
        work: Callable[[Task], Report] = _ATTEMPT,
    ) -> None:
        self._request = request
        self._silence_s = silence_s
        self._reserved: dict[str, Any] = {}
        """The placement group of each lane."""
        self._submitted: dict[Any, _Block] = {}
        """By Ray's generator of the results."""
        self._waiting: deque[Task] = deque()
        """Tasks for the next workers that are free."""
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        """How long the ok cells took that ended last."""
        self._silences: dict[str, tuple[str, float]] = {}
        self._notes: list[str] = []
        """What was not told yet."""
        self._lacking = ""
        """What the waiting tasks lacked when that was last asked."""
        with ExitStack() as closing:
            self._ray = closing.enter_context(joined_ray(address) if address else local_ray(request.cpus, cores))
            self._work, self._is_joined = work, address is not None
            if address is not None:
                self._notes = require_agreement(self._ray, address)
            self.workers = slots if slots and address else min(self._capacity(), slots or sys.maxsize)
            self._function = self._ray.remote(
                num_cpus=request.cpus,
                num_gpus=request.gpus,
                accelerator_type=request.accelerator,
                name="cell",
                max_retries=0,  # the scheduler decides on retries
                max_calls=1 if request.gpus else 0,  # a metered cell gets a process of its own
                num_returns="streaming",
            )(on_node())
            # It runs on the head, which outlives all other nodes; a local Ray is its own head.
            head = {"node:__internal_head__": 0.001}
            # Ray restarts it if it dies; running attempts then report again.
            remote = self._ray.remote(num_cpus=0, resources=head, max_restarts=-1, max_task_retries=-1)(Heartbeats)
            self._heartbeats = remote.remote()
            self._query(SURVEY_S)  # on a busy head its process takes long to start: the attempts are not silent then
            self._queried = time.monotonic()
            self._closing = closing.pop_all()

    @property
    def slots(self) -> int:
        """A block of tasks for each worker."""
        return self.workers * self._length

    @property
    def _length(self) -> int:
        """Number of tasks in a block: 1 as long as nothing is known, and where a cell needs a process of its own."""
        if self._request.gpus or not self._seconds:
            return 1
        return int(min(MOST_IN_BLOCK, max(1, BLOCK_S / max(*self._seconds, BLOCK_S / MOST_IN_BLOCK))))

    def submit(self, task: Task) -> None:
        """Submit a task to Ray, now or with others once a worker is free; all tasks of one lane to the same GPU."""
        self._waiting.append(task)
        self._hand_over()

    def _hand_over(self) -> None:
        """Share the waiting tasks among the free workers, up to a block for each."""
        while self._waiting and (free := self.workers - len(self._submitted)) > 0:
            tasks = deque([self._waiting.popleft()])
            most = min(self._length, math.ceil((1 + len(self._waiting)) / free))
            while self._waiting and len(tasks) < most and self._waiting[0].avoid == tasks[0].avoid:
                tasks.append(self._waiting.popleft())
            self._submit(tasks)

    def _submit(self, tasks: deque[Task]) -> None:
        first = tasks[0]
        block = _Block(tasks, f"{first.key[:12]}-{first.attempt}-{uuid.uuid4().hex[:12]}")
        if first.lane is not None:
            function = self._on_gpu_of(first.lane, first.avoid)
        else:
            function = self._function.options(label_selector=_elsewhere(first.avoid)) if first.avoid else self._function
        packed = self._ray.cloudpickle.dumps((self._work, [*tasks]))  # read on the node, which may be unable to
        expected = {name: value for task in tasks for name, value in needed(task.cell).items()}
        results = function.remote(packed, expected if self._is_joined else {}, block.id, self._heartbeats)
        self._submitted[results] = block

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Tasks that have ended within the time, and abandoned ones."""
        self._hand_over()
        ready, _ = self._ray.wait(list(self._submitted), num_returns=1, timeout=timeout_s)
        outcomes = [*map(self._outcome, ready), *self._abandoned()]
        self._hand_over()
        return outcomes

    @property
    def grace_s(self) -> float:
        """An overdue cell's process ends itself; if it cannot, the driver kills it after this time."""
        return GRACE_S

    def begun(self) -> list[Task]:
        """Tasks that have begun since the last call: by a block's first heartbeat, or as the one before has ended."""
        silences = self._recent_silences()
        new = [block for block in self._submitted.values() if not block.begun and block.id in silences]
        for block in new:
            block.begun = True
        return [block.task for block in new]

    def notes(self) -> list[str]:
        """In what kernels the nodes differ, and what tasks wait for that no node can give; again if that changes."""
        if (lacking := self._what_lacks()) != self._lacking:
            self._lacking = lacking
            self._notes += [lacking] if lacking else []
        notes, self._notes = self._notes, []
        return notes

    def nodes(self) -> list[ActiveNode]:
        """The cluster's nodes, and the attempts that have sent heartbeats from them."""
        nodes, running = self._alive_nodes(), defaultdict(list)
        for submitted in self._submitted.values():
            if submitted.id in self._silences:
                running[self._silences[submitted.id][0]].append(submitted.task)
        return [
            ActiveNode(node["NodeManagerHostname"], node["Resources"], tuple(running[node["NodeID"]])) for node in nodes
        ]

    def kill(self, task: Task) -> None:
        """Kill the task's worker process. What still arrives from it is ignored."""
        for results in [results for results, block in self._submitted.items() if block.task == task]:
            self._cancel(results)

    def release(self, lane: str) -> None:
        """Free the lane's GPU."""
        if (group := self._reserved.pop(lane, None)) is not None:
            self._ray.util.remove_placement_group(group)

    def close(self) -> None:
        """Shut this Ray down, or leave the cluster. Attempts that still run save their trainings first, if they can."""
        with self._closing:
            running = list(self._submitted)
            with suppress(self._ray.exceptions.RayError):  # the cluster may be gone
                for results in running:
                    self._ray.cancel(results)  # what waits ends, and what runs gets SIGINT
                if ends := [results.completed() for results in running]:
                    self._ray.wait(ends, num_returns=len(ends), timeout=SAVE_S)
            self._release_all()

    def _release_all(self) -> None:
        for lane in list(self._reserved):
            self.release(lane)

    def _on_gpu_of(self, lane: str, avoid: frozenset[str]) -> Any:
        """The remote function on the lane's own GPU: a placement group keeps one physical GPU as long as it lives.

        If it is on a node to avoid, the lane goes to another GPU.
        """
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if avoid and lane in self._reserved:
            there = self._ray.util.placement_group_table(self._reserved[lane])["bundles_to_node_id"]
            if avoid & set(there.values()):
                self.release(lane)
        if lane not in self._reserved:
            where = [_elsewhere(avoid)] if avoid else None
            bundle = [self._request.bundle]
            self._reserved[lane] = self._ray.util.placement_group(bundle, bundle_label_selector=where)
        return self._function.options(scheduling_strategy=PlacementGroupSchedulingStrategy(self._reserved[lane]))

    def _capacity(self) -> int:
        """Number of cells that the present nodes can run at once; UserError if they can run none."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        capacity = sum(map(self._request.cells_on, nodes))
        if capacity < 1:
            raise UserError(
                f"a cell asks for {self._request}, and no node has them: there are {shown(nodes)}; lower `resources` "
                "in the suite, run it where there is more, or, on a cluster that grows, say --workers N"
            )
        return capacity

    def _what_lacks(self) -> str:
        """What a task that has not begun waits for, if no node can run it now, and what ends that; else empty."""
        nodes = self._alive_nodes()
        able = [node for node in nodes if self._request.cells_on(node["Resources"]) > 0]
        for submitted in self._submitted.values():
            avoided = [node for node in able if node["NodeID"] in submitted.task.avoid]
            if submitted.begun or len(avoided) < len(able):
                continue
            named = ", ".join(node["NodeManagerHostname"] for node in avoided)
            why = (
                f"{named} can begin no such cell, as was said, and no other node has them"
                if avoided
                else f"no node has them: there are {shown(node['Resources'] for node in nodes)}"
            )
            return (
                f"cells wait: each asks for {self._request}, and {why}. A node that joins ends the wait (`ray status` "
                "says what is requested, and why none starts); Ctrl-C ends the run, and the same command resumes"
            )
        return ""

    def _alive_nodes(self) -> list[dict[str, Any]]:
        """The nodes that the cluster counts as alive; UserError if the connection to the head is lost.

        The heartbeats are asked first, with a time limit: without a head, Ray's list is waited for until Ray ends this
        process.
        """
        self._silences, self._queried = self._query(), time.monotonic()
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _recent_silences(self) -> dict[str, tuple[str, float]]:
        """The heartbeats as of the latest query, a moment ago: not every cell costs a query."""
        if time.monotonic() - self._queried > _REFRESH_S:
            self._silences, self._queried = self._query(), time.monotonic()
        return self._silences

    def _query(self, within_s: float = _ANSWER_S) -> dict[str, tuple[str, float]]:
        """Node and silence of each attempt; UserError if the connection to the head is lost."""
        try:
            silences: dict[str, tuple[str, float]] = self._ray.get(self._heartbeats.silences.remote(), timeout=within_s)
        except self._ray.exceptions.RayError as error:
            raise UserError(
                f"the connection to the cluster is lost ({error_line(error)}): its head or this machine's own Ray node "
                "has ended, or the link between them was down for longer than the cluster waits for a node; with both "
                "up the same command resumes, and without them it says what to start"
            ) from error
        return silences

    def _abandoned(self) -> list[Outcome]:
        """Abandon attempts that have sent heartbeats, have been silent for too long, and have no time limit to end
        them."""
        silences, outcomes = self._recent_silences(), []
        for results, block in list(self._submitted.items()):
            node, silent_s = silences.get(block.id, ("", 0.0))
            if silent_s <= self._silence_s:
                continue
            if not is_alive(self._ray, node):
                end = Status.INFRA, f"no heartbeat for {silent_s:.0f} s: its node is frozen or cut off"
            elif block.task.job.timeout_s is None:
                end = Status.TIMEOUT, f"no heartbeat for {silent_s:.0f} s, but its node is alive: it hangs"
            else:  # it holds Python's lock, perhaps for a reason: its time limit decides
                continue
            outcomes.append(Outcome(block.task, None, *end))
            self._cancel(results)
        return outcomes

    def _outcome(self, results: Any) -> Outcome:
        block = self._submitted[results]
        outcome = self._result(next(results), block)
        if outcome.unfit and (place := outcome.place):
            block.tasks = deque(replace(task, avoid=task.avoid | {place.node}) for task in block.tasks)
        if outcome.report is None or len(block.tasks) == 1:
            self._forget(results)
        else:
            block.tasks.popleft()
            block.begun = False
        if outcome.report and outcome.report.record["status"] == Status.OK:
            self._seconds.append(outcome.report.record["wall_s"])
        return outcome

    def _result(self, reference: Any, block: _Block) -> Outcome:
        task, errors = block.task, self._ray.exceptions
        try:
            node, host, report = self._ray.get(reference)
            place = Place(node, host, self._has_others(task.avoid | {node}))
            if isinstance(report, str):
                return Outcome(task, None, Status.INFRA, f"its node {report}", place=place, unfit=True)
            return Outcome(task, report, place=place)
        except errors.OutOfMemoryError as error:
            return Outcome(task, None, Status.OOM, f"the node's memory ran out: {error_line(error)}")
        except errors.RayTaskError as error:
            return Outcome(task, None, Status.ERROR, f"the worker failed outside the cell: {error_line(error)}")
        except errors.WorkerCrashedError as error:
            if stack := self._stack(block):
                return Outcome(task, None, Status.TIMEOUT, task.overdue_reason, stack)
            return Outcome(task, None, Status.INFRA, f"the worker was lost: {error_line(error)}")
        except errors.RayError as error:
            return Outcome(task, None, Status.INFRA, f"the worker was lost: {error_line(error)}")

    def _stack(self, block: _Block) -> str:
        """The stack that the attempt left on its node when its time limit ended it; empty if it left none, or if the
        node is gone."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node, _ = self._query().get(block.id, ("", 0.0))
        if block.task.job.timeout_s is None or not node:
            return ""
        on_node = NodeAffinitySchedulingStrategy(node, soft=False)
        take = self._ray.remote(num_cpus=0, max_retries=0)(take_stack).options(scheduling_strategy=on_node)
        try:
            return str(self._ray.get(take.remote(f"{block.id}-{block.task.key[:12]}"), timeout=_STACK_S))
        except self._ray.exceptions.RayError:
            return ""

    def _has_others(self, avoid: frozenset[str]) -> bool:
        """Whether a node besides these can run a cell."""
        return any(
            node["Alive"] and node["NodeID"] not in avoid and self._request.cells_on(node["Resources"]) > 0
            for node in self._ray.nodes()
        )

    def _cancel(self, results: Any) -> None:
        self._forget(results)
        self._ray.cancel(results, force=True)

    def _forget(self, results: Any) -> None:
        """Its first task has ended, and the block with it: the others have not begun, and wait again."""
        block = self._submitted.pop(results)
        self._heartbeats.forget.remote(block.id)
        self._waiting.extendleft([*block.tasks][:0:-1])


def _elsewhere(avoid: frozenset[str]) -> dict[str, str]:
    """Ray's label selector of all nodes but these."""
    return {"ray.io/node-id": f"!in({', '.join(sorted(avoid))})"}
