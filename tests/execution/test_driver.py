import contextlib
import os
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cells import cell, job, task

from dtcbench.errors import UserError
from dtcbench.execution import executor
from dtcbench.execution.driver import drawn_places, drive, to_run
from dtcbench.execution.executor import InlineExecutor
from dtcbench.execution.interrupts import Overtime, within
from dtcbench.execution.task import Outcome, Place, Task
from dtcbench.execution.watcher import Watcher
from dtcbench.execution.worker import attempt
from dtcbench.record import Status
from dtcbench.records.store import Store
from dtcbench.registry import Plugin

CELLS = tuple(cell(method, 0.0 if method == "dense" else 0.5) for method in ("dense", "dtc", "magnitude", "random"))
JOB = job()


class Diary(Watcher):
    """Writes down what it is told, and may do something about it."""

    def __init__(self, on_end=lambda record: None):
        self.records, self.finals, self.started_cells, self.stops, self.aside, self.notes = [], [], [], [], [], []
        self._on_end = on_end

    def started(self, cell):
        self.started_cells.append(cell)

    def ended(self, record, final):
        self.records.append(record)
        self.finals.append(final)
        self._on_end(record)

    def stopping(self, running):
        self.stops.append(running)

    def set_aside(self, host, reason):
        self.aside.append((host, reason))

    def noted(self, note):
        self.notes.append(note)


class Nodes:
    """An executor of two nodes; on the first, `bad`, no cell begins, and `alone` is whether there is no other."""

    slots, grace_s, close = 1, 0.0, None

    def __init__(self, alone=False):
        self._alone = alone

    def submit(self, task):
        self._task = task

    def begun(self):
        return []

    def notes(self):
        return []

    def nodes(self):
        return []

    def wait(self, timeout_s):
        if "bad" not in self._task.avoid:
            report = attempt(replace(self._task, job=job(plugins=(Plugin("none", "raise OSError('no data')"),))))
            return [Outcome(self._task, report, place=Place("bad", "rack-3", not self._alone))]
        return [Outcome(self._task, attempt(self._task), place=Place("good", "rack-4"))]


class Script:
    """An executor whose tasks come back as written down beforehand."""

    slots = 1
    grace_s = 0.0

    def __init__(self, *outcomes):
        self.outcomes, self.killed, self._tasks, self._news = list(outcomes), [], [], []
        self.released = []

    def submit(self, task):
        self._tasks.append(task)
        self._news.append(task)

    def wait(self, timeout_s):
        outcome = self.outcomes.pop(0)
        return [] if outcome is None else [Outcome(self._tasks.pop(0), *outcome)]

    def begun(self):
        news, self._news = self._news, []
        return news

    def notes(self):
        return []

    def nodes(self):
        return []

    def kill(self, task):
        self.killed.append(task)

    def release(self, lane):
        self.released.append(lane)

    def close(self):
        pass


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def run(store, cells=CELLS, executor=None, watcher=None, retry_failed=False, job=JOB):
    tasks = to_run(cells, store.read(), job, retry_failed=retry_failed)
    with store.locked() as writer:
        return drive(tasks, job, writer, executor or InlineExecutor(), watcher or Diary())


def accuracies(store):
    contents = store.read()
    return {c.key: contents.record(c.key).result.accuracy for c in CELLS}


def test_every_cell_leaves_a_sealed_record_and_a_second_run_has_nothing_to_do(store):
    assert set(run(store).values()) == {Status.OK}
    assert len(accuracies(store)) == len(CELLS)
    assert to_run(CELLS, store.read(), JOB, retry_failed=True) == []


def test_the_order_of_the_cells_does_not_change_their_accuracies(store, tmp_path):
    run(store)
    other = Store(tmp_path / "reversed")
    run(other, cells=CELLS[::-1])
    assert accuracies(other) == accuracies(store)


GPU_JOB = job(device="cuda")
OF_SEEDS = tuple(replace(one, seed=seed) for seed in range(20) for one in CELLS)


def test_the_order_of_a_lane_is_drawn_from_its_seed():
    places = drawn_places(OF_SEEDS, GPU_JOB)
    orders = [[places[one.key] for one in OF_SEEDS[4 * seed : 4 * seed + 4]] for seed in range(20)]
    assert all(sorted(order) == [1, 2, 3, 4] for order in orders)
    assert orders[:2] == [[1, 4, 3, 2], [1, 4, 2, 3]]
    assert {order.index(1) for order in orders} == {0, 1, 2, 3}  # any method may come first
    assert drawn_places(OF_SEEDS[4:8], GPU_JOB) == {one.key: places[one.key] for one in OF_SEEDS[4:8]}
    assert drawn_places(OF_SEEDS, JOB) == {}


def test_the_cells_of_a_lane_start_in_the_drawn_order_and_their_records_say_the_place(store):
    places = drawn_places(OF_SEEDS[:4], GPU_JOB)
    tasks = to_run(OF_SEEDS[:4], store.read(), GPU_JOB, places=places)
    with store.locked() as writer:
        drive(tasks, GPU_JOB, writer, Script(*[(None, Status.ERROR, "it broke")] * 4), watcher := Diary())
    assert [places[one.key] for one in watcher.started_cells] == [1, 2, 3, 4]
    assert {record.key: record.place for record in watcher.records} == places


def test_a_cell_whose_budget_others_decide_comes_last_in_its_lane():
    method = cell("dense-matched").method.of("dense-matched", 1, {"budget": "joules"}, {})
    budgeted = [replace(cell("dense-matched", sparsity), method=method) for sparsity in (0.5, 0.9)]
    places = drawn_places([*budgeted, *CELLS], GPU_JOB)
    assert sorted(places[one.key] for one in budgeted) == [5, 6]


def test_a_bad_node_costs_no_cell_and_is_named_and_gets_no_more(store):
    watcher = Diary()
    assert set(run(store, executor=Nodes(), watcher=watcher).values()) == {Status.OK}
    assert [record.status for record in watcher.records] == ["infra", *["ok"] * len(CELLS)]
    ((host, reason),) = watcher.aside
    assert (host, "no data" in reason) == ("rack-3", True)


def test_without_another_node_a_cell_that_does_not_begin_is_an_error(store):
    watcher = Diary()
    assert set(run(store, executor=Nodes(alone=True), watcher=watcher).values()) == {Status.ERROR}
    assert (len(watcher.records), watcher.aside) == (len(CELLS), [])


class Elsewhere(Script):
    """Real attempts, the odd ones on node `a` and the others on `b`; `changed` is what `b` makes of its record."""

    def __init__(self, changed):
        super().__init__()
        self._changed, self._number = changed, 0

    def wait(self, timeout_s):
        task, self._number = self._tasks.pop(0), self._number + 1
        on_a = self._number % 2 or "b" in task.avoid
        report = attempt(task)
        if not on_a:
            self._changed(report.record)
        return [Outcome(task, report, place=Place("a", "rack-1") if on_a else Place("b", "rack-2", has_others=True))]


def test_a_node_with_other_data_costs_no_cell_and_is_named_with_the_node_that_came_first(store):
    watcher = Diary()
    finished = run(
        store,
        executor=Elsewhere(lambda record: record["provenance"].update(dataset_sha256="f" * 64)),
        watcher=watcher,
    )
    assert set(finished.values()) == {Status.OK}
    assert [record.status for record in watcher.records] == ["ok", "infra", "ok", "ok", "ok"]
    ((host, reason),) = watcher.aside
    assert host == "rack-2"
    assert "SHA-256 ffffffffffff" in reason and "those of node rack-1 came first" in reason
    assert "rack" not in watcher.records[1].reason


@pytest.mark.parametrize(("shift_s", "told"), [(3600, "3600 s ahead of"), (-3600, "3600 s behind"), (1, None)])
def test_a_wrong_clock_of_a_node_is_told_once_and_its_records_have_the_drivers_time(store, shift_s, told):
    def shifted(record):
        moved = datetime.fromisoformat(record["started_at"]) + timedelta(seconds=shift_s)
        record["started_at"] = moved.isoformat(timespec="milliseconds")

    watcher, before = Diary(), datetime.now(UTC)
    run(store, executor=Elsewhere(shifted), watcher=watcher)
    notes = [f"node rack-2: its clock is {told} the driver's; set it. Its records have the driver's time"]
    assert watcher.notes == (notes if told else [])
    for record in watcher.records:
        assert before - timedelta(seconds=1) <= datetime.fromisoformat(record.started_at)
        assert datetime.fromisoformat(record.started_at) <= datetime.now(UTC) + timedelta(seconds=1)


def test_what_the_executor_has_to_say_is_noted(store):
    class Waiting(Script):
        def notes(self):
            return ["cells wait"]

    watcher = Diary()
    run(store, CELLS[:1], Waiting(None, (None, Status.ERROR, "it broke")), watcher)
    assert watcher.notes == ["cells wait"]  # asked for again after NOTES_S only


def test_a_lost_worker_is_tried_again_and_both_attempts_are_kept(store):
    real = InlineExecutor()

    class LosesTheFirst(Script):
        def wait(self, timeout_s):
            if self.outcomes:
                return super().wait(timeout_s)
            real.submit(self._tasks.pop(0))
            return real.wait(timeout_s)

    watcher = Diary()
    run(store, CELLS[:1], LosesTheFirst((None, Status.INFRA, "the node was switched off")), watcher)
    assert watcher.finals == [False, True]
    attempts = store.read().attempts[CELLS[0].key]
    assert [(a.attempt, a.status) for a in attempts] == [(1, "infra"), (2, "ok")]
    assert attempts[0].reason == "the node was switched off"


def test_a_failed_cell_is_a_record_and_is_tried_again_only_when_asked(store):
    run(store, CELLS[:1], Script((None, Status.ERROR, "it broke")))
    assert store.read().record(CELLS[0].key).reason == "it broke"
    assert to_run(CELLS[:1], store.read(), JOB) == []
    (again,) = to_run(CELLS[:1], store.read(), JOB, retry_failed=True)
    assert again.attempt == 2


@pytest.mark.parametrize("status", [Status.INFRA, Status.CANCELLED, Status.SKIPPED])
def test_an_end_that_says_nothing_about_the_cell_is_tried_again_by_the_next_run(store, status):
    run(store, CELLS[:1], Script(*[(None, status, "not its fault")] * 3))
    assert len(to_run(CELLS[:1], store.read(), JOB)) == 1


def test_a_cell_over_its_time_is_killed_and_says_how_long_it_had(store):
    script = Script(None)  # comes back with nothing, once
    run(store, CELLS[:1], script, job=job(timeout_s=0.0))
    record = store.read().record(CELLS[0].key)
    assert record.status is Status.TIMEOUT
    assert "timeout of 0 s" in record.reason
    assert [task.cell for task in script.killed] == [CELLS[0]]


def test_in_this_process_a_cell_ends_at_its_time_limit_and_the_next_one_runs(store, monkeypatch):
    finished = attempt(Task(CELLS[1], 1, JOB))

    def attempted(task, asked_to_stop):
        if task.cell is CELLS[1]:
            return finished
        with contextlib.suppress(Exception):  # as a network may that takes any error for its own
            while True:
                pass

    monkeypatch.setattr(executor, "attempt", attempted)
    run(store, CELLS[:2], InlineExecutor(), job=job(timeout_s=1.0))
    timed_out, other = (store.read().record(cell.key) for cell in CELLS[:2])
    assert (timed_out.status, other.status) == (Status.TIMEOUT, Status.OK)
    assert "timeout of 1 s" in timed_out.reason
    assert timed_out.wall_s >= 1


def test_a_time_limit_leaves_no_alarm_behind_and_the_callers_own_as_it_was():
    before = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        with pytest.raises(Overtime), within(0):
            threading.Event().wait(5)
        with within(300):
            pass
        assert 990 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before[1])
    assert signal.getsignal(signal.SIGALRM) == before[0]


def test_ctrl_c_once_finishes_what_runs_and_the_next_run_does_the_rest(store):
    def interrupt_once(record):
        if len(watcher.records) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    watcher = Diary(on_end=interrupt_once)
    run(store, watcher=watcher)
    assert len(watcher.records) == 2  # the second had started before the first was sealed
    assert watcher.stops == [1]
    assert len(to_run(CELLS, store.read(), JOB)) == 2


def test_after_ctrl_c_nothing_starts_though_what_runs_ends(store):
    class Interrupted(InlineExecutor):
        def wait(self, timeout_s):
            os.kill(os.getpid(), signal.SIGINT)
            return super().wait(timeout_s)

    watcher = Diary()
    run(store, executor=Interrupted(), watcher=watcher)
    assert len(watcher.records) == 1
    assert watcher.stops == [0]


def test_ctrl_c_twice_records_what_ran_as_cancelled_and_the_next_run_does_it(store):
    class Interrupted(Script):
        def wait(self, timeout_s):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            return []

    with pytest.raises(KeyboardInterrupt):
        run(store, CELLS[:2], Interrupted())
    assert store.read().record(CELLS[0].key).status is Status.CANCELLED
    (again, other) = to_run(CELLS[:2], store.read(), JOB)
    assert [(again.attempt, again.cell), (other.attempt, other.cell)] == [(2, CELLS[0]), (1, CELLS[1])]


def test_ctrl_c_twice_stops_at_once(store):
    def interrupt_twice(record):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(store, watcher=Diary(on_end=interrupt_twice))
    assert [store.read().record(c.key).status for c in CELLS[:2]] == [Status.OK, Status.CANCELLED]
    assert len(store.read().attempts) == 2
    assert signal.getsignal(signal.SIGINT) is before


# failing over


def test_a_run_in_which_too_many_cells_fail_starts_no_more_and_says_why(store):
    script = Script((None, Status.ERROR, "it broke"), (None, Status.ERROR, "again"))
    finished = run(store, executor=script, job=job(fail_over=0.25))
    assert list(finished.values()) == [Status.ERROR, Status.ERROR]
    skipped = [store.read().record(c.key) for c in CELLS[2:]]
    assert [record.status for record in skipped] == [Status.SKIPPED] * 2
    assert skipped[0].reason == "2 of 4 cells failed, more than --fail-over 0.25"
    assert [task.cell for task in to_run(CELLS, store.read(), JOB)] == list(CELLS[2:])


def test_a_run_with_few_enough_failures_goes_on(store):
    script = Script(*[(None, Status.ERROR, "it broke")] * 4)
    assert len(run(store, executor=script, job=job(fail_over=1.0))) == 4


def test_a_cluster_that_is_lost_leaves_what_ran_to_be_tried_again(store):
    class Lost(Script):
        def wait(self, timeout_s):
            raise UserError("the cluster's head does not answer")

    with pytest.raises(UserError, match="does not answer"):
        run(store, executor=Lost())
    record = store.read().record(CELLS[0].key)
    assert (record.status, record.reason) == (Status.INFRA, "the cluster's head does not answer")
    assert len(to_run(CELLS, store.read(), JOB)) == len(CELLS)


def test_a_cell_killed_for_its_nodes_memory_is_tried_once_more(store):
    finished = run(store, CELLS[:1], Script(*[(None, Status.OOM, "the node's memory ran out")] * 2))
    assert list(finished.values()) == [Status.OOM]
    assert [a.attempt for a in store.read().attempts[CELLS[0].key]] == [1, 2]


def test_a_lane_gives_its_gpu_back_after_its_last_cell(store):
    script = Script(*[(None, Status.ERROR, "it broke")] * 4)
    run(store, executor=script, job=job(device="cuda"))
    assert script.released == [task(CELLS[0], "cuda").lane]
