"""What a run writes of itself while it runs, for those who watch it from afar."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from dtcbench.execution.task import ActiveNode, Job
from dtcbench.execution.watcher import Watcher
from dtcbench.heartbeat import Heartbeat
from dtcbench.plan.cell import Cell
from dtcbench.record import CellRecord, Energy, Status
from dtcbench.records.contributions import power
from dtcbench.records.location import BEAT_S, StoreError, this_process
from dtcbench.records.snapshot import BoardSeen, CellUnderWay, Failure, NodeSeen, Snapshot
from dtcbench.records.writer import Writer
from dtcbench.unavailable import Unavailable

WRITE_S = 0.5
"""Between two snapshots; in an object store, where each costs a request, BEAT_S."""
_PACE_OF = 200
"""Cells whose ends give the pace."""
_LATEST = 20
"""Failures and notes that are kept."""
_KIND = "accelerator_type:"
"""Before a kind of GPU among Ray's resources."""


@dataclass
class _Node:
    """What is known of a node."""

    cpus: float = 0.0
    gpus: float = 0.0
    kind: str = ""
    is_there: bool = False
    ended: int = 0
    failed: int = 0
    set_aside: str = ""


class Live(Watcher):
    """Gathers the events of a run, and says at any time, in any thread, how it stands.

    Parameters
    ----------
    earlier : by status, the cells that ended in earlier runs and are not run again
    clock : the time now
    """

    def __init__(
        self, job: Job, earlier: Mapping[Status, int], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._job, self._clock, self._lock = job, clock, Lock()
        self._statuses = Counter(earlier)
        self._began = clock()
        self._ended: datetime | None = None
        self._is_stopping = False
        self._cells = 0
        self._ends = deque([self._began], maxlen=_PACE_OF + 1)
        """When the run began, and then when each cell ended."""
        self._under_way: dict[str, CellUnderWay] = {}
        self._nodes: dict[str, _Node] = {}
        """By host."""
        self._boards: dict[str, BoardSeen] = {}
        """By UUID."""
        self._board_of: dict[str | None, str] = {}
        """By lane, the UUID of the board on which its latest measured cell ran."""
        self._lane_of: dict[str, str | None] = {}
        """By key, the lanes of the cells under way."""
        self._unmetered = "no cell has ended yet"
        """Why there are no watts."""
        self._failures: deque[Failure] = deque(maxlen=_LATEST)
        self._notes: deque[str] = deque(maxlen=_LATEST)

    def planned(self, suite: str, cells: int, to_run: int) -> None:
        """Keep the number of cells."""
        with self._lock:
            self._cells = cells

    def started(self, cell: Cell) -> None:
        """The cell is under way, and waits for a node."""
        with self._lock:
            self._under_way[cell.key] = CellUnderWay(key=cell.key, label=cell.label, host="", since=self._clock())
            self._lane_of[cell.key] = self._job.lane(cell)

    def nodes(self, nodes: Sequence[ActiveNode]) -> None:
        """Keep what the nodes have; several on one host count as one."""
        with self._lock:
            for known in self._nodes.values():
                known.is_there, known.cpus, known.gpus = False, 0.0, 0.0
            for node in nodes:
                known = self._nodes.setdefault(node.host, _Node())
                known.is_there = True
                known.cpus += node.resources.get("CPU", 0.0)
                known.gpus += node.resources.get("GPU", 0.0)
                known.kind = ", ".join(
                    sorted(name.removeprefix(_KIND) for name in node.resources if name.startswith(_KIND))
                )

    def placed(self, cell: Cell, host: str) -> None:
        """The cell runs there."""
        with self._lock:
            if (waiting := self._under_way.get(cell.key)) is not None:
                self._under_way[cell.key] = waiting.model_copy(update={"host": host})

    def ended(self, record: CellRecord, final: bool) -> None:
        """Count the attempt, at its node and, if it is final, among the cells."""
        with self._lock:
            before = self._under_way.pop(record.key, None)
            host = before.host if before else ""
            if not host and len(self._nodes) == 1:  # it ended before anybody looked, and there is one place to be
                (host,) = self._nodes
            lane = self._lane_of.pop(record.key, None)
            failed = record.status is not Status.OK
            if host:
                node = self._nodes.setdefault(host, _Node())
                node.ended += 1
                node.failed += failed
            if failed:
                self._failures.appendleft(
                    Failure(
                        key=record.key,
                        label=record.cell.label,
                        status=record.status,
                        reason=record.reason,
                        host=host,
                        is_final=final,
                    )
                )
            if final:
                self._statuses[record.status] += 1
                self._ends.append(self._clock())
            if record.energy is not None:
                self._see(record.energy, lane, host)

    def _see(self, energy: Energy, lane: str | None, host: str) -> None:
        """Keep the watts of the board that a cell was measured on, or why there are none."""
        trace, watts = energy.trace, power(energy)["mean_power_w"]
        if trace is None or watts is None:
            self._unmetered = energy.reasons.get("energy_j", "its window was empty")
            return
        self._board_of[lane] = trace.gpu_uuid
        self._boards[trace.gpu_uuid] = BoardSeen(
            gpu_uuid=trace.gpu_uuid,
            device=trace.device,
            host=host,
            watts=watts,
            simulated=trace.simulated,
            in_use=False,
        )

    def set_aside(self, host: str, reason: str) -> None:
        """Keep why the node gets no more cells."""
        with self._lock:
            self._nodes.setdefault(host, _Node()).set_aside = reason

    def noted(self, note: str) -> None:
        """Keep the note."""
        with self._lock:
            self._notes.appendleft(note)

    def stopping(self, running: int) -> None:
        """No more cells start."""
        with self._lock:
            self._is_stopping = True

    def over(self) -> None:
        """The run has ended, whatever it has left undone."""
        with self._lock:
            self._ended = self._clock()
            self._under_way.clear()

    def snapshot(self) -> Snapshot:
        """How the run stands now."""
        with self._lock:
            now = self._clock()
            used = {self._board_of.get(self._lane_of.get(key)) for key in self._under_way}
            boards = [one.model_copy(update={"in_use": uuid in used}) for uuid, one in self._boards.items()]
            drawn = [one.watts for one in boards if one.in_use]
            pace = self._per_second(now)
            return Snapshot.of(
                suite=self._job.suite,
                driver=this_process(),
                written_at=now,
                began_at=self._began,
                ended_at=self._ended or Unavailable("it runs"),
                is_stopping=self._is_stopping,
                cells=self._cells,
                statuses=dict(self._statuses),
                cells_per_hour=pace if isinstance(pace, Unavailable) else 3600 * pace,
                left_s=self._left_s(pace),
                watts=sum(drawn) if drawn else self._no_watts(),
                gpus_per_cell=self._job.request.gpus,
                nodes=[self._node(host) for host in sorted(self._nodes)],
                boards=boards,
                under_way=list(self._under_way.values()),
                failures=list(self._failures),
                notes=list(self._notes),
            )

    def _no_watts(self) -> Unavailable:
        return Unavailable("no cell runs on a board that was measured" if self._boards else self._unmetered)

    def _node(self, host: str) -> NodeSeen:
        known = self._nodes[host]
        under_way = sum(cell.host == host for cell in self._under_way.values())
        return NodeSeen(host=host, under_way=under_way, **vars(known))

    def _per_second(self, now: datetime) -> float | Unavailable:
        """Cells that end in a second, by the latest ones."""
        ends, passed_s = len(self._ends) - 1, (now - self._ends[0]).total_seconds()
        return ends / passed_s if ends and passed_s > 0 else Unavailable("no cell has ended yet")

    def _left_s(self, pace: float | Unavailable) -> float | Unavailable:
        if self._ended or self._is_stopping:
            return Unavailable("no more cells start")
        left = self._cells - self._statuses.total()
        return pace if isinstance(pace, Unavailable) else left / pace


@contextmanager
def written(live: Live, writer: Writer) -> Iterator[None]:
    """Write a snapshot again and again, as long as the context lasts, and one that says the run has ended.

    A snapshot that cannot be written is left out: the run goes on, and the next one may be.
    """

    def write() -> None:
        writer.save_snapshot(live.snapshot())

    try:
        with Heartbeat(write, WRITE_S if isinstance(writer.store.root, Path) else BEAT_S):
            yield
    finally:
        live.over()
        with suppress(StoreError):
            write()
