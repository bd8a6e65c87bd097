"""A suite's own files: read when it is planned, pinned in its cells, and checked where a cell runs."""

import json
import shutil

import numpy as np
import pytest
from suites_for_tests import TINY, edited

import dtcbench as library
from dtcbench.datasets.reading import read
from dtcbench.execution.suite_run import read_suite
from dtcbench.plan.document import SuiteError

RNG = np.random.default_rng(11)
X = RNG.normal(size=(300, 4))
Y = (X[:, 0] > 0).astype(int)


def suite(line):
    return edited(TINY, ("[digits]", f"[{{name: file, {line}}}]"))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty cache, and the current folder with data/own.npz."""
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("DTCBENCH_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data/own.npz", x=X, y=Y)
    return tmp_path


@pytest.fixture
def digest(workplace):
    return read(workplace / "data/own.npz").sha256


def keys(text, **options):
    return [cell.key for cell in read_suite(text, None, **options)[1].cells]


def test_the_digest_is_in_the_cell_and_the_folder_is_not(workplace, digest):
    _, plan = read_suite(suite("path: data/own.npz"), None)
    assert {json.dumps(cell.dataset.options) for cell in plan.cells} == {
        json.dumps({"path": "own.npz", "sha256": digest})
    }
    assert plan.cells[0].dataset.label == f"file(path=own.npz, sha256={digest[:12]})"


def test_the_same_data_elsewhere_and_in_another_spelling_have_the_same_keys(workplace, digest, monkeypatch):
    here = keys(suite("path: data/own.npz"))
    shutil.copytree("data", "other/place")
    (workplace / "other/mine.yaml").write_text(suite("path: place/own.npz"))
    assert keys("other/mine.yaml") == here
    assert keys(suite(f"path: {workplace}/data/own.npz")) == here
    assert keys(suite(f"path: data/own.npz, sha256: {digest}")) == here
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(workplace / "data"))
    assert keys(suite("path: own.npz")) == here


def test_other_data_have_other_keys(workplace):
    before = keys(suite("path: data/own.npz"))
    np.savez(workplace / "data/own.npz", x=X, y=1 - Y)
    assert not set(before) & set(keys(suite("path: data/own.npz")))


def test_another_digest_than_the_given_one_is_refused_with_both(workplace, digest):
    with pytest.raises(SuiteError, match=f"SHA-256 {digest}, not {'0' * 64} as sha256 says"):
        read_suite(suite(f"path: data/own.npz, sha256: '{'0' * 64}'"), None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("path: away.npz", r"path: away\.npz: no such file or folder \(away\.npz\); correct the path"),
        ("label: kind", r"path: missing; name a file or folder, such as `path: letters\.npz`"),
        ("path: data/own.npz, test_path: away.npz", r"away\.npz: no such file or folder"),
        ("path: data/own.npz, tset: 0.5", "tset"),
        ("path: data/own.npz, test: 1.5", "test"),
    ],
)
def test_a_mistake_is_told_once_with_its_line(line, message):
    with pytest.raises(SuiteError, match=message) as caught:
        read_suite(suite(line), None)
    [mistake] = caught.value.mistakes
    assert mistake.line == 7 and mistake.place.startswith("grid[0].datasets[0]")


def test_a_pinned_file_may_be_on_the_cluster_s_nodes_alone(workplace, digest):
    before = keys(suite("path: data/own.npz"))
    shutil.rmtree(workplace / "data")
    shutil.rmtree(workplace / "cache")
    assert keys(suite(f"path: data/own.npz, sha256: {digest}")) == before


def test_a_run_trains_on_it_is_resumed_and_is_read_without_it(workplace, digest):
    text = suite("path: data/own.npz")
    run = library.run(text, inline=True, progress=False)
    assert run.status() == {"ok": 3}
    assert run.cells["dataset_sha256"].nunique() == 1
    assert set(run.cells["dataset"]) == {f"file(path=own.npz, sha256={digest[:12]})"}
    records = [record.started_at for record in run.records()]
    again = library.run(text, inline=True, progress=False)
    assert [record.started_at for record in again.records()] == records
    shutil.rmtree(workplace / "data")
    shutil.rmtree(workplace / "cache")
    assert library.Run("runs/tiny").status() == {"ok": 3}


def test_a_rehearsal_trains_on_it(workplace):
    assert library.run(suite("path: data/own.npz"), inline=True, smoke=True, progress=False).status() == {"ok": 3}


def test_a_cell_run_again_elsewhere_finds_it_by_name_and_digest(workplace, monkeypatch, dtcbench):
    library.run(suite("path: data/own.npz"), inline=True, progress=False)
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(workplace / "empty"))
    lost = dtcbench("reproduce", "runs/tiny", "--sample", "1")
    assert lost.code == 1 and "set DTCBENCH_DATA_DIR to a folder with own.npz" in lost.out
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(workplace / "data"))
    found = dtcbench("reproduce", "runs/tiny", "--sample", "1")
    assert found.code == 0 and "bit for bit" in found.out


def test_fetch_leaves_out_what_only_a_suite_can_name(dtcbench, monkeypatch):
    from dtcbench import registry

    monkeypatch.setattr(registry.datasets, "names", lambda: ["digits", "file"])
    fetched = dtcbench("fetch")
    assert fetched.code == 0 and "digits: 1437" in fetched.out and "file" not in fetched.out


def test_the_data_set_keeps_its_claims(dtcbench):
    tried = dtcbench("selftest", "file")
    assert tried.code == 0, tried.out
