"""Runs by what a person types."""

import pytest
from cells import cell, task

from dtcbench.errors import UserError
from dtcbench.record import Status
from dtcbench.records.location import StoreError
from dtcbench.records.lookup import attempts_at, run_named
from dtcbench.records.store import Store


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


def test_a_cell_that_several_runs_have_is_told_with_the_runs(tmp_path):
    stores = [Store(tmp_path / name) for name in ("one", "other")]
    for store in stores:
        with store.locked() as writer:
            writer.append(task(cell("random")).record(Status.OOM, "", "2025-01-01T00:00:00.000+00:00", 1.0))
        store.suite.write_text("name: x\n")
    key = cell("random").key[:12]
    with pytest.raises(UserError) as caught:
        attempts_at(key, stores)
    first, *listed = str(caught.value).splitlines()
    assert first == f"cell {key} is in 2 runs; name one of them with --run:"
    assert listed == [f"  {key} in {store.root}" for store in stores]
