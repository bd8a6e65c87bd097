"""Faults of nodes, workers, memory, disk and driver: every planned cell ends in one state, the others unharmed."""

import queue
import re
import subprocess
import threading
from collections import deque
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from cells import cell, job, task, timeless
from drivers import Driver
from mishaps import MISHAPS, mishap, pid_of, release, unharmed
from rack import Rack

from dtcbench.errors import UserError
from dtcbench.execution import cluster, ray_executor
from dtcbench.execution.driver import drive, to_run
from dtcbench.execution.executor import InlineExecutor
from dtcbench.execution.ray_executor import RayExecutor
from dtcbench.execution.watcher import Watcher
from dtcbench.plan.request import Request
from dtcbench.records.store import Store, StoreError
from dtcbench.registry import Plugin
from dtcbench.report.cell_view import attempt_lines

pytestmark = pytest.mark.cluster

OTHERS = tuple(cell("random", seed=seed) for seed in range(3))
LOST_ONCE = ((1, "infra"), (2, "ok"))
TIMEOUT = ((1, "timeout"),)


class Heard(Watcher):
    """Hands on every record as it is sealed."""

    def __init__(self):
        self.records, self.aside = queue.SimpleQueue(), []

    def set_aside(self, host, reason):
        self.aside.append((host, reason))

    def ended(self, record, final):
        self.records.put(record)


@pytest.fixture(scope="module")
def rack():
    rack = Rack(nodes=2)
    yield rack
    rack.close()


@pytest.fixture(scope="module")
def connected(rack):
    executor = RayExecutor(Request(cpus=1), address=rack.address)
    assert executor.workers == 2
    yield executor
    executor.close()


@pytest.fixture
def executor(rack, connected):
    while len(rack.nodes) < 2:
        rack.add()
    return connected


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What is true of each cell when nothing happens to it."""
    MISHAPS.load()
    contents = run(tmp_path_factory.mktemp("undisturbed"), InlineExecutor(), (*OTHERS, unharmed()))
    return {key: timeless(contents.record(key).result) for key in contents.attempts}


def run(folder, executor, cells, watcher=None, timeout_s=None, plugins=(MISHAPS,), checkpoint_s=None):
    store = Store(folder)
    with store.locked() as writer:
        the_job = replace(job(timeout_s, plugins), checkpoint_s=checkpoint_s, run=str(folder))
        contents = store.read()
        writer.prepare_checkpoints(contents)
        drive(to_run(cells, contents, the_job), the_job, writer, executor, watcher or Heard())
    return store.read()


def run_beside(folder, executor, cells, saboteur, checkpoint_s=None):
    """Run the cells while `saboteur(heard)` runs in a thread, and see that it came to its end."""
    heard, end = Heard(), queue.SimpleQueue()
    threading.Thread(target=lambda: end.put(saboteur(heard)), daemon=True).start()  # none that hangs holds up the test
    contents = run(folder, executor, cells, heard, checkpoint_s=checkpoint_s)
    end.get(timeout=30)
    return contents


def ends(contents, the_cell):
    return tuple((record.attempt, record.status) for record in contents.attempts[the_cell.key])


def assert_whole(contents, harmed, undisturbed):
    """Every cell ended once; the harmed ones as expected, the others at once and with their own numbers."""
    assert not contents.damaged
    assert set(contents.attempts) == {the_cell.key for the_cell in (*harmed, *OTHERS)}
    for other in OTHERS:
        assert ends(contents, other) == ((1, "ok"),)
        assert timeless(contents.record(other.key).result) == undisturbed[other.key]
    for the_cell, expected in harmed.items():
        assert ends(contents, the_cell) == expected
        if expected[-1][1] == "ok":
            assert timeless(contents.record(the_cell.key).result) == undisturbed[unharmed().key]


# workers


def test_a_worker_that_dies_however_it_dies_costs_one_attempt_and_no_cell(tmp_path, executor, undisturbed):
    harmed = [mishap(what, tmp_path / what) for what in ("kill", "exit", "segfault")]
    contents = run(tmp_path / "run", executor, (*harmed, *OTHERS))
    assert_whole(contents, dict.fromkeys(harmed, LOST_ONCE), undisturbed)
    for the_cell in harmed:
        assert "the worker was lost" in contents.attempts[the_cell.key][0].reason


def test_a_node_that_joins_without_the_data_costs_no_cell_and_gets_no_more(tmp_path, rack, executor):
    code = "import os\nif os.environ.get('WITHOUT_DATA'):\n    raise FileNotFoundError('no data here')\n"
    bad, heard, cells = rack.add(WITHOUT_DATA="1"), Heard(), tuple(cell("random", seed=seed) for seed in range(8))
    executor.workers = 3
    try:
        contents = run(tmp_path, executor, cells, heard, plugins=(Plugin("needs-data", code),))
    finally:
        executor.workers = 2
        rack.power_off(bad)
    assert {contents.record(one.key).status for one in cells} == {"ok"}
    ((_, reason),) = heard.aside
    assert "no data here" in reason


class Unreadable:
    """What only the driver can read, as if it were of its newer dtcbench."""

    def __reduce__(self):
        return __import__, ("of_a_newer_dtcbench",)


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ({"needed": lambda cell: {"dtcbench": "0.0.0"}}, r"its node has dtcbench .* and not 0\.0\.0"),
        ({"needed": lambda cell: {"timm": "of the driver"}}, r"its node has timm .* and not of the driver"),
        ({"_work": Unreadable()}, r"its node cannot read the cell \(ModuleNotFoundError: .*of_a_newer.*\); install"),
    ],
)
def test_a_node_that_cannot_run_the_drivers_cells_refuses_its_first_task(executor, monkeypatch, lacking, told):
    for name, value in lacking.items():
        monkeypatch.setattr(executor if name == "_work" else ray_executor, name, value)
    executor.submit(task(cell("random")))
    (outcome,) = executor.wait(60)
    assert (outcome.status, outcome.unfit, outcome.place.has_others) == ("infra", True, True)
    assert re.fullmatch(told + ".*", outcome.reason)


def test_cells_that_no_node_can_run_say_what_they_wait_for_once(executor, monkeypatch):
    nodes = {node["NodeID"] for node in executor._ray.nodes()}
    submitted = ray_executor._Block(deque([replace(task(cell("random")), avoid=frozenset(nodes))]), "id")
    monkeypatch.setattr(executor, "_submitted", {"reference": submitted})
    assert re.match(r"cells wait: .* can begin no such cell, as was said, .*Ctrl-C ends the run", *executor.notes())
    assert executor.notes() == []
    monkeypatch.setattr(executor, "_request", Request(cpus=1, gpus=1, accelerator="H100"))
    assert re.search(r"of kind H100, and no node has them: there are . CPUs and 0 GPUs;", *executor.notes())
    submitted.begun = True
    assert executor.notes() == []


@pytest.fixture
def warm(tmp_path, executor):
    """Both nodes have a worker that has imported everything: a time limit counts from before that."""
    waiting = [mishap("wait", tmp_path / f"warm-{number}") for number in range(2)]

    def let_both_go(heard):
        for number in range(2):
            pid_of(tmp_path / f"warm-{number}")
        for number in range(2):
            release(tmp_path / f"warm-{number}")

    run_beside(tmp_path / "warm", executor, waiting, let_both_go)
    return executor


def test_a_cell_that_hangs_even_with_the_lock_is_a_timeout_with_its_stack_and_not_tried_again(
    tmp_path, warm, undisturbed
):
    harmed = [mishap(what, tmp_path / what) for what in ("hang", "hang-with-lock")]
    contents = run(tmp_path / "run", warm, (*OTHERS, *harmed), timeout_s=5.0)
    assert_whole(contents, dict.fromkeys(harmed, TIMEOUT), undisturbed)
    for the_cell in harmed:
        assert "in scores" in contents.record(the_cell.key).detail
        assert "timeout of 5 s" in contents.record(the_cell.key).reason


def test_what_the_cell_itself_does_wrong_has_its_own_status_and_reason_and_is_not_tried_again(
    tmp_path, executor, undisturbed
):
    lacking, failing = (mishap(what, tmp_path / what) for what in ("device-memory", "exception"))
    diverging = cell("dense", 0.0, lr=1e30)
    expected = {lacking: ((1, "oom"),), failing: ((1, "error"),), diverging: ((1, "diverged"),)}
    contents = run(tmp_path / "run", executor, (*expected, *OTHERS))
    assert_whole(contents, expected, undisturbed)
    reasons = [contents.record(the_cell.key).reason for the_cell in expected]
    assert "CUDA out of memory" in reasons[0]
    assert reasons[1] == "ValueError: the method gave up"
    assert "lower the learning rate" in reasons[2]


# nodes


def test_a_killed_raylet_costs_one_attempt_and_no_cell(tmp_path, rack, executor, undisturbed):
    harmed = mishap("wait", tmp_path / "harm")

    def kill(heard):
        rack.kill_raylet(rack.node_of(pid_of(tmp_path / "harm")))

    contents = run_beside(tmp_path / "run", executor, (harmed, *OTHERS), kill)
    assert_whole(contents, {harmed: LOST_ONCE}, undisturbed)


def test_the_cell_of_a_node_powered_off_in_mid_cell_goes_on_from_its_checkpoint_on_another(
    tmp_path, rack, executor, undisturbed
):
    harmed = mishap("wait", tmp_path / "harm")

    def power_off(heard):
        rack.power_off(rack.node_of(pid_of(tmp_path / "harm")))

    contents = run_beside(tmp_path / "run", executor, (harmed, *OTHERS), power_off, checkpoint_s=1e-6)
    assert_whole(contents, {harmed: LOST_ONCE}, undisturbed)
    record = contents.record(harmed.key)
    first, second = record.parts
    assert (first.step, second.step, record.continued_at) == (0, 4, 4)
    assert first.node != second.node
    assert attempt_lines(contents.attempts[harmed.key])[1].endswith(
        f" s, from step 0 on node {first.node}, from step 4 on node {second.node}"
    )


def test_a_frozen_node_costs_one_attempt_and_once_thawed_nothing_more(tmp_path, rack, executor, undisturbed):
    harmed = mishap("wait", tmp_path / "harm")
    last = mishap("wait", tmp_path / "last")
    frozen = []

    def freeze_and_thaw(heard):
        zombie = pid_of(tmp_path / "harm")
        pid_of(tmp_path / "last")
        node = rack.node_of(zombie)
        frozen.append(node)
        rack.freeze(node)
        lost = heard.records.get()
        assert (lost.key, lost.status) == (harmed.key, "infra")
        release(tmp_path / "harm")
        rack.thaw(node)
        rack.wait_for_exit(zombie)  # Ray ends it alone, and its node works again, or with the node if that was given up
        release(tmp_path / "last")

    contents = run_beside(tmp_path / "run", executor, (harmed, last, *OTHERS), freeze_and_thaw)
    rack.power_off(*frozen)
    assert_whole(contents, {harmed: LOST_ONCE, last: ((1, "ok"),)}, undisturbed)


def test_the_late_result_of_an_attempt_that_was_given_up_for_its_silence_is_ignored(
    tmp_path, executor, undisturbed, monkeypatch
):
    harmed = mishap("wait", tmp_path / "harm")
    last = mishap("wait", tmp_path / "last")
    late = []
    monkeypatch.setattr(executor._ray, "cancel", lambda reference, force: None)  # as if it never got there

    def cut_off_and_deliver(heard):
        pid_of(tmp_path / "harm")
        pid_of(tmp_path / "last")
        ((reference, zombie),) = [(r, f) for r, f in executor._submitted.items() if f.task.cell == harmed]
        monkeypatch.setattr(executor, "_query", lambda: {zombie.id: ("a node that is gone", 121.0)})
        lost = heard.records.get()
        assert (lost.key, lost.status) == (harmed.key, "infra")
        release(tmp_path / "harm")
        _, _, report = executor._ray.get(next(reference), timeout=60)
        late.append(report.record)
        release(tmp_path / "last")

    contents = run_beside(tmp_path / "run", executor, (harmed, last, *OTHERS), cut_off_and_deliver)
    assert_whole(contents, {harmed: LOST_ONCE, last: ((1, "ok"),)}, undisturbed)
    assert [(record["key"], record["attempt"], record["status"]) for record in late] == [(harmed.key, 1, "ok")]
    assert "no heartbeat for 121 s" in contents.attempts[harmed.key][0].reason


def test_a_cell_that_holds_the_lock_without_a_time_limit_is_a_timeout_and_not_blamed_on_its_node(
    tmp_path, executor, monkeypatch
):
    monkeypatch.setattr(executor, "_silence_s", 5.0)
    harmed = mishap("hang-with-lock", tmp_path / "harm")
    contents = run(tmp_path / "run", executor, (harmed,))
    assert ends(contents, harmed) == TIMEOUT
    assert "but its node is alive: it hangs" in contents.record(harmed.key).reason


def test_the_process_of_the_heartbeats_is_restarted_and_the_run_goes_on(tmp_path, rack, executor, undisturbed):
    waiting = mishap("wait", tmp_path / "waiting")

    def kill_the_heartbeats(heard):
        pid_of(tmp_path / "waiting")
        rack.kill_process(rack.heartbeats)
        executor._query()
        release(tmp_path / "waiting")

    contents = run_beside(tmp_path / "run", executor, (waiting, *OTHERS), kill_the_heartbeats)
    assert_whole(contents, {waiting: ((1, "ok"),)}, undisturbed)


# memory


@pytest.fixture
def small_node(rack, connected):
    """The only node: it kills what makes the machine's memory fill by 4 GiB more, which nothing beside it does."""
    used, total = rack.memory()
    if total - used < 6 * 2**30:
        pytest.skip("needs 6 GiB of free memory")
    for node in list(rack.nodes):
        rack.power_off(node)
    rack.add(RAY_memory_usage_threshold=f"{(used + 4 * 2**30) / total:.3f}", RAY_memory_monitor_refresh_ms="100")
    yield
    for node in list(rack.nodes):
        rack.power_off(node)


def test_a_cell_that_eats_its_nodes_memory_is_killed_tried_once_more_and_oom(
    tmp_path, small_node, connected, undisturbed
):
    harmed = mishap("eat", tmp_path / "harm", times=9)
    contents = run(tmp_path / "run", connected, (harmed, *OTHERS))
    assert_whole(contents, {harmed: ((1, "oom"), (2, "oom"))}, undisturbed)
    assert "the node's memory ran out" in contents.record(harmed.key).reason


# disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for a few records."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    while subprocess.run(["umount", "--lazy", disk], capture_output=True).returncode == 0:
        """As often as it was mounted."""


MANY = tuple(cell("random", seed=seed) for seed in range(16))


def test_a_full_disk_ends_the_run_with_the_remedy_and_with_room_the_next_run_does_the_rest(small_disk):
    with pytest.raises(StoreError, match=r"No space left on device; free space or choose another folder"):
        run(small_disk / "run", InlineExecutor(), MANY)
    sealed = Store(small_disk / "run").read()
    assert 0 < len(sealed.attempts) < len(MANY)
    assert not sealed.damaged
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    contents = run(small_disk / "run", InlineExecutor(), MANY)
    assert [ends(contents, the_cell) for the_cell in MANY] == [((1, "ok"),)] * len(MANY)
    assert list(small_disk.rglob("*.tmp")) == []


class WritesEndAfterTheFirstRecord(Heard):
    """Covers the disk by a read-only view of itself."""

    def __init__(self, disk):
        self._disk = disk

    def ended(self, record, final):
        for options in (["--bind", self._disk, self._disk], ["-o", "remount,bind,ro", self._disk]):
            subprocess.run(["mount", *options], check=True)


def test_a_disk_that_becomes_read_only_ends_the_run_with_the_remedy_and_writable_it_resumes(small_disk):
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    with pytest.raises(StoreError, match=r"Read-only file system; free space or choose another folder"):
        run(small_disk / "run", InlineExecutor(), OTHERS, WritesEndAfterTheFirstRecord(small_disk))
    assert [len(attempts) for attempts in Store(small_disk / "run").read().attempts.values()] == [1]
    with pytest.raises(StoreError, match="choose another folder with --out"):
        run(small_disk / "run", InlineExecutor(), OTHERS)
    subprocess.run(["umount", "--lazy", small_disk], check=True)
    contents = run(small_disk / "run", InlineExecutor(), OTHERS)
    assert [ends(contents, the_cell) for the_cell in OTHERS] == [((1, "ok"),)] * len(OTHERS)


# the driver


def test_a_driver_on_a_machine_without_a_node_is_refused_with_the_line_that_starts_one(rack, monkeypatch):
    import ray
    from ray._private import services

    assert cluster._has_node_here(rack.address)
    monkeypatch.setattr(services, "find_node_ids", lambda: {"of another cluster"})
    monkeypatch.setattr(cluster, "_callers", lambda: nullcontext(None))
    monkeypatch.setattr(cluster, "_started", lambda start, environment: start(ray))
    line = f"`ray start --address={rack.address} --num-cpus=0 --num-gpus=0`"
    with pytest.raises(UserError, match=line), cluster.joined_ray(rack.address):
        pass


def test_a_driver_killed_ten_times_at_any_moment_leaves_what_an_undisturbed_run_leaves(tmp_path, rack, executor):
    """A moment that takes a quarter of a cell's time is hit with a probability of 1 − 0.75¹⁰ = 94 %."""
    cells = tuple(cell("random", seed=seed) for seed in range(24))
    chance = np.random.default_rng(5)
    for number in range(10):
        over_ray = number % 5 == 4
        driver = Driver(tmp_path / "run", cells, rack.address if over_ray else None)
        driver.has_started_a_cell(
            within_s=chance.choice([0.2, 60.0])
        )  # soon after its start, or once a cell has started
        assert driver.join(chance.uniform(0, 2.0 if over_ray else 0.25)) is None, "it was done before it was killed"
        driver.kill()
    survivor = Driver(tmp_path / "run", cells, rack.address)
    assert survivor.join() == 0
    killed, calm = Store(tmp_path / "run").read(), run(tmp_path / "calm", InlineExecutor(), cells, plugins=())
    assert not killed.damaged
    assert {key: timeless(killed.record(key)) for key in killed.attempts} == {
        key: timeless(calm.record(key)) for key in calm.attempts
    }
    assert all(len(attempts) == 1 for attempts in killed.attempts.values())
