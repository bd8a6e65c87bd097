"""Nothing that others read says where it lay on the machine that made it."""

import shutil

import pytest

from dtcbench.records.location import place, quotable


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def leaks(folder, name: str) -> list[str]:
    return [str(path.relative_to(folder)) for path in files(folder) if name.encode() in path.read_bytes()]


@pytest.fixture
def away(tmp_path, monkeypatch, with_power):
    """A run outside of the current folder, by its absolute path."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return shutil.copytree(with_power, tmp_path / "private" / "myrun")


def test_a_site_of_a_run_by_its_absolute_path(away, tmp_path, dtcbench):
    assert dtcbench("site", away, "--out", tmp_path / "site").code == 0
    assert len(files(tmp_path / "site")) > 10
    assert leaks(tmp_path / "site", str(tmp_path)) == []
    (page, *_) = (tmp_path / "site").rglob("cells/*.html")
    assert "dtcbench run myrun/suite.yaml" in page.read_text()


def test_a_run_below_the_current_folder_is_named_from_there(away, tmp_path, dtcbench):
    below = shutil.copytree(away, tmp_path / "here/runs/mine")
    assert dtcbench("site", below, "--out", "site").code == 0
    (page, *_) = (tmp_path / "here/site").rglob("cells/*.html")
    assert "dtcbench run runs/mine/suite.yaml" in page.read_text()


def test_what_is_published_from_an_absolute_path(finished, tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "out" / "results"
    assert dtcbench("publish", finished, "--results", results).code == 0
    assert len(files(results.parent)) > 20
    for folder in (str(tmp_path), str(finished.parent)):
        assert leaks(results.parent, folder) == []


def test_what_reproduce_prints(finished, dtcbench):
    ended = dtcbench("reproduce", finished, "--sample", "1")
    assert ended.code == 0
    assert str(finished.parent) not in ended.out


def test_a_folder_is_quoted_as_typed_or_from_here_or_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert quotable(place("runs/quick")) == "runs/quick"
    assert quotable(place("../elsewhere")) == "../elsewhere"
    assert quotable(place(str(tmp_path / "runs/quick"))) == "runs/quick"
    assert quotable(place("/srv/bench/quick")) == "quick"
    assert quotable(place("memory://bucket/quick")) == "memory://bucket/quick"
