"""A run in a notebook: DataFrames of its records, alone or pooled, and what the command line shows of them."""

import doctest
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from cells import task

import dtcbench as package
from dtcbench import library
from dtcbench.errors import UserError
from dtcbench.execution.worker import lost
from dtcbench.record import CellRecord, Status
from dtcbench.records.runs import plan_of, run_named
from dtcbench.records.store import Store


@pytest.fixture
def run(tiny_workplace, monkeypatch):
    monkeypatch.chdir(tiny_workplace)
    return package.Run("tiny")


@pytest.fixture
def failed(run, tmp_path):
    """A run of the same suite in which one cell has failed and the others are missing."""
    folder = tmp_path / "failed"
    folder.mkdir()
    for name in ("suite.yaml", "names.json"):
        shutil.copy(run_named("tiny").root / name, folder / name)
    store = Store(folder)
    cell = plan_of(store).cells[1]
    with store.locked():
        record = lost(task(cell), Status.OOM, "no memory", "2025-01-01T00:00:00.000+00:00", 1.0)
        store.append(CellRecord.model_validate(record))
    return package.Run(folder)


def test_its_tables_are_those_that_the_command_line_writes(run, tiny_workplace):
    for name in ("cells", "cycles"):
        written = pd.read_parquet(tiny_workplace / f"runs/tiny/tables/{name}.parquet")
        pd.testing.assert_frame_equal(getattr(run, name), written, check_dtype=False)
    assert run.power.empty and list(run.power.columns[:1]) == ["key"]


def test_its_leaderboard_is_the_one_that_is_written(run, tiny_workplace):
    written = pd.read_csv(tiny_workplace / "runs/tiny/leaderboard.csv")
    assert run.leaderboard().rows["accuracy_mean"].tolist() == pytest.approx(written["accuracy_mean"].tolist())
    assert run.leaderboard().suite == "tiny"


def test_every_claim_has_a_verdict(run):
    assert len(run.claims()) == 6


def test_its_records_are_the_cells(run):
    assert {record.key: record.result.accuracy for record in run.records()} == dict(
        zip(run.cells["key"], run.cells["accuracy"], strict=True)
    )


def test_of_a_pool_each_cell_counts_once_and_an_ok_one_wherever_it_stands(run, failed):
    assert failed.status() == {"missing": 2, "oom": 1}
    assert [record.status for record in failed.records()] == [Status.OOM]
    for runs in ([run, failed], [failed, run], [run, run]):
        pooled = package.Run.pool(runs)
        assert pooled.status() == {"ok": 3}
        assert pooled.cells.equals(package.Run.pool([run]).cells)
        assert sorted(record.key for record in pooled.records()) == sorted(run.cells["key"])


def test_what_cannot_be_read_is_said_in_one_line(run):
    with pytest.raises(UserError, match="holds no run"):
        package.Run("nothing-here")
    with pytest.raises(UserError, match="at least one"):
        package.Run.pool([])


def test_the_examples_in_its_documentation_run(run):
    outcome = doctest.testmod(library)
    assert outcome.attempted >= 3
    assert outcome.failed == 0


def test_the_package_names_what_it_offers_and_loads_it_when_it_is_asked_for():
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match=r"no attribute 'Rum'; it has Run"):
        package.Rum  # noqa: B018
    code = "import sys, dtcbench; print({'torch', 'pandas', 'ray'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
