"""A suite on a cluster that grows: no worker node before it, two while it runs, none after it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from fake_nvml.boards import FakeGpu, built, environment, write_scenario

from dtcbench import cli
from dtcbench.record import Status
from dtcbench.records.store import Store

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500)]

HEAD, HEAD_TYPE = f"{'00000':f>56}", "ray.head.default"
"""The names by which Ray's fake provider knows its head."""

SUITE = """\
name: growing
question: Does a cluster without a worker node grow for it, and shrink afterwards?
cost: seconds
protocol: {name: standard, steps: 30, batch_size: 32, cycle_steps: 5, keep: 0.7}
grid:
  - models: [{name: mlp, widths: [64]}]
    datasets: [digits]
    methods: [random]
    sparsities: [0.5]
    seeds: 2
resources: {cpus: 1, gpus: 1, accelerator: L4}
energy: {min_window: 0s, idle: 0s}
"""
"""Two lanes of two cells, each lane on one GPU: two nodes are what it can use."""


def launcher_file(port):
    """What `ray start` reads: worker nodes are processes here, with a GPU each by their own word."""
    provider = {
        # `fake_multinode` itself would look for a file of defaults that Ray's wheel lacks.
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "gcs_address": f"127.0.0.1:{port}",
        "head_node_id": HEAD,
        "launch_multiple": True,
        "disable_node_updaters": True,  # nothing to install, nobody to reach by ssh
    }
    gpu = {"CPU": 1, "GPU": 1, "accelerator_type:L4": 1, "object_store_memory": 10**8}
    types = {
        HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "gpu": {"resources": gpu, "labels": {"kind": "L4"}, "node_config": {}, "min_workers": 0, "max_workers": 3},
    }
    commands = ["initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray"]
    return {
        "cluster_name": "growing",
        "max_workers": 3,
        "upscaling_speed": 10,
        "idle_timeout_minutes": 0.1,
        "provider": provider,
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "available_node_types": types,
        "head_node_type": HEAD_TYPE,
        **{f"{which}_commands": [] for which in commands},
    }


class Growing:
    """A head without cores on loopback, whose autoscaler starts worker nodes as they are needed."""

    def __init__(self, folder, surroundings):
        self.folder, self.port = folder, free_port()
        (folder / "cluster.yaml").write_text(yaml.safe_dump(launcher_file(self.port)))
        self.environment = surroundings | {
            "PYTHONPATH": str(Path(cli.__file__).parents[2]),
            "RAY_AUTH_MODE": "disabled",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        }
        autoscaler = {
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",  # as `ray up` has it
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        }
        ray = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
        place = ["--node-ip-address=127.0.0.1", f"--port={self.port}", f"--temp-dir={folder}"]
        has = ["--num-cpus=0", "--num-gpus=0", "--object-store-memory=100000000", "--include-dashboard=false"]
        command = [*ray, *place, *has, f"--autoscaling-config={folder / 'cluster.yaml'}"]
        with (folder / "head.log").open("w") as log:
            self._head = subprocess.Popen(
                command, env=self.environment | autoscaler, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def nodes(self):
        """Every node that there ever was, as the head knows it; none before it answers."""
        from ray._raylet import GcsClient

        assert self._head.poll() is None, (self.folder / "head.log").read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)):
                return []
        return list(GcsClient(address=self.address).get_all_node_info(timeout=20).values())

    def workers(self):
        """The worker nodes that there ever were."""
        return [node for node in self.nodes() if not node.is_head_node]

    def alive(self):
        """The worker nodes that are there."""
        return [node for node in self.workers() if node.state == node.ALIVE]

    def dtcbench(self, *arguments):
        command = [sys.executable, "-m", "dtcbench", *map(str, arguments)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)

    def end(self):
        """End the head, and whatever of its session it leaves behind: these processes and no others."""
        self._head.terminate()
        try:
            self._head.wait(20)
        finally:
            for pid in of_session(self._head.pid):
                os.kill(pid, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def of_session(session):
    """The processes that belong to a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = stat.read_text().partition(" ")
        except OSError:
            continue  # it has just ended
        if int(rest.rpartition(") ")[2].split()[3]) == session:
            found.append(int(pid))
    return found


def until(condition, seconds):
    """Wait for it; what it gave when it was first true, or at the end of its time."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return answer


@pytest.fixture
def growing(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="dtc-"))  # a socket's path must be short
    scenario = write_scenario(tmp_path / "scenario", [FakeGpu()])
    cluster = Growing(folder, environment(built(), scenario))
    try:
        assert until(cluster.nodes, 120), "no head"
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_cluster_grows_from_no_worker_node_to_two_for_a_suite_and_shrinks_to_none(growing, tmp_path):
    suite, out = tmp_path / "growing.yaml", tmp_path / "run"
    suite.write_text(SUITE)

    refused = growing.dtcbench("run", suite, "--out", out, "--address", growing.address)

    assert refused.returncode == 2
    assert "1 GPUs of kind L4, and no node has them: there are 0 CPUs and 0 GPUs" in refused.stderr
    assert "on a cluster that grows, say --workers N" in refused.stderr
    assert growing.workers() == []

    ran = growing.dtcbench("run", suite, "--out", out, "--address", growing.address, "--workers", 2)

    assert ran.returncode == 0, ran.stdout + ran.stderr + (out / "ray.log").read_text()
    attempts = [attempt for of_cell in Store(out).read().attempts.values() for attempt in of_cell]
    assert [attempt.status for attempt in attempts] == [Status.OK] * 4
    assert [dict(node.labels)["kind"] for node in growing.workers()] == ["L4", "L4"]

    assert until(lambda: not growing.alive(), 120), "idle nodes stay"
    assert len(growing.workers()) == 2


def test_an_address_where_nothing_listens_is_refused_at_once(dtcbench):
    began = time.monotonic()
    ended = dtcbench("doctor", "--cluster", "--address", f"127.0.0.1:{free_port()}")
    assert ended.code == 2
    assert "nothing answers there" in ended.err and "is the cluster up" in ended.err
    assert time.monotonic() - began < 30
