"""Runs by what a person types."""

import pytest

from dtcbench.records.location import StoreError
from dtcbench.records.lookup import run_named


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty folder to work in, with runs of some names below it."""
    monkeypatch.chdir(tmp_path)
    for name in ("lenet", "quick", "quick-smoke"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "suite.yaml").write_text("name: x\n")
    (tmp_path / "runs" / "lennet").mkdir()  # holds no run, so nobody means it
    return tmp_path / "runs"


def test_a_run_is_found_by_its_name_and_by_its_folder(runs):
    assert run_named("quick").root == run_named("runs/quick").root


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("qiuck", "'quick' or 'quick-smoke'"), ("runs/lente", "'lenet'"), ("lennet", "'lenet'")],
)
def test_a_mistyped_run_names_the_runs_that_are_near(runs, typed, meant):
    with pytest.raises(StoreError) as caught:
        run_named(typed)
    assert str(caught.value).endswith(f"{typed} holds no run (no suite.yaml); did you mean {meant}?")


def test_a_run_like_none_is_told_how_to_start_one(runs):
    with pytest.raises(StoreError, match=r"zzz holds no run \(no suite\.yaml\); start one with `dtcbench run SUITE`"):
        run_named("zzz")
