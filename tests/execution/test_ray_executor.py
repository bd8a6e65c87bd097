"""Cells as Ray tasks: the same numbers as inline, and failures that come back as statuses."""

import os
import pickle
import platform
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest
from cells import cell, job, task

from dtcbench.errors import UserError
from dtcbench.execution.driver import drive, to_run
from dtcbench.execution.executor import InlineExecutor
from dtcbench.execution.live import Live
from dtcbench.execution.on_node import on_node
from dtcbench.execution.ray_executor import RayExecutor
from dtcbench.execution.task import Report
from dtcbench.execution.watcher import Watcher
from dtcbench.execution.worker import attempt
from dtcbench.plan.request import Request
from dtcbench.record import Status
from dtcbench.records.store import Store
from dtcbench.registry import Plugin

pytestmark = pytest.mark.ray

CELLS = tuple(cell(method, seed=seed) for seed in (0, 1) for method in ("dtc", "dtc-published", "magnitude", "random"))


def run(folder, executor, cells=CELLS, plugins=(), timeout_s=None, watcher=None):
    store = Store(folder)
    with store.locked() as writer:
        the_job = job(timeout_s, plugins)
        drive(to_run(cells, store.read(), the_job), the_job, writer, executor, watcher or Watcher())
    return store.read()


def accuracies(contents):
    return {c.key: contents.record(c.key).result.accuracy for c in CELLS}


@pytest.fixture(scope="module")
def two_workers():
    executor = RayExecutor(Request(cpus=1), cores=2)
    yield executor
    executor.close()


def test_one_worker_two_workers_another_order_and_no_ray_give_identical_accuracies(tmp_path, two_workers, monkeypatch):
    assert two_workers.workers == 2
    parallel = accuracies(run(tmp_path / "two", two_workers))
    assert accuracies(run(tmp_path / "reversed", two_workers, CELLS[::-1])) == parallel
    assert accuracies(run(tmp_path / "inline", InlineExecutor())) == parallel
    monkeypatch.setattr(two_workers, "workers", 1)
    assert accuracies(run(tmp_path / "one", two_workers)) == parallel


def test_no_other_user_reaches_the_sockets_of_a_ray_of_ones_own(two_workers):
    folder = Path(two_workers._ray._private.worker._global_node.get_temp_dir_path()).parent
    assert folder.name.startswith("dtc-")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


AS_ANOTHER_USER = """
import os, sys
from ray._raylet import GcsClient
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    print(GcsClient(address=sys.argv[1]).internal_kv_put(b"key", b"value", True, b"tests", 30))
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("token", "answer"),
    [({}, "AuthenticationError"), ({"RAY_AUTH_TOKEN": "guessed" * 8}, "AuthenticationError"), (None, "1")],
)
def test_another_user_cannot_write_into_a_ray_of_ones_own_without_its_token(two_workers, token, answer):
    address = two_workers._ray.get_runtime_context().gcs_address
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    environment = os.environ if token is None else others | token | {"RAY_AUTH_MODE": "token" if token else "disabled"}
    command = [sys.executable, "-c", AS_ANOTHER_USER, address]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == answer


def test_a_worker_that_dies_is_infra_and_tried_again_and_others_go_on(tmp_path, two_workers):
    dying = Plugin("dying", "import os\nos._exit(1)\n")
    live = Live(job(), {})
    contents = run(tmp_path, two_workers, CELLS[:1], plugins=(dying,), watcher=live)
    [node] = live.snapshot().nodes
    assert (node.host, node.cpus, node.ended, node.failed) == (platform.node(), 2, 3, 3)
    attempts = contents.attempts[CELLS[0].key]
    assert [a.status for a in attempts] == [Status.INFRA] * 3
    assert "the worker was lost" in attempts[0].reason
    assert run(tmp_path / "after", two_workers, CELLS[:1]).record(CELLS[0].key).status is Status.OK


def test_a_lost_head_is_told_and_not_waited_for_by_asking_ray_for_its_nodes(two_workers, monkeypatch):
    def lost():
        raise UserError("the connection to the cluster is lost")

    monkeypatch.setattr(two_workers, "_query", lost)
    monkeypatch.setattr(two_workers._ray, "nodes", lambda: pytest.fail("Ray waits for the head, and then ends us"))
    for look in (two_workers.nodes, two_workers.notes):
        with pytest.raises(UserError, match="lost"):
            look()


def test_a_worker_lost_within_a_block_loses_and_doubles_none_of_its_cells(tmp_path, two_workers, monkeypatch):
    harmed, blocks, submit = CELLS[4].key, [], two_workers._submit

    def work(task):
        if task.key == harmed and task.attempt == 1:
            os._exit(1)
        return attempt(task)

    monkeypatch.setattr(two_workers, "_work", work)
    monkeypatch.setattr(two_workers, "_seconds", deque([0.1], maxlen=1))
    monkeypatch.setattr(two_workers, "_submit", lambda tasks: (blocks.append(len(tasks)), submit(tasks)))
    contents = run(tmp_path / "blocks", two_workers)
    assert max(blocks) > 1
    ends = {key: [one.status for one in attempts] for key, attempts in contents.attempts.items()}
    assert ends[harmed] == ["infra", "ok"]
    assert all(statuses.count("ok") == 1 and statuses[-1] == "ok" for statuses in ends.values())
    assert accuracies(contents) == accuracies(run(tmp_path / "inline", InlineExecutor()))


@pytest.mark.parametrize(
    ("seconds", "gpus", "length"),
    [([], 0, 1), ([5.0, 0.1], 0, 1), ([0.1, 0.24], 0, 4), ([0.0], 0, 50), ([0.1], 0.25, 1)],
)
def test_a_block_has_as_many_cells_as_take_a_second_by_the_longest_of_the_last(
    two_workers, monkeypatch, seconds, gpus, length
):
    monkeypatch.setattr(two_workers, "_seconds", deque(seconds))
    monkeypatch.setattr(two_workers, "_request", Request(cpus=1, gpus=gpus))
    assert two_workers.slots == 2 * length


def test_a_cell_that_hangs_ends_as_timeout_and_its_worker_is_gone(tmp_path, two_workers):
    hanging = Plugin("hanging", "import threading\nthreading.Event().wait()\n")
    contents = run(tmp_path, two_workers, CELLS[:1], plugins=(hanging,), timeout_s=1.0)
    assert contents.record(CELLS[0].key).status is Status.TIMEOUT
    assert run(tmp_path / "after", two_workers, CELLS[:2]).record(CELLS[1].key).status is Status.OK


def _reported(task):
    return Report({}, None)


def test_an_attempt_whose_heartbeats_fail_is_made_all_the_same(monkeypatch):
    def fail(*told):
        raise ConnectionError("the head is gone")

    context = SimpleNamespace(get_node_id=lambda: "node")
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get_runtime_context=lambda: context))
    heartbeats = SimpleNamespace(report=SimpleNamespace(remote=fail))
    packed = pickle.dumps((_reported, [task(CELLS[0])]))
    ((node, _, returned),) = on_node()(packed, {}, "id", heartbeats)
    assert (node, returned) == ("node", Report({}, None))


def test_what_no_node_can_ever_give_is_refused_with_what_there_is(two_workers, monkeypatch):
    monkeypatch.setattr(two_workers, "_request", Request(cpus=1, gpus=64))
    with pytest.raises(UserError, match=r"asks for 1 CPUs and 64 GPUs, and no node has them: there are 2 CPUs"):
        two_workers._capacity()


SUITE = """
name: tiny
question: Does a killed run resume?
cost: seconds
protocol: {name: standard, steps: 60, batch_size: 32, lr: 0.01, cycle_steps: 5, keep: 0.8}
grid:
  - models: [{name: mlp, widths: [32]}]
    datasets: [digits]
    methods: [dtc, magnitude, random]
    solvers: [lars]
    sparsities: [0.5, 0.8]
    seeds: 2
"""


def command(suite, out):
    return [sys.executable, "-m", "dtcbench", "run", str(suite), "--out", str(out)]


def test_kill_9_of_driver_and_workers_repeats_nothing_finished_and_loses_nothing(tmp_path):
    suite, out = tmp_path / "tiny.yaml", tmp_path / "run"
    suite.write_text(textwrap.dedent(SUITE))
    first = subprocess.Popen(command(suite, out), stdout=subprocess.PIPE, text=True, start_new_session=True)
    finished = [line for _, line in zip(range(4), _finished(first.stdout), strict=False)]
    assert len(finished) == 4
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    sealed = {path: path.read_bytes() for path in (out / "records").glob("*.json")}
    assert 4 <= len(sealed) < 14
    damaged = min(sealed)
    damaged.write_bytes(sealed.pop(damaged)[:100])

    second = subprocess.run(command(suite, out), capture_output=True, text=True)

    assert second.returncode == 0, second.stdout + second.stderr
    assert f"14 cells, {14 - len(sealed)} to run" in second.stdout
    assert f"damaged record: {damaged}: truncated or not JSON" in second.stdout
    assert {path: path.read_bytes() for path in sealed} == sealed
    contents = Store(out).read()
    assert all(len(attempts) == 1 for attempts in contents.attempts.values())
    assert [len(contents.attempts), len(contents.damaged)] == [14, 0]
    assert list(out.rglob("*.tmp")) == []


def _finished(lines):
    return (line for line in lines if line.startswith("["))


def test_a_ray_of_ones_own_takes_a_short_folder_and_leaves_none(tmp_path):
    suite, out, deep = tmp_path / "tiny.yaml", tmp_path / "run", tmp_path / ("long" * 25)
    suite.write_text(textwrap.dedent(SUITE))
    deep.mkdir()
    with tempfile.TemporaryDirectory() as short:
        environment = os.environ | {"RAY_TMPDIR": str(deep), "TMPDIR": short}
        ended = subprocess.run(
            [*command(suite, out), "--workers", "1"], env=environment, capture_output=True, text=True, timeout=200
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert [path.name for path in Path(short).iterdir() if path.name.startswith("dtc-")] == []
