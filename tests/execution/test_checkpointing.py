"""A cell whose attempt is ended goes on from its checkpoint in the run's folder; its record says so."""

import os
import shutil
from dataclasses import replace

import pytest
from cells import cell, choice, job, timeless
from mishaps import MISHAPS, mishap, pid_of, release
from suites_for_tests import TINY, edited

import dtcbench as library
from dtcbench import registry
from dtcbench.energy.meter import EnergyMeter
from dtcbench.execution import checkpointing, worker
from dtcbench.execution.checkpointing import FROM_THE_FIRST
from dtcbench.execution.driver import drive
from dtcbench.execution.executor import InlineExecutor
from dtcbench.execution.interrupts import Interrupts
from dtcbench.execution.ray_executor import RayExecutor
from dtcbench.execution.suite_run import read_suite
from dtcbench.execution.task import Task
from dtcbench.execution.watcher import Watcher
from dtcbench.execution.worker import IN_PARTS, attempt
from dtcbench.plan.protocol import Standard
from dtcbench.plan.request import Request
from dtcbench.plan.suite import parse
from dtcbench.record import CellRecord
from dtcbench.records.location import place
from dtcbench.records.store import Store, file_kind
from dtcbench.records.writer import Checkpoints
from dtcbench.registry import Plugin
from dtcbench.training import saved_state
from dtcbench.training.training_run import TrainingRun

CELL = cell("dtc")
OFTEN = edited(TINY, ("methods: [dtc, magnitude]", "methods: [dtc]")) + "checkpoint: 0.000001s\n"


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path)
    found.checkpoints.mkdir()
    return found


def made(store, number=1, every_s=1e-6, planned=CELL):
    task = Task(planned, number, replace(job(), checkpoint_s=every_s, run=str(store.root)))
    report = attempt(task)
    return CellRecord.model_validate(report.record), report


def killed(monkeypatch, store, cycles, number=1):
    """An attempt that is ended in the middle of this cycle."""
    real = TrainingRun.train

    def train(run, *given):
        if len(run.cycles) == cycles:
            raise KeyboardInterrupt
        return real(run, *given)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "train", train)
        with pytest.raises(KeyboardInterrupt):
            made(store, number)


def numbers(record):
    return timeless(record.result)


@pytest.fixture(scope="module")
def whole():
    """The record of an attempt that nothing ended."""
    return CellRecord.model_validate(attempt(Task(CELL, 1, job())).record)


def test_neither_option_nor_key_changes_by_default():
    plain, often = (read_suite(text, None)[1] for text in (TINY, TINY + "checkpoint: 2h\n"))
    assert [one.key for one in plain.cells] == [one.key for one in often.cells]
    assert [parse(TINY + line, "tiny.yaml").checkpoint for line in ("", "checkpoint: none\n", "checkpoint: 2h\n")] == [
        600.0,
        None,
        7200.0,
    ]
    with pytest.raises(ValueError, match="checkpoint: 'often' is not a time with a unit"):
        parse(TINY + "checkpoint: often\n", "tiny.yaml")


def test_an_ended_attempt_leaves_one_file_and_the_next_goes_on_from_it(monkeypatch, store, whole):
    for number, cycles in ((1, 3), (2, 7)):
        killed(monkeypatch, store, cycles, number)
        assert [file.name for file in store.checkpoints.iterdir()] == [f"{CELL.key}.{number}.safetensors"]
    record, report = made(store, 3)
    assert numbers(record) == numbers(whole)
    assert record.continued_at == 35
    assert [(part.step, part.node) for part in record.parts] == [(0, "inline"), (15, "inline"), (35, "inline")]
    assert record.energy.energy_j is None and record.energy.reasons["cpu_energy_j"] == IN_PARTS
    assert report.has_checkpoints
    assert whole.continued_at is None
    # Times are those of the whole training, of which the last attempt took the smaller part.
    assert record.result.train_s > whole.result.train_s / 4


def test_a_short_cell_writes_no_checkpoint(store, whole):
    record, report = made(store, every_s=600.0)
    assert numbers(record) == numbers(whole)
    assert record.reasons["continued_at"] == FROM_THE_FIRST.reason
    assert [part.step for part in record.parts] == [0]
    assert not report.has_checkpoints and not list(store.checkpoints.iterdir())


def altered(path, store):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def truncated(path, store):
    path.write_bytes(path.read_bytes()[:-7])


def of_another_cell(path, store):
    other = cell("dtc", seed=1)
    made(store, planned=other)
    shutil.move(store.checkpoints / f"{other.key}.1.safetensors", path)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (altered, "altered: its content does not match its seal"),
        (truncated, "not a saved state: "),
        (of_another_cell, "its cell is "),
    ],
)
def test_a_damaged_or_foreign_checkpoint_is_refused_and_named(monkeypatch, store, whole, harm, why):
    killed(monkeypatch, store, 3)
    harm(store.checkpoints / f"{CELL.key}.1.safetensors", store)
    record, _ = made(store, 2)
    begun = f"the cell was trained anew: checkpoints/{CELL.key}.1.safetensors was refused: {why}"
    assert record.reasons["continued_at"].startswith(begun)
    assert numbers(record) == numbers(whole)
    assert [part.step for part in record.parts] == [0]
    assert [file.name for file in store.checkpoints.iterdir()] == [f"{CELL.key}.2.safetensors"]


def test_a_given_up_attempt_that_still_saves_leaves_the_checkpoint_of_a_later_one(store):
    for number in (3, 1, 2):
        Checkpoints(store, CELL.key, number).replace(b"saved")
    assert [file.name.split(".")[1] for file in store.checkpoint_files()] == ["3", "2"]


def test_another_class_of_hardware_begins_anew_and_says_so(monkeypatch, store, whole):
    killed(monkeypatch, store, 3)
    real = worker.collect
    monkeypatch.setattr(
        worker, "collect", lambda *given: real(*given).model_copy(update={"hardware_class": "CPU of another kind"})
    )
    record, _ = made(store, 2)
    assert "and here it is CPU of another kind" in record.reasons["continued_at"]
    assert numbers(record) == numbers(whole)


def test_a_state_that_does_not_fit_is_refused_where_it_is_put_in(monkeypatch, store, whole):
    killed(monkeypatch, store, 3)
    real = checkpointing.saved_state.read
    monkeypatch.setattr(checkpointing.saved_state, "read", lambda content: {**real(content), "recipe": {}})
    record, _ = made(store, 2)
    assert "was refused: it does not fit: KeyError" in record.reasons["continued_at"]
    assert numbers(record) == numbers(whole)


def test_a_node_that_does_not_see_the_run_s_folder_trains_all_the_same(tmp_path, whole, caplog):
    record, report = made(Store(tmp_path / "elsewhere"))
    assert numbers(record) == numbers(whole)
    assert not report.has_checkpoints
    assert "this node does not see it" in caplog.text


def test_joules_are_those_of_whole_repeats_also_of_a_continued_cell(monkeypatch, store):
    class Meter(EnergyMeter):
        def enough(self, timer):
            return timer.segments[-1].training == 1  # as on a GPU: one repeat

        def reading(self, timer, flags):
            self.flags, self.segments = flags, timer.segments
            return super().reading(timer, flags)

    meter = Meter.without("a test")
    monkeypatch.setattr(worker, "open_meter", lambda *given: meter)
    killed(monkeypatch, store, 3)
    record, _ = made(store, 2)
    assert record.continued_at == 15
    assert meter.flags == []  # the repeat was as the first training
    repeat = [one.phase for one in meter.segments if one.training == 1]
    assert repeat.count("train") == 12 and "evaluate" not in repeat  # it was not saved, and so not cut
    assert record.energy.reasons["energy_j"] == "a test"


@pytest.mark.parametrize("out", ["run", "memory://{}/run"])
def test_a_run_that_is_ended_goes_on_and_leaves_no_checkpoint(monkeypatch, tmp_path, out):
    folder = out.format(os.urandom(4).hex()) if "{" in out else str(tmp_path / out)
    store = Store(place(folder))
    real = TrainingRun.train

    def train(run, *given):
        if len(run.cycles) == 3 and run.compressor.method.removal == "scored":
            raise KeyboardInterrupt
        return real(run, *given)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "train", train)
        with pytest.raises(KeyboardInterrupt):
            library.run(OFTEN, folder, inline=True, progress=False)
    (left,) = store.checkpoint_files()
    assert file_kind(f"checkpoints/{left.name}") == "own"
    # What a late worker wrote of a cell that has ended goes, too.
    done = next(key for key, (record, *_) in store.read().attempts.items() if record.status == "ok")
    (store.checkpoints / f"{done}.7.safetensors").write_bytes(b"late")
    run = library.run(OFTEN, folder, inline=True, progress=False)
    assert run.status() == {"ok": 2}
    assert sorted(record.continued_at or 0 for record in run.records()) == [0, 15]
    assert store.checkpoint_files() == []
    plain = library.run(edited(OFTEN, ("0.000001s", "none")), tmp_path / "plain", inline=True, progress=False)
    assert [numbers(one) for one in run.records()] == [numbers(one) for one in plain.records()]


MORTAL = Plugin(
    "mortal",
    """
import os, signal
from pathlib import Path

from dtcbench.dtc.selection import Method, Scores
from dtcbench.registry import register_method


@register_method("mortal")
class Mortal(Method):
    \"\"\"Draws at random, and as long as it has lives its process gets a signal at every third compression.\"\"\"

    drop = "smallest"

    def __init__(self, *, by: str = "", folder: str = "") -> None:
        self.by, self.folder, self.compressed = by, folder, 0

    def scores(self, group):
        self.compressed += 1
        lives = sorted(Path(self.folder).iterdir()) if self.by else []
        if lives and self.compressed == 3:
            lives[0].unlink()
            os.kill(os.getpid(), signal.Signals[self.by])
        return Scores(group.generator.random(group.width))
""",
)


class Files(Watcher):
    """Counts the checkpoints whenever an attempt has ended."""

    def __init__(self, store):
        self.store, self.at_ends = store, []

    def ended(self, record, final):
        self.at_ends.append(len(self.store.checkpoint_files()))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_has_an_inline_run_save_its_training_once_and_go_on(monkeypatch, tmp_path, store, name):
    MORTAL.load()
    (lives := tmp_path / "lives").mkdir()
    (lives / "a").touch()
    mortal = choice(registry.methods, "mortal", by=name, folder=str(lives))
    the_job = replace(job(plugins=(MORTAL,)), checkpoint_s=3600.0, run=str(store.root))
    interrupts, real = Interrupts(), TrainingRun.train

    def train(run, *given):
        if len(run.cycles) == 6:  # as if killed some steps later
            raise KeyboardInterrupt
        return real(run, *given)

    monkeypatch.setattr(TrainingRun, "train", train)
    tasks = [Task(replace(cell("random", 0.9), method=mortal), 1, the_job)]
    with store.locked() as writer, pytest.raises(KeyboardInterrupt):
        drive(tasks, the_job, writer, InlineExecutor(interrupts), Watcher(), interrupts=interrupts)
    (left,) = store.checkpoint_files()
    assert saved_state.read(left.read_bytes())["steps"] == 15  # after the compression at which the signal came


@pytest.mark.ray
def test_a_killed_worker_s_cell_goes_on_in_another_and_what_is_ended_in_order_is_saved(tmp_path):
    MORTAL.load()
    lives = {name: tmp_path / name for name in ("SIGKILL", "SIGTERM")}
    for folder in lives.values():
        folder.mkdir()
        for life in "ab":
            (folder / life).touch()
    planned = cell("random", 0.9)
    mortal = {
        name: replace(planned, method=choice(registry.methods, "mortal", by=name, folder=str(folder)))
        for name, folder in lives.items()
    }
    alive = replace(planned, method=choice(registry.methods, "mortal"))
    undisturbed = numbers(CellRecord.model_validate(attempt(Task(alive, 1, job())).record))
    executor = RayExecutor(Request(cpus=1), cores=1)
    try:
        # Killed, they were last saved a step before; SIGTERM alone saves them before the hour has passed.
        for name, every_s, last in (("SIGKILL", 1e-6, 24), ("SIGTERM", 3600.0, 30)):
            store = Store(tmp_path / f"run of {name}")
            store.checkpoints.mkdir(parents=True)
            the_job = replace(job(plugins=(MORTAL,)), checkpoint_s=every_s, run=str(store.root))
            files = Files(store)
            with store.locked() as writer:
                drive([Task(mortal[name], 1, the_job)], the_job, writer, executor, files)
            attempts = store.read().attempts[mortal[name].key]
            assert [record.status for record in attempts] == ["infra", "infra", "ok"]
            assert attempts[-1].continued_at == last
            assert numbers(attempts[-1]) == undisturbed
            assert files.at_ends == [1, 1, 0]
        # One that would train for hours, and has trained a little.
        waits = mishap("wait", tmp_path / "waits")
        hours = Standard(name="standard", steps=10**7, batch_size=32, lr=0.01, cycle_steps=5, keep=0.8)
        stopped = Task(replace(waits, protocol=hours.choice), 1, replace(the_job, plugins=(MISHAPS,)))
        executor.submit(stopped)
        assert pid_of(tmp_path / "waits")
        release(tmp_path / "waits")
    finally:
        executor.close()
    (left,) = store.checkpoint_files(stopped.key)
    assert saved_state.read(left.read_bytes())["steps"] >= 5
