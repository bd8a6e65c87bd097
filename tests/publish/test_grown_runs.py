"""A run until decided is published, checked and merged with the looks that say why some rows have more seeds."""

import contextlib
import json
import shutil

import pytest
from sketches import sketches
from suites_for_tests import TINY, edited
from tampering import made_clean, records, reseal

import dtcbench as package
from dtcbench.analysis.verdicts import Comparison, Conclusion, Verdict
from dtcbench.records.run import Run

SUITE = edited(
    TINY,
    ("name: tiny", "name: claims"),
    ("seeds: 1", "seeds: {first: 5, step: 3, most: 8}"),
    ("steps: 30", "steps: 8"),
    ("cycle_steps: 5", "cycle_steps: 2, samples: 200"),
)


def fake(run: Run, claims: object = ()) -> tuple[Conclusion, ...]:
    """A claim about magnitude that nothing decides."""
    keys = tuple(run.cells.loc[run.cells["method"] == "magnitude", "key"])
    open_one = Comparison("magnitude", Verdict.UNDECIDED, "", seeds=len(keys), cells=keys, seeds_needed=9)
    return (Conclusion("fake", "", "", Verdict.UNDECIDED, "", "", (open_one,)),)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A finished run, of which one method has more seeds than the other; only to be read."""
    folder = tmp_path_factory.mktemp("grown")
    with contextlib.chdir(folder), sketches(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "claims", fake)
        package.run(SUITE, inline=True, progress=False, until_decided=True)
        for path in records(folder / "runs/claims"):
            reseal(path, made_clean)
    return folder / "runs/claims"


def test_a_grown_run_is_published_with_its_looks_and_passes_every_check(grown, tmp_path, found, sketched, dtcbench):
    run = shutil.copytree(grown, tmp_path / "run")
    assert dtcbench("publish", run, "--results", tmp_path / "results").code == 0
    (looks,) = (tmp_path / "results").rglob("looks.json")

    assert looks.read_bytes() == (grown / "looks.json").read_bytes()
    assert found(looks.parent) == []
    assert Run(looks.parent).status() == {"ok": 5 * 3 + 3 * 2}


def test_a_run_until_decided_ends_with_the_verdicts(grown, tmp_path, sketched, dtcbench, monkeypatch):
    monkeypatch.setattr(Run, "claims", fake)
    shutil.copytree(grown, tmp_path / "run")
    (tmp_path / "suite.yaml").write_text(SUITE)
    out = dtcbench("run", tmp_path / "suite.yaml", "--out", tmp_path / "run", "--inline", "--until-decided").out
    assert out.index("Written:") < out.index("undecided") < out.index("rule not sealed")


def test_a_run_stopped_on_its_way_to_a_look_is_published_as_it_was_at_the_look_before(
    grown, tmp_path, found, sketched, dtcbench
):
    run = shutil.copytree(grown, tmp_path / "run")
    last = [cell.key for cell in Run(grown).plan.cells[5 * 3 :]]
    (run / f"records/{last[-1]}.1.json").unlink()
    assert any(f"{len(last) - 1} of {len(last)} cells of look 2 have ended" in line for line in found(run))
    assert dtcbench("publish", run, "--results", tmp_path / "results").code == 0
    (looks,) = (tmp_path / "results").rglob("looks.json")

    assert json.loads(looks.read_text())["looks"] == []
    assert found(looks.parent) == []
    assert Run(looks.parent).status() == {"ok": 5 * 3}


def test_a_run_goes_on_from_its_bundle_to_the_same_looks(grown, tmp_path, sketched, dtcbench, monkeypatch):
    run = shutil.copytree(grown, tmp_path / "run")
    last = [cell.key for cell in Run(grown).plan.cells[5 * 3 :]]
    (run / f"records/{last[-1]}.1.json").unlink()
    assert dtcbench("publish", run, "--results", tmp_path / "results").code == 0
    (looks,) = (tmp_path / "results").rglob("looks.json")
    again = shutil.copytree(looks.parent, tmp_path / "again")
    monkeypatch.setattr(Run, "claims", fake)
    package.run(SUITE, again, inline=True, progress=False, until_decided=True)

    assert (again / "looks.json").read_bytes() == (grown / "looks.json").read_bytes()
    assert Run(again).status() == {"ok": 5 * 3 + 3 * 2}


def test_records_without_their_looks_are_said_to_be_in_no_table(grown, tmp_path, found):
    run = shutil.copytree(grown, tmp_path / "run")
    (run / "looks.json").unlink()
    assert any("the suite does not plan: it is in no table" in line for line in found(run))
    assert Run(run).status() == {"ok": 5 * 3}


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"seeds": {"first": 5, "step": 5, "most": 10}, "looks": []}'])
def test_looks_that_are_not_the_suites_are_an_error(grown, tmp_path, found, text):
    run = shutil.copytree(grown, tmp_path / "run")
    (run / "looks.json").write_text(text)
    assert any(line.startswith("error: suite: looks.json: ") for line in found(run)), found(run)


def test_a_merged_run_has_the_looks_of_both(grown, tmp_path, sketched, dtcbench):
    short = shutil.copytree(grown, tmp_path / "short")
    taken = json.loads((short / "looks.json").read_text())
    taken["looks"] = []
    (short / "looks.json").write_text(json.dumps(taken))
    ended = dtcbench("merge", short, grown, "--out", tmp_path / "both")
    assert ended.code == 0, ended.out + ended.err
    (looks,) = (tmp_path / "both").glob("*/looks.json")

    assert json.loads(looks.read_text()) == json.loads((grown / "looks.json").read_text())
    assert Run(looks.parent).status() == {"ok": 5 * 3 + 3 * 2}
