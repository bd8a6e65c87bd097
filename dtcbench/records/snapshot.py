"""What is seen of a run from afar: one small file that its driver writes anew again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from dtcbench.record import Explained, Status
from dtcbench.records.location import StoreError

if TYPE_CHECKING:
    from dtcbench.records.store import Store


class _Seen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NodeSeen(_Seen):
    """A node that has run attempts in this run, or could run some now."""

    host: str
    is_there: bool
    """Whether the cluster has it now."""
    cpus: float
    gpus: float
    kind: str
    """Of its GPUs, in Ray's words, such as `H200`; empty where it has none, or Ray does not know."""
    under_way: int
    """Attempts that run there now."""
    ended: int
    """Attempts that ended there."""
    failed: int
    """Those of them that were not ok, retried ones included."""
    set_aside: str
    """Why it gets no more cells; empty if it does get some."""


class BoardSeen(_Seen):
    """A GPU (or the GPUs of one cell) that a meter has read."""

    gpu_uuid: str
    device: str
    host: str
    watts: float
    """Its mean power in the latest training that was measured on it."""
    simulated: bool
    in_use: bool
    """Whether a cell runs on it now."""


class CellUnderWay(_Seen):
    """An attempt that was submitted and has not ended."""

    key: str
    label: str
    host: str
    """Empty as long as it waits for a node."""
    since: AwareDatetime
    """When it was submitted."""


class Failure(_Seen):
    """An attempt that ended otherwise than ok."""

    key: str
    label: str
    status: Status
    reason: str
    host: str
    """Empty if its node is not known."""
    is_final: bool
    """Whether the cell is not tried again."""


class Snapshot(Explained):
    """How a run stands. Times are those of its driver's clock."""

    suite: str
    driver: str
    """The driver's process and host."""
    written_at: AwareDatetime
    began_at: AwareDatetime
    """When its first cells could start."""
    ended_at: AwareDatetime | None
    is_stopping: bool
    """Whether the user has asked to stop: no more cells start."""
    cells: int
    statuses: dict[Status, int]
    """Of the cells that have ended, those of earlier runs included."""
    cells_per_hour: float | None
    """That ended in this run in the last ten minutes, or since it began."""
    left_s: float | None
    """Seconds that the other cells take at this pace."""
    watts: float | None
    """Of the boards that cells run on now, each by the latest training that was measured on it."""
    gpus_per_cell: float
    nodes: list[NodeSeen]
    boards: list[BoardSeen]
    under_way: list[CellUnderWay]
    """The oldest first."""
    failures: list[Failure]
    """The latest ones of this run, the newest first."""
    notes: list[str]
    """What the run said last, the newest first."""

    @property
    def ended(self) -> int:
        """Cells that have ended."""
        return sum(self.statuses.values())

    @property
    def gpus(self) -> float:
        """GPUs of the nodes that are there."""
        return sum(node.gpus for node in self.nodes if node.is_there)

    @property
    def gpus_in_use(self) -> float:
        """GPUs that cells have."""
        return self.gpus_per_cell * sum(bool(cell.host) for cell in self.under_way)

    @property
    def state(self) -> Literal["running", "stopping", "ended"]:
        """What the run does, as far as its driver could tell."""
        return "ended" if self.ended_at else "stopping" if self.is_stopping else "running"

    @property
    def running_s(self) -> float:
        """Seconds that the run has taken."""
        return ((self.ended_at or self.written_at) - self.began_at).total_seconds()


class Follower:
    """Looks at a run's snapshot again and again, and notices when its driver falls silent.

    The first look believes the clock of the driver's host. From then on only this host's counts: they may differ.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._clock, self._now = store, clock, now
        self._written_at: datetime | None = None
        """Of the latest snapshot."""
        self._seen_s = 0.0
        """When it was seen first, by the clock."""

    def look(self) -> tuple[Snapshot, float]:
        """How the run stands, and for how many seconds its driver has written nothing. StoreError before it begins."""
        snapshot = self._store.snapshot()
        if snapshot is None:
            raise StoreError(
                f"{self._store.root}: nothing is seen of this run: it has not begun yet, or an older dtcbench ran it; "
                f"`dtcbench status {self._store.root}` counts its records"
            )
        if self._written_at is None:
            self._seen_s = self._clock() - max(0.0, (self._now() - snapshot.written_at).total_seconds())
        elif snapshot.written_at != self._written_at:
            self._seen_s = self._clock()
        self._written_at = snapshot.written_at
        return snapshot, self._clock() - self._seen_s
