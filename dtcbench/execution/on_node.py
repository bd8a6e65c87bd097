"""What a node does with a block of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dtcbench.execution.task import Report

HEARTBEAT_S = 2.0
"""Between two heartbeats of an attempt."""


def on_node() -> Callable[[bytes, Mapping[str, str], str, Any], Iterator[tuple[str, str, Report | str]]]:
    """What a node does with a block: `work` on each task under its time limit, and with heartbeats. Of each it returns
    the node's id, the host's name, and the report, or why the node must not run it, or no longer.

    Ray sends this function by its code, and it imports only what it is about to use: a node without dtcbench, or with
    another one, can still say so. If the heartbeats fail the attempt goes on; the driver, which receives none, decides.
    """

    def run_block(
        packed: bytes, expected: Mapping[str, str], id: str, heartbeats: Any
    ) -> Iterator[tuple[str, str, Report | str]]:
        import platform

        import ray

        node, host = ray.get_runtime_context().get_node_id(), platform.node()
        try:
            from dtcbench.execution.nodes import unfit

            if expected and (wrong := unfit(expected)):
                yield node, host, wrong
                return
            import pickle
            from dataclasses import replace

            from dtcbench.execution import spot
            from dtcbench.execution.stacks import time_limit
            from dtcbench.heartbeat import Heartbeat

            work, tasks = pickle.loads(packed)  # noqa: S301 - from the driver, as everything that Ray brings
        except Exception as error:
            remedy = "install the driver's dtcbench and requirements.lock there"
            yield node, host, f"cannot read the cell ({type(error).__name__}: {error}); {remedy}"
            return
        heartbeat = Heartbeat(lambda: heartbeats.report.remote(id, node), HEARTBEAT_S)
        notices: list[str] = []
        try:
            with heartbeat, spot.heeded(spot.of_this_machine()) as notices:
                for task in tasks:
                    with time_limit(task.job.timeout_s, f"{id}-{task.key[:12]}"):
                        report = work(replace(task, node=node[:12]))
                    yield node, host, report
        except SystemExit:
            if not notices:
                raise
            yield node, host, f"is taken away by its cloud ({notices[0]})"

    return run_block
