"""Cells that train for the joules that dtc used: they come last, and what was measured says how long they train."""

from dataclasses import replace

import pandas as pd
import pytest
from cells import cell, job

from dtcbench.execution.driver import drive, to_run
from dtcbench.execution.scheduler import Scheduler
from dtcbench.execution.task import Outcome, Report, Task
from dtcbench.execution.watcher import Watcher
from dtcbench.execution.worker import attempt
from dtcbench.plan.joule_budget import Givers, givers, steps_for_joules
from dtcbench.plan.rehearsal import rehearsal
from dtcbench.plan.suite import parse
from dtcbench.publish.reproduce import rerun
from dtcbench.publish.rules import of_budgets
from dtcbench.record import PowerTrace, Status
from dtcbench.records.store import Store

DENSE, DTC = cell("dense", 0.0), cell("dtc", 0.5)
MATCHED = replace(
    cell("dense-matched", 0.5), method=cell("dense-matched").method.of("dense-matched", 1, {"budget": "joules"}, {})
)
CELLS = (MATCHED, DENSE, DTC)
JOB = job()
JOULES = {DENSE.key: 600.0, DTC.key: 455.0, MATCHED.key: 450.0}
"""Of 60 steps of dense: 45.5 steps' worth for dtc."""


_SEEN = {
    "device": "FAKE",
    "simulated": True,
    "interval_s": 0.025,
    "samples": 9,
    "longest_gap_s": 0.0,
    "read_errors": {},
}
_SEEN |= {"phases": [], "cool_down_s": 0.0, "sampler_cpu_pct": 0.0, "boards": []}
_UNSEEN = [name for name in PowerTrace.model_fields if name not in (*_SEEN, "gpu_uuid", "reasons")]
TRACE = _SEEN | dict.fromkeys(_UNSEEN) | {"reasons": dict.fromkeys(_UNSEEN, "nobody looked")}


class Metered:
    """An executor of one cell at a time whose meter says what `joules` holds, by key; None is not measured."""

    grace_s = 0.0
    slots = 1

    def __init__(self, joules=None, flags=(), boards=None):
        self.joules, self.flags, self.tasks, self.waiting = JOULES | (joules or {}), list(flags), [], []
        self.boards = boards or {}

    def submit(self, task):
        self.tasks.append(task)
        self.waiting.append(task)

    def wait(self, timeout_s):
        task = self.waiting.pop(0)
        record = attempt(task).record
        if (joules := self.joules[task.key]) is not None:
            trace = {**TRACE, "gpu_uuid": self.boards.get(task.key, "GPU-0")}
            record["energy"] |= {"energy_j": joules, "flags": self.flags, "method": "counter", "trace": trace}
            for name in ("energy_j", "trace"):
                record["energy"]["reasons"].pop(name)
        return [Outcome(task, Report(record, None))]

    def begun(self):
        return []

    def notes(self):
        return []

    def nodes(self):
        return []

    def release(self, lane):
        pass


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def run(store, executor, cells=CELLS, lane="one"):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "lane", property(lambda task: lane))
        tasks = to_run(cells, store.outlines(), JOB, givers=givers(CELLS))
        with store.locked() as writer:
            drive(tasks, JOB, writer, executor, Watcher())
    return store.read().record(MATCHED.key)


def test_the_first_dtc_of_the_seed_and_sparsity_gives_the_joules():
    others = [cell("dtc", 0.75), cell("dtc", 0.5, seed=1), cell("dtc", 0.5, lr=0.1), cell("dtc", 0.5, solver="scs")]
    assert givers([*others[:3], *CELLS, others[3]]) == {MATCHED.key: Givers(DENSE.key, DTC.key)}
    assert givers([DENSE, MATCHED, *others[:3]]) == {}


def test_as_many_steps_as_dense_takes_for_those_joules(store):
    executor = Metered()
    record = run(store, executor)
    assert [task.key for task in executor.tasks] == [DENSE.key, DTC.key, MATCHED.key]
    assert steps_for_joules(455.0, 600.0, 60) == record.result.steps == 45
    assert record.result.cycles[0].loss == store.read().record(DENSE.key).result.cycles[0].loss


def test_a_run_that_goes_on_takes_the_joules_from_its_records(store):
    run(store, Metered(), cells=(DENSE, DTC))
    assert run(store, Metered(), cells=(MATCHED,)).result.steps == 45


def test_it_is_trained_again_for_the_steps_of_its_record(store):
    record = run(store, Metered())
    again = rerun(record)
    assert (again.result.steps, again.result.accuracy) == (45, record.result.accuracy)


@pytest.mark.parametrize(
    ("joules", "flags", "boards", "reason"),
    [
        (
            {DTC.key: None},
            (),
            {},
            f"its budget is the joules of cell {DTC.key[:12]} (dtc), which are not known: the cell",
        ),
        ({}, ["coarse"], {}, f"cell {DENSE.key[:12]} (dense), which are not known: they are barred: coarse against"),
        ({DTC.key: 5.0}, (), {}, "its budget of 5 J is less than one step of dense takes"),
        ({}, (), {DTC.key: "GPU-1"}, "which do not compare: other boards (GPU-0, GPU-1)"),
    ],
)
def test_without_joules_it_is_not_run_and_says_why(store, joules, flags, boards, reason):
    executor = Metered(joules, flags, boards)
    record = run(store, executor)
    assert record.status is Status.ERROR
    assert reason in record.reason
    assert len(executor.tasks) == 2


def test_alone_it_has_nobodys_joules(store):
    record = run(store, Metered(), cells=(MATCHED,))
    assert (record.status, record.reason.rpartition(": ")[2]) == (Status.SKIPPED, "it has not been run")


def test_it_starts_after_a_lost_cell_of_its_lane_was_tried_again(monkeypatch):
    monkeypatch.setattr(Task, "lane", property(lambda task: "one"))
    state = Scheduler([Task(c, 1, JOB, givers(CELLS).get(c.key)) for c in CELLS], 1)
    started = []
    while not state.done:
        (task,) = state.start()
        started.append((task.cell, task.attempt))
        state.ended(task, Status.INFRA if len(started) == 1 else Status.OK, by="node")
    assert started == [(DENSE, 1), (DTC, 1), (DENSE, 2), (MATCHED, 1)]


@pytest.mark.parametrize(
    ("steps", "joules", "board", "said"),
    [
        (45, 455.0, "GPU-0", []),
        (45, 455.0, "GPU-1", ["the joules of dense and dtc do not compare: other boards (GPU-0, GPU-1)"]),
        (44, 455.0, "GPU-0", ["44 steps, and its budget of 455 J allows 45"]),
        (45, float("nan"), None, ["the joules that are its budget were not measured; run the suite with a meter"]),
    ],
)
def test_check_holds_the_steps_to_the_joules(steps, joules, board, said):
    cells = pd.DataFrame(
        {
            "key": [DENSE.key, DTC.key, MATCHED.key],
            "status": "ok",
            "energy_j": [600.0, joules, 450.0],
            "steps": [60, 60, steps],
            "gpu_uuid": ["GPU-0", board, board],
            "energy_method": "counter",
            "energy_scope": "gpu",
        }
    )
    assert [found.reason for found in of_budgets(cells, CELLS)] == said


SUITE = """\
name: matched
question: What does dense reach for the joules of dtc?
cost: minutes
protocol: {name: standard, steps: 60, batch_size: 32, cycle_steps: 5, keep: 0.8}
grid:
  - models: [mlp]
    datasets: [digits]
    methods: [dtc, {name: dense-matched, budget: joules}]
    sparsities: [0.5]
    seeds: 1
resources: {gpus: 1}
"""


def test_a_rehearsal_whose_joules_mean_nothing_has_the_budget_of_flops():
    both = SUITE.replace("[dtc,", "[dtc, dense-matched,")
    for suite in (SUITE, both):
        assert [one.label for one in parse(rehearsal(suite, "x"), "x").grid[0].methods] == ["dtc", "dense-matched"]
