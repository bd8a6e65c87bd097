"""The union of runs: nothing lost, machines side by side, and no conflict resolved in silence."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from cells import choice
from tampering import calibration, claim_accuracy, content, records, reseal

from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.plan.names import REGISTERED, Declared, Spelling, together
from dtcbench.publish import merge
from dtcbench.record import CellRecord
from dtcbench.records.store import Store

pytestmark = pytest.mark.usefixtures("sketched")
ELSEWHERE = "CPU Elsewhere, 64 cores, 256 GiB"


def only(run: Path, seeds: set[int]) -> Path:
    """The run with the cells of these seeds alone, and a suite that plans no others."""
    for path in records(run):
        if content(path)["cell"]["seed"] not in seeds:
            path.unlink()
    suite = run / "suite.yaml"
    suite.write_text(suite.read_text().replace("seeds: 3", f"seeds: {sorted(seeds)}"))
    return run


def on_another_machine(run: Path, change=lambda result: None) -> Path:
    def edit(record):
        record["provenance"]["hardware_class"] = ELSEWHERE
        change(record["result"])

    for path in records(run):
        reseal(path, edit)
    return run


@pytest.fixture
def another(finished, tmp_path):
    """A second copy of the finished run."""
    return shutil.copytree(finished, tmp_path / "another")


def folders(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/suite.yaml"))


def every_record(run: Path) -> list[CellRecord]:
    return [record for attempts in Store(run).read().attempts.values() for record in attempts]


def test_seeds_from_two_runs_on_one_kind_of_machine_make_one_run(run, another, tmp_path, finished, found, dtcbench):
    out = tmp_path / "both"
    ended = dtcbench("merge", only(run, {0}), only(another, {1, 2}), "--out", out)
    assert ended.code == 0, ended.out + ended.err
    (folder,) = folders(out)
    assert {path.name: path.read_bytes() for path in records(folder)} == {
        path.name: path.read_bytes() for path in records(finished)
    }
    assert found(folder) == []


def test_shards_in_folders_of_their_own_make_the_run(finished, tmp_path, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    suite = finished / "suite.yaml"
    for shard in ("1/2", "2/2"):  # seeds 0 and 2, and seed 1
        ended = dtcbench("run", suite, "--inline", "--shard", shard, "--out", shard[0])
        assert ended.code == 0 and "the same command runs them" not in ended.out
    assert dtcbench("merge", "1", "2", "--out", "all").code == 0
    (folder,) = folders(Path("all"))
    assert len(every_record(Path("1"))) == 6 and len(every_record(folder)) == 9
    assert {record.key: record.result.accuracy for record in every_record(folder)} == {
        record.key: record.result.accuracy for record in every_record(finished)
    }


def test_a_merged_run_can_be_published(run, another, tmp_path, dtcbench):
    out, results = tmp_path / "both", tmp_path / "results"
    assert dtcbench("merge", only(run, {0}), only(another, {1, 2}), "--out", out).code == 0
    assert dtcbench("publish", folders(out)[0], "--results", results).code == 0
    assert "9 of 9 cells ok" in (results / "README.md").read_text()


def test_the_same_cell_from_two_machines_stays_two_rows(run, another, tmp_path, dtcbench):
    def worse(result):
        result["accuracy"] -= 0.1
        result.pop("hits", None)  # they would contradict it

    out = tmp_path / "both"
    ended = dtcbench("merge", run, on_another_machine(another, worse), "--out", out)
    assert ended.code == 0, ended.out
    cells = pd.read_parquet(out / "tables/cells.parquet")
    assert len(cells) == 18
    assert (cells.groupby("key")["hardware"].nunique() == 2).all()
    assert (cells["hardware"] == cells["hardware_class"]).all()
    assert (cells.groupby("key")["accuracy"].nunique() == 2).all()
    assert [len(records(folder)) for folder in folders(out)] == [9, 9]
    assert f"tiny on {ELSEWHERE}" in (out / "leaderboard.md").read_text()


def test_a_conflict_is_shown_and_nothing_is_written(run, another, tmp_path, dtcbench):
    path = records(another)[4]
    before = content(path)["result"]["accuracy"]
    reseal(path, lambda record: claim_accuracy(record, 0.25))
    ended = dtcbench("merge", run, another, "--out", tmp_path / "both")
    assert ended.code == 1
    first, remedy, last = ended.out.splitlines()
    assert remedy == "`dtcbench show CELL --run RUN` shows either record"
    assert first.startswith(f"conflict: dtc/lars mlp(widths=[16]) digits 0.5 seed 1 ({path.name[:12]}) on CPU ")
    assert f"accuracy {before} and 0.25, in {run} and in {another}" in first
    assert last.startswith(f"1 conflicts: {tmp_path}/both was not written")
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize(("there_s", "code"), [(20.0, 0), (40.0, 1)])
def test_a_board_that_two_runs_calibrated_differently_is_a_conflict(run, another, tmp_path, dtcbench, there_s, code):
    for folder, window_s in ((run, 20.0), (another, there_s)):
        with Store(folder).locked() as writer:
            writer.save_calibration(calibration("GPU-aaaa", window_s))
    ended = dtcbench("merge", run, another, "--out", tmp_path / "both")
    assert ended.code == code, ended.out
    assert (f"conflict: GPU-aaaa was calibrated twice, in {run} and in {another}" in ended.out) is bool(code)
    assert (tmp_path / "both").exists() is not bool(code)


def test_the_same_numbers_at_another_time_are_no_conflict_and_both_records_are_kept(run, another, tmp_path, dtcbench):
    for path in records(another):
        reseal(path, lambda record: record.update(started_at="2031-01-01T00:00:00+00:00", wall_s=99.0))
    out = tmp_path / "both"
    assert dtcbench("merge", run, another, "--out", out).code == 0
    (folder,) = folders(out)
    kept = every_record(folder)
    assert sorted(record.attempt for record in kept) == [1] * 9 + [2] * 9
    untold = {"attempt"}
    before = [record.model_dump(exclude=untold) for source in (run, another) for record in every_record(source)]
    after = [record.model_dump(exclude=untold) for record in kept]
    assert all(record in after for record in before)


def test_the_same_record_in_both_is_one_record(run, another, tmp_path, dtcbench):
    assert dtcbench("merge", run, another, "--out", tmp_path / "both").code == 0
    assert len(records(folders(tmp_path / "both")[0])) == 9


def test_samples_come_along(gpu_run, run, tmp_path, found, dtcbench):
    out = tmp_path / "both"
    assert dtcbench("merge", gpu_run, run, "--out", out).code == 0
    (gpu,) = [folder for folder in folders(out) if "h200" in folder.name]
    assert len(list((gpu / "power").iterdir())) == 9
    assert found(gpu) == []


def test_a_cell_that_is_missing_everywhere_is_one_row(run, another, tmp_path, dtcbench):
    for folder in (run, on_another_machine(another)):
        records(folder)[3].unlink()
    assert dtcbench("merge", run, another, "--out", tmp_path / "both").code == 0
    cells = pd.read_parquet(tmp_path / "both/tables/cells.parquet")
    assert len(cells) == 17
    (missing,) = cells[cells["status"] == "missing"].to_dict("records")
    assert pd.isna(missing["hardware"])


def test_a_failure_that_knows_no_machine_stays_with_its_runs_only_one(run, another, tmp_path, dtcbench):
    def lost(record):
        nothing = dict.fromkeys(["result", "energy", "provenance"])
        record.update(status="error", reason="lost", **nothing)
        record["reasons"] |= dict.fromkeys(nothing, "lost")

    reseal(records(run)[3], lost)
    assert dtcbench("merge", run, on_another_machine(another), "--out", tmp_path / "both").code == 0
    cells = pd.read_parquet(tmp_path / "both/tables/cells.parquet")
    (failed,) = cells[cells["status"] == "error"].to_dict("records")
    assert failed["hardware"].startswith("CPU ")
    assert failed["hardware"] != ELSEWHERE


def test_what_stands_is_never_merged_over(run, another, dtcbench):
    ended = dtcbench("merge", run, another, "--out", run)
    assert ended.code == 2
    assert f"{run} is not empty; choose another folder with --out" in ended.err


def test_one_run_is_no_union(run, tmp_path, dtcbench):
    assert "name at least two" in dtcbench("merge", run, "--out", tmp_path / "x").err


def test_a_tampered_run_is_not_merged(run, another, tmp_path, dtcbench):
    records(another)[3].write_text("{}")
    ended = dtcbench("merge", run, another, "--out", tmp_path / "both")
    assert ended.code == 2
    assert f"{another} cannot be used as it is:" in ended.err
    assert "error: seals" in ended.err


def test_hardware_that_a_folders_name_cannot_tell_apart_has_folders_of_its_own():
    folders = merge.folders_of(["CPU A, 2 cores", "CPU A 2 cores", "CPU B"])
    assert list(folders.values()) == ["cpu-a-2-cores", "cpu-a-2-cores--2", "cpu-b"]


def with_checkpoint(digest):
    """The names of a run whose suite starts a model from the file start.safetensors, of this digest."""
    started = choice(registry.models, "mlp", weights="start.safetensors", weights_sha256=digest)
    return Declared(
        meanings={"model": {"mlp": REGISTERED.meaning("model", "mlp")}},
        chosen={"model": [started]},
        spellings={"model": [Spelling(given={"weights": "start.safetensors"}, choice=started)]},
    )


def test_a_file_of_one_name_and_another_content_is_a_conflict_that_names_both_digests():
    one, other = with_checkpoint("1" * 64), with_checkpoint("2" * 64)
    assert together([one, one]) == one
    with pytest.raises(ValueError, match=r'"weights": "start.safetensors".* different .*1{12}.* and .*2{12}'):
        together([one, other])


def test_suites_of_other_protocols_are_not_one_suite():
    suites = [
        "name: a\nprotocol: {name: standard, steps: 30}\ngrid: [{seeds: 1}]",
        "name: a\nprotocol: published\ngrid: []",
    ]
    with pytest.raises(UserError, match=r'not of one suite: their protocol differs: "published" and .*"steps": 30'):
        merge.union(suites)


def test_the_union_of_one_suite_is_its_text():
    text = "name: a  # as it was written\nprotocol: published\ngrid: [{seeds: 1}]"
    assert merge.union([text, text]) == text


class CountedKey(str):
    """A cell's key that counts how often it is compared with another."""

    compared = 0

    def __eq__(self, other):
        CountedKey.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_the_work_of_numbering_attempts_grows_with_their_number_not_with_its_square(run):
    record = next(iter(Store(run).read().attempts.values()))[0]

    def comparisons(cells):
        """Of merging two runs of so many cells, of which each has another record of every cell."""
        CountedKey.compared = 0
        twice = [
            (Store(run), record.model_copy(update={"key": CountedKey(f"{number:064x}"), "wall_s": wall_s}))
            for number in range(cells)
            for wall_s in (1.0, 2.0)
        ]
        numbered = [one.attempt for _, _, one in merge._numbered(twice)]
        assert numbered == [1, 2] * cells
        return CountedKey.compared

    assert comparisons(200) <= 2 * comparisons(100)
