"""Cells handed over to MLflow and to Weights & Biases: whole, once, and without harm to the run if that fails."""

import pytest
from suites_for_tests import TINY

import dtcbench
from dtcbench.errors import UserError
from dtcbench.execution import tracking
from dtcbench.execution.tracking import Tracker, tracked
from dtcbench.execution.watcher import Watcher
from dtcbench.records.store import Store


class Notes(Watcher):
    def __init__(self):
        self.notes = []

    def noted(self, note):
        self.notes.append(note)


@pytest.fixture
def records(tiny_workplace):
    contents = Store(tiny_workplace / "runs/tiny").read()
    return {record.cell.method.name: record for (record,) in contents.attempts.values()}


def test_a_cell_is_handed_over_with_the_columns_of_its_table_and_its_cycles(records):
    record = records["dtc"]
    cell = tracked(record)
    assert cell.options["method"] == "dtc"
    assert cell.options["sparsity"] == 0.5
    assert cell.numbers["accuracy"] == record.result.accuracy
    assert "energy_j" not in cell.numbers  # not measured: no number, and no 0
    assert cell.tags["energy_reason"]
    assert cell.tags["key"] == record.key
    assert [step for step, _ in cell.course] == [cycle.step for cycle in record.result.cycles]
    assert cell.course[0][1]["cycle/loss"] == record.result.cycles[0].loss
    assert cell.course[0][1]["cycle/sparsity"] > 0
    assert tracked(records["dense"]).course[0][1]["cycle/sparsity"] == 0.0
    assert cell.ended_ms - cell.began_ms == pytest.approx(1e3 * record.wall_s, abs=1)


def test_a_client_that_fails_is_told_once_and_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handed = []

    def log(cell):
        handed.append(cell.name)
        raise ConnectionError("nobody answers")

    monkeypatch.setitem(tracking.CLIENTS, "mlflow", lambda suite: log)
    done = dtcbench.run(TINY, inline=True, progress=(notes := Notes()), track="mlflow")
    assert done.status() == {"ok": 3}
    assert len(handed) == 1
    [note] = notes.notes
    assert note.startswith("--track mlflow: ConnectionError: nobody answers; ")


def test_a_client_that_is_not_there_is_refused_before_the_first_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--track tensorboard: give mlflow or wandb"):
        dtcbench.run(TINY, inline=True, progress=False, track="tensorboard")

    def missing(suite):
        raise ImportError("No module named 'mlflow'")

    monkeypatch.setitem(tracking.CLIENTS, "mlflow", missing)
    with pytest.raises(UserError, match=r"No module named 'mlflow'; pip install 'dtcbench\[mlflow\]'"):
        dtcbench.run(TINY, inline=True, progress=False, track="mlflow")
    assert not (tmp_path / "runs").exists()


def hand_over(client, records):
    with Tracker(client, "tiny", print) as tracker:
        for record in records.values():
            tracker.ended(record, final=False)
            tracker.ended(record, final=True)


def test_mlflow_has_a_run_for_each_cell(records, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="no mlflow: install the extra mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    hand_over("mlflow", records)
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    found = {run.data.tags["key"]: run for run in runs}
    assert found.keys() == {record.key for record in records.values()}
    record = records["dtc"]
    run = found[record.key]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == record.result.accuracy
    assert run.data.params["method"] == "dtc"
    course = client.get_metric_history(run.info.run_id, "cycle/loss")
    assert [(point.step, point.value) for point in course] == [(c.step, c.loss) for c in record.result.cycles]


def test_wandb_has_a_run_for_each_cell(records, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="no wandb: install the extra wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    hand_over("wandb", records)
    written = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(written) == len(records)
    contents = [file.read_bytes() for file in written]
    assert all(any(record.key.encode() in content for content in contents) for record in records.values())
