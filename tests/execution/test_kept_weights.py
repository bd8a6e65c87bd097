"""`keep_weights: last`: each ok cell's final network beside its record, sealed with it; no key, no number changes."""

import hashlib
import shutil

import pytest
import torch
from cells import cell, job, task, timeless
from suites_for_tests import TINY, edited
from torch import nn

import dtcbench as library
from dtcbench import registry
from dtcbench.execution.driver import drive
from dtcbench.execution.executor import InlineExecutor
from dtcbench.execution.suite_run import read_suite
from dtcbench.execution.task import Job, Outcome
from dtcbench.execution.watcher import Watcher
from dtcbench.execution.worker import NOT_KEPT, attempt
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse
from dtcbench.record import CellRecord, Status
from dtcbench.records.location import StoreError, place
from dtcbench.records.store import Store
from dtcbench.registry import Entry
from dtcbench.report.plans import weights_note
from dtcbench.training.network_file import NetworkFile

KEEPING = TINY + "keep_weights: last\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run that keeps its weights; only to be read."""
    out = tmp_path_factory.mktemp("kept") / "run"
    return library.run(KEEPING, str(out), inline=True, progress=False)


def test_what_is_kept_changes_no_key():
    plain, keeping = (read_suite(text, None)[1] for text in (TINY, KEEPING))
    assert [cell.key for cell in plain.cells] == [cell.key for cell in keeping.cells]


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="keep_weights: 'all': should be 'last' or 'none'"):
        parse(TINY + "keep_weights: all\n", "tiny.yaml")


def test_each_ok_record_seals_the_file_beside_it(run):
    store = run.store
    for record in run.records():
        content = store.network_path(record).read_bytes()
        assert hashlib.sha256(content).hexdigest() == record.weights_sha256
        assert store.network(record) == content
        assert NetworkFile.read(content).origin.cell.key == record.key
    assert len(list(store.weights.iterdir())) == 3


def test_numbers_are_those_of_a_run_that_keeps_nothing(run):
    record = next(record for record in run.records() if record.cell.method.name == "dtc")
    plain = CellRecord.model_validate(attempt(task(record.cell)).record)
    assert plain.weights_sha256 is None and plain.reasons["weights_sha256"] == NOT_KEPT.reason
    assert timeless(plain.result) == timeless(record.result)


def test_a_cell_that_fails_keeps_nothing(tmp_path):
    the_job = Job.of(parse(KEEPING, "tiny.yaml"))
    assert the_job.keep_weights == "last"
    failed = task(cell("magnitude", 0.99, widths=[8]))
    report = attempt(failed)
    assert report.weights is None and report.record["weights_sha256"] is None


def test_a_network_that_no_file_can_hold_keeps_its_result(monkeypatch):
    class Odd(nn.Sequential):
        def get_extra_state(self):
            return {"not": "a tensor"}

    def odd(shape, classes, *, generator, widths=None, bias=None):
        torch.manual_seed(0)
        return Odd(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, classes))

    monkeypatch.setitem(registry.models._entries, "mlp", Entry(odd))
    keeping = task(cell("random"))
    object.__setattr__(keeping, "job", Job.of(parse(KEEPING, "tiny.yaml")))
    record = CellRecord.model_validate(attempt(keeping).record)
    assert record.status == "ok" and record.weights_sha256 is None
    assert record.reasons["weights_sha256"].startswith("they cannot be written: ")


def test_an_altered_or_missing_file_is_refused_by_name(run, tmp_path):
    store = Store(shutil.copytree(run.folder, tmp_path / "copy"))
    record = next(run.records())
    path = store.network_path(record)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{path.name}: altered"):
        store.network(record)
    path.unlink()
    with pytest.raises(StoreError, match=rf"{path.name}: No such file"):
        store.network(record)


def test_weights_go_to_an_object_store_by_the_same_way(run):
    record = next(run.records())
    content = run.store.network(record)
    store = Store(place("memory://kept-weights/run"))
    with store.locked() as writer:
        writer.append(record, None, content)
    assert store.network(record) == content


def test_half_a_file_is_thrown_away(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "copy")
    half = folder / "weights" / f"{'0' * 64}.1.safetensors.tmp"
    half.write_bytes(b"half")
    with Store(folder).locked():
        assert not half.exists()


def test_weights_of_a_record_that_the_driver_replaces_are_not_written(run, tmp_path):
    record = next(run.records())
    other_data = {record.cell.dataset.label: "0" * 64}

    class Reporting(InlineExecutor):
        def wait(self, timeout_s):
            the_task = self._queue.popleft()
            object.__setattr__(the_task, "job", Job.of(parse(KEEPING, "tiny.yaml")))
            return [Outcome(the_task, attempt(the_task))]

    store = Store(tmp_path / "run")
    with store.locked() as writer:
        ends = drive([task(record.cell)], job(), writer, Reporting(), Watcher(), other_data)
    assert set(ends.values()) == {Status.ERROR}
    assert not store.weights.exists()


def test_the_plan_states_the_size(tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept.yaml").write_text(KEEPING)
    (tmp_path / "plain.yaml").write_text(TINY)
    # three times 1210 weights and biases of 4 bytes, 16 indices of 8 bytes, and a header of at most 4807
    assert "weights: at most 29.3 kB beside the records, in 3 files" in dtcbench("plan", "kept.yaml").out
    assert "weights" not in dtcbench("plan", "plain.yaml").out


def test_a_merge_takes_the_weights_along(run, tmp_path, dtcbench):
    two = edited(KEEPING, ("seeds: 1", "seeds: [1]"))
    other = library.run(two, str(tmp_path / "other"), inline=True, progress=False)
    ended = dtcbench("merge", run.folder, other.folder, "--out", tmp_path / "both")
    assert ended.code == 0, ended.out + ended.err
    [folder] = [path.parent for path in (tmp_path / "both").glob("*/suite.yaml")]
    merged = library.Run(folder)
    assert all(merged.store.network(record) for record in merged.records())
    assert len(list((folder / "weights").iterdir())) == 6


# taken home


def test_a_cell_s_network_is_exported_as_a_plain_module(run, tmp_path, dtcbench):
    record = next(record for record in run.records() if record.cell.method.name == "dtc")
    network = NetworkFile.read(run.store.network(record)).network()
    ended = dtcbench("export", record.key[:12], "--run", run.folder, "--to", tmp_path / "model.pt2")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{tmp_path}/model.pt2: {record.cell.label}, ")
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(torch.export.load(tmp_path / "model.pt2").module()(x), network(x))
    again = dtcbench("export", record.key[:12], "--run", run.folder, "--to", tmp_path / "model.pt2")
    assert again.code == 2 and "model.pt2: the file exists; name another one" in again.err


def test_a_cell_without_weights_is_refused_with_the_reason(tiny_workplace, tmp_path, dtcbench):
    store = Store(tiny_workplace / "runs/tiny")
    key = next(iter(store.files()))
    ended = dtcbench("export", key, "--run", store.root, "--to", tmp_path / "model.safetensors")
    assert ended.code == 2
    assert (
        "has no network to take home: the suite keeps no weights (keep_weights: none); write `keep_weights: last`"
        in ended.err
    )


def test_a_tampered_file_is_not_exported(run, tmp_path, dtcbench):
    store = Store(shutil.copytree(run.folder, tmp_path / "copy"))
    record = next(run.records())
    path = store.network_path(record)
    path.write_bytes(path.read_bytes()[:-1])
    ended = dtcbench("export", record.key, "--run", store.root, "--to", tmp_path / "model.safetensors")
    assert ended.code == 2 and f"{path.name}: altered" in ended.err
    assert not (tmp_path / "model.safetensors").exists()


def test_the_size_of_the_files_does_not_hide_why_a_network_cannot_be_built():
    (line,) = weights_note(expand(parse(edited(KEEPING, ("[digits]", "[tinyshakespeare]")), "tiny.yaml")))
    assert "; 3 more networks cannot be built here: model mlp(widths=[16]) on texts of shape 64: forward gave " in line
