"""What a run says of itself while it runs: cells, nodes, boards, pace and failures, in a file beside its records."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from cells import cell, job, task
from test_joule_budget import TRACE
from upath import UPath

from dtcbench.execution.live import Live, written
from dtcbench.execution.task import ActiveNode, Job
from dtcbench.plan.metering import Metering
from dtcbench.plan.request import Request
from dtcbench.record import Energy, PowerTrace, Status
from dtcbench.records.location import StoreError
from dtcbench.records.snapshot import Follower, Snapshot
from dtcbench.records.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
CELLS = tuple(cell("magnitude", seed=seed) for seed in range(4))
ON_GPUS = Job("tiny", "cuda", Request(1, 1.0), Metering())


class Clock:
    """A time that moves when it is told to."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def passes(self, seconds):
        self.now += timedelta(seconds=seconds)


def ended(the_cell, status=Status.ERROR, **measured):
    return task(the_cell).record(status, "it broke", START.isoformat(), 1.0, **measured)


def metered(joules, window_s=10.0, repeats=2, uuid="GPU-0"):
    """The energy of a training that used so many joules, `repeats` times in the window; None if nothing was read."""
    trace = PowerTrace.model_validate({**TRACE, "gpu_uuid": uuid})
    known = {"energy_j": joules, "trace": trace} if joules else {}
    missing = dict.fromkeys({"energy_j", "trace", "cross_check_pct", "quantisation_j", "cpu_energy_j", "trace_sha256"})
    return Energy.model_validate(
        {"method": "counter", "scope": "gpu", "window_s": window_s, "repeats": repeats, "flags": [], **missing, **known}
        | {"reasons": dict.fromkeys([*missing, "repeat_spread_j", "cpu_shared_energy_j"], "no meter")}
    )


def running(the_job=job(), earlier=None, cells=10):  # noqa: B008 - a frozen value
    clock = Clock()
    live = Live(the_job, Counter(earlier), clock)
    live.planned("tiny", cells, cells)
    return live, clock


def test_the_pace_and_the_time_left_are_those_of_the_cells_that_ended_in_this_run():
    live, clock = running(earlier={Status.OK: 4})
    assert live.snapshot().cells_per_hour is None
    assert live.snapshot().reasons["left_s"] == "no cell has ended yet"
    for the_cell in CELLS[:2]:
        live.started(the_cell)
        clock.passes(30)
        live.ended(ended(the_cell), final=True)
    seen = live.snapshot()
    assert (seen.statuses, seen.ended, seen.cells_per_hour, seen.left_s) == ({"ok": 4, "error": 2}, 6, 120.0, 120.0)
    live.stopping(1)
    assert (live.snapshot().state, live.snapshot().reasons["left_s"]) == ("stopping", "no more cells start")


def test_cells_are_seen_to_wait_to_run_on_a_node_and_to_fail_there():
    live, _ = running()
    nodes = [ActiveNode("rack-1", {"CPU": 8.0, "GPU": 2.0, "accelerator_type:H200": 1.0}, ())]
    live.nodes([*nodes, ActiveNode("rack-2", {"CPU": 4.0}, ())])
    for the_cell in CELLS[:3]:
        live.started(the_cell)
    live.placed(CELLS[0], "rack-1")
    live.placed(CELLS[1], "rack-2")
    assert [one.host for one in live.snapshot().under_way] == ["rack-1", "rack-2", ""]
    live.ended(ended(CELLS[0], Status.INFRA), final=False)
    live.ended(ended(CELLS[1]), final=True)
    live.set_aside("rack-1", "has no data")
    live.nodes(nodes)
    seen = live.snapshot()
    first, second = seen.nodes
    assert (first.host, first.gpus, first.kind, first.failed, first.set_aside) == (
        *("rack-1", 2, "H200", 1),
        "has no data",
    )
    assert (second.host, second.is_there, second.ended, second.failed) == ("rack-2", False, 1, 1)
    assert [(one.host, one.is_final) for one in seen.failures] == [("rack-2", True), ("rack-1", False)]
    assert (seen.statuses, len(seen.under_way), seen.gpus) == ({"error": 1}, 1, 2)


def test_watts_are_those_of_the_latest_training_on_each_board_that_a_cell_runs_on():
    live, _ = running(ON_GPUS)
    first, second = cell("magnitude", seed=0), cell("random", seed=0)  # one lane, so one board
    live.started(first)
    live.ended(ended(first, energy=metered(1500.0)), final=True)
    assert [(board.watts, board.in_use) for board in live.snapshot().boards] == [(300.0, False)]
    assert live.snapshot().watts is None
    live.started(second)
    assert live.snapshot().watts == 300.0
    live.started(CELLS[1])
    live.ended(ended(CELLS[1], energy=metered(None)), final=True)
    assert live.snapshot().watts == 300.0


def test_without_a_meter_there_are_no_watts_and_the_record_says_why():
    live, _ = running(ON_GPUS)
    live.ended(ended(CELLS[0], energy=metered(None)), final=True)
    assert live.snapshot().reasons["watts"] == "no meter"


@pytest.mark.parametrize("is_far", [False, True])
def test_the_file_says_how_the_run_stands_as_long_as_it_runs_and_that_it_ended(is_far, tmp_path):
    store = Store(UPath(f"memory://{tmp_path.name}") if is_far else tmp_path)
    live, clock = running()
    with store.locked() as writer, pytest.raises(KeyboardInterrupt), written(live, writer):
        assert store.snapshot() == live.snapshot()
        assert store.snapshot().state == "running"
        clock.passes(5)
        raise KeyboardInterrupt
    assert (store.snapshot().state, store.snapshot().running_s) == ("ended", 5.0)


def test_a_snapshot_that_cannot_be_written_does_not_end_the_run(tmp_path):
    (tmp_path / "snapshot.json").mkdir()
    with Store(tmp_path).locked() as writer, written(running()[0], writer):
        pass
    assert (tmp_path / "snapshot.json").is_dir()


def test_a_run_leaves_its_last_snapshot(tiny_workplace):
    seen = Store(tiny_workplace / "runs/tiny").snapshot()
    assert (seen.suite, seen.state, seen.cells, seen.statuses) == ("tiny", "ended", 3, {"ok": 3})
    [node] = seen.nodes
    assert (node.ended, node.failed) == (3, 0)


class Told:
    """A store whose snapshot was written at a time that a test sets."""

    root = "runs/tiny"

    def __init__(self, written_at):
        self.written_at = written_at

    def snapshot(self):
        live, clock = running()
        clock.now = self.written_at
        return live.snapshot()


def test_silence_is_measured_by_the_watchers_own_clock_once_it_has_looked():
    here, store = Clock(), Told(START - timedelta(seconds=40))
    follower = Follower(store, clock=lambda: (here.now - START).total_seconds(), now=here)
    assert follower.look()[1] == 40.0  # all that there is to go by
    here.passes(2)
    assert follower.look()[1] == 42.0
    store.written_at = START + timedelta(hours=1)  # the other host's clock is wrong
    assert follower.look()[1] == 0.0
    here.passes(3)
    assert follower.look()[1] == 3.0


def test_a_run_of_which_nothing_is_seen_says_what_else_counts_its_records(tmp_path):
    with pytest.raises(StoreError, match=r"`dtcbench status .*` counts its records"):
        Follower(Store(tmp_path)).look()


def test_a_snapshot_survives_its_file():
    live, _ = running(ON_GPUS)
    live.ended(ended(CELLS[0], energy=metered(1500.0)), final=True)
    assert Snapshot.model_validate_json(live.snapshot().model_dump_json()) == live.snapshot()
