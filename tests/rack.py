"""A rack of nodes on this machine: a Ray cluster whose nodes can be switched off, frozen and replaced."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from dtcbench.execution import cluster

WITHOUT_TOKEN = {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""A Ray on loopback that everyone may use."""
NOTICED_SOON = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_grpc_client_keepalive_time_ms": "3000",
    "RAY_grpc_client_keepalive_timeout_ms": "3000",
}
"""A lost or frozen node is missed within seconds, but a busy one is not: a test machine may be very busy."""


class Rack:
    """A head without cores for cells, and nodes of one core each."""

    def __init__(self, nodes: int) -> None:
        self._temporary = tempfile.mkdtemp(prefix="rack-")  # short: sockets lie in it
        os.environ["RAY_TMPDIR"] = self._temporary  # where nobody else looks for a cluster
        cluster.prepare()
        os.environ.update(WITHOUT_TOKEN | NOTICED_SOON)
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.nodes: list[Any] = []
        for _ in range(nodes):
            self.add()

    @property
    def address(self) -> str:
        """Where a driver finds the cluster."""
        return str(self._cluster.address)

    def add(self, **variables: str) -> Any:
        """Plug in a node, with further environment variables."""
        self.nodes.append(self._cluster.add_node(num_cpus=1, env_vars=variables or None))
        return self.nodes[-1]

    def node_of(self, pid: int) -> Any:
        """The node whose worker has this process id."""
        return next(node for node in self.nodes if pid in _family(_raylet(node).pid))

    def power_off(self, node: Any) -> None:
        """Nothing of the node runs any more, from one moment to the next."""
        self.nodes.remove(node)
        for pid in _family(_raylet(node).pid):
            _signal(pid, signal.SIGKILL)
        self._reap(node)

    def kill_raylet(self, node: Any) -> None:
        """The node's raylet dies, alone."""
        self.nodes.remove(node)
        _raylet(node).kill()
        self._reap(node)

    def freeze(self, node: Any) -> None:
        """Nothing of the node gets on, and nobody is told."""
        for pid in _family(_raylet(node).pid):
            _signal(pid, signal.SIGSTOP)

    def thaw(self, node: Any) -> None:
        """A frozen node goes on as if nothing had been; its cluster may long have given it up."""
        for pid in _family(_raylet(node).pid):
            _signal(pid, signal.SIGCONT)

    def workers(self, node: Any) -> list[int]:
        """The processes on the node that may run a cell."""
        return [pid for pid in _family(_raylet(node).pid) if _name(pid).startswith("ray::cell")]

    def wait_for_exit(self, pid: int) -> None:
        """Return once the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            select.select([handle], [], [])
            os.close(handle)

    @property
    def heartbeats(self) -> int:
        """The process of the heartbeats, on the head; there must be one only."""
        on_head = _family(_raylet(self._cluster.head_node).pid)
        (pid,) = [pid for pid in on_head if _name(pid).startswith("ray::Heartbeats")]
        return pid

    def kill_process(self, pid: int) -> None:
        """SIGKILL to one process, which may just have ended."""
        _signal(pid, signal.SIGKILL)

    def has_ended(self, node: Any, within_s: float) -> bool:
        """Whether the node ends by itself within so many seconds."""
        try:
            _raylet(node).wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def gone(self, node: Any) -> None:
        """Wait until a node has ended by itself."""
        self.nodes.remove(node)
        self._reap(node)

    def memory(self) -> tuple[int, int]:
        """Bytes in use and bytes in all on this machine, as Ray counts them."""
        from ray._common.utils import get_system_memory
        from ray._private.utils import get_used_memory

        return get_used_memory(), get_system_memory()

    def close(self) -> None:
        """Switch everything off."""
        for node in list(self.nodes):
            self.power_off(node)
        self._cluster.shutdown()
        shutil.rmtree(self._temporary, ignore_errors=True)
        del os.environ["RAY_TMPDIR"]

    def _reap(self, node: Any) -> None:
        _raylet(node).wait()  # a killed raylet that nobody has waited for can still deliver
        self._cluster.remove_node(node, allow_graceful=False)


def _raylet(node: Any) -> Any:
    (info,) = node.all_processes["raylet"]
    return info.process


def _family(pid: int) -> list[int]:
    """A process and all that come of it, parents first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(relative for child in children for relative in _family(int(child)))]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
