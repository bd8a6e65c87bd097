"""How a run stands, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dtcbench.record import MISSING
from dtcbench.records.snapshot import Snapshot

CONTENT_TYPE = CONTENT_TYPE_LATEST


def text(snapshot: Snapshot, silent_s: float) -> bytes:
    """The text that Prometheus reads. What is not known is left out.

    Parameters
    ----------
    silent_s : for how long its driver has written nothing
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(snapshot, silent_s))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, snapshot: Snapshot, silent_s: float) -> None:
        self._snapshot, self._silent_s = snapshot, silent_s

    def collect(self) -> Iterator[Metric]:
        seen = self._snapshot
        for name, about, value in (
            ("running", "Whether the run has not ended", float(seen.ended_at is None)),
            ("driver_silent_seconds", "Since the driver last wrote how the run stands", self._silent_s),
            ("cells_under_way", "Cells that were submitted and have not ended", len(seen.under_way)),
            ("cells_per_second", "Cells that end in a second", seen.cells_per_hour and seen.cells_per_hour / 3600),
            ("left_seconds", "What the other cells take at this pace", seen.left_s),
            ("gpus", "GPUs of the nodes that are there", seen.gpus),
            ("gpus_in_use", "GPUs that cells have", seen.gpus_in_use),
        ):
            if value is not None:
                yield self._gauge(name, about, (), {(): value})
        missing = {(MISSING,): float(seen.cells - seen.ended)}
        ended = {(status.value,): float(number) for status, number in seen.statuses.items()}
        yield self._gauge("cells", "Planned cells, by status", ("status",), ended | missing)
        attempts = CounterMetricFamily(
            "dtcbench_node_attempts", "Attempts that ended on a node", labels=("suite", "node", "result")
        )
        for node in seen.nodes:
            for result, number in (("ok", node.ended - node.failed), ("failed", node.failed)):
                attempts.add_metric((seen.suite, node.host, result), number)
        yield attempts
        nodes = {(node.host,): float(node.is_there and not node.set_aside) for node in seen.nodes}
        yield self._gauge("node_usable", "Whether a node is there and gets cells", ("node",), nodes)
        boards = {(board.host, board.gpu_uuid, board.device): board.watts for board in seen.boards if board.in_use}
        about = "Mean power of a board that a cell runs on, in the latest training that was measured on it"
        yield self._gauge("board_power_watts", about, ("node", "gpu_uuid", "device"), boards)

    def _gauge(self, name: str, about: str, labels: Sequence[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
        """The values by their labels, of which the suite is one."""
        family = GaugeMetricFamily(f"dtcbench_{name}", about, labels=("suite", *labels))
        for of_labels, value in values.items():
            family.add_metric((self._snapshot.suite, *of_labels), value)
        return family
