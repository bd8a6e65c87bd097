"""Seeds until decided: what gets more seeds, and the same decisions however often the run is killed."""

from __future__ import annotations

import json
import os
import signal

import pandas as pd
import pytest
from suites_for_tests import TINY, edited

import dtcbench as package
from dtcbench.analysis.sequential import Looks
from dtcbench.analysis.verdicts import DECIDED, Comparison, Conclusion, Verdict
from dtcbench.errors import UserError
from dtcbench.execution import executor
from dtcbench.execution.task import Report
from dtcbench.execution.watcher import Watcher
from dtcbench.record import Status
from dtcbench.records.location import StoreError
from dtcbench.records.run import Run
from dtcbench.records.store import Store
from dtcbench.report import build

SUITE = edited(
    TINY,
    ("name: tiny", "name: claims"),
    ("seeds: 1", "seeds: {first: 5, step: 3, most: 11}"),
    ("steps: 30", "steps: 8"),
    ("cycle_steps: 5", "cycle_steps: 2, samples: 200"),
    ("[dtc, magnitude]", "[dtc, magnitude, random]"),
)
ABOUT_NOTHING = edited(SUITE, ("[dtc, ", "["), ("    solvers: [lars]\n", ""))
LOOKS = Looks(5, 3, 11)
DECIDED_AT = {"magnitude": 1, "random": 2, "dtc": 4}
"""At which look each method's comparison with dense is decided; that of dtc, never."""


def fake(run: Run, claims: object = ()) -> tuple[Conclusion, ...]:
    """A claim whose comparisons are decided at the looks of `DECIDED_AT`, unless one of their cells has failed."""
    cells = run.cells
    comparisons = tuple(comparison(cells, method) for method in sorted(set(cells["method"]) - {"dense"}))
    return (Conclusion("fake", "", "", Verdict.UNDECIDED, "", "", comparisons),)


def comparison(cells: pd.DataFrame, method: str) -> Comparison:
    rows = cells[cells["method"] == method]
    is_ok = (rows["status"] == "ok").all()
    verdict = Verdict.UNDECIDED
    if is_ok and LOOKS.reached(len(rows)) >= DECIDED_AT[method]:
        verdict = Verdict.REFUTED
    keys = tuple(rows["key"])
    return Comparison(f"{method} − dense", verdict, "", seeds=len(rows), cells=keys, seeds_needed=9 if is_ok else None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "claims", fake)
        patch.setattr(build, "write", lambda run, writer: ())
        package.run(SUITE, folder, inline=True, progress=False, until_decided=True)
    return folder


@pytest.fixture
def seen(monkeypatch, whole):
    """Each cell ends as in `whole`, without training, and no report is made. The accuracies that each look judged."""
    looked: list[dict[str, float]] = []

    def judged(run: Run, claims: object = ()) -> tuple[Conclusion, ...]:
        looked.append(dict(zip(run.cells["key"], run.cells["accuracy"], strict=True)))
        return fake(run)

    def replayed(task, asked_to_stop):
        record = recorded.record(task.key).model_copy(update={"attempt": task.attempt})
        return Report(record.model_dump(mode="json"), None)

    recorded = Store(whole).read()
    monkeypatch.setattr(Run, "claims", judged)
    monkeypatch.setattr(executor, "attempt", replayed)
    monkeypatch.setattr(build, "write", lambda run, writer: ())
    return looked


class Stops(Watcher):
    """Ends the run like a second Ctrl-C: at the end of the cell of this number, or at the look of this number."""

    def __init__(self, cell=0, look=0):
        self.cell, self.look, self.looks = cell, look, []

    def ended(self, record, final):
        self.cell -= 1
        if self.cell == 0:
            raise KeyboardInterrupt

    def looked(self, look):
        self.looks.append(look)
        if len(self.looks) == self.look:
            raise KeyboardInterrupt


def run(folder, progress=False, **options):
    return package.run(SUITE, folder, inline=True, progress=progress, **{"until_decided": True} | options)


def looks(folder):
    return json.loads((folder / "looks.json").read_text())["looks"]


def test_only_what_is_undecided_gets_more_seeds_and_its_dense_cells_with_it(tmp_path, seen):
    cells = run(tmp_path).cells

    assert cells.groupby("method")["seed"].agg(list).to_dict() == {
        "dense": [*range(11)],
        "dtc": [*range(11)],
        "magnitude": [*range(5)],
        "random": [*range(8)],
    }
    assert [(look["seeds"], look["decided"], len(look["rows"])) for look in looks(tmp_path)] == [
        (5, ["fake: magnitude − dense: refuted"], 3),
        (8, ["fake: random − dense: refuted"], 2),
        (11, [], 0),
    ]
    assert looks(tmp_path)[-1]["open"] == ["fake: dtc − dense"]


def test_a_cell_that_was_never_planned_is_not_missing(tmp_path, seen):
    assert run(tmp_path).status() == {"ok": 35}
    assert Run(tmp_path).status() == {"ok": 35}


def test_a_look_sees_no_cell_of_a_later_look(tmp_path, seen, whole):
    run(tmp_path)
    alone = list(seen)
    seen.clear()
    (tmp_path / "looks.json").unlink()  # as if the run had been killed before each look, and its cells were there
    run(tmp_path)

    assert [len(cells) for cells in alone] == [20, 29, 35]
    assert seen == alone
    assert (tmp_path / "looks.json").read_bytes() == (whole / "looks.json").read_bytes()


STOPS = {
    "within the first look": (7, 0),
    "at its last cell": (20, 0),
    "after a look": (0, 1),
    "within a later look": (24, 0),
    "after the last": (0, 3),
}


@pytest.mark.parametrize(("cell", "look"), STOPS.values(), ids=STOPS.keys())
def test_a_run_that_is_stopped_and_resumed_decides_the_same(tmp_path, seen, whole, cell, look):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Stops(cell, look))
    resumed = run(tmp_path)

    assert (tmp_path / "looks.json").read_bytes() == (whole / "looks.json").read_bytes()
    assert resumed.cells["accuracy"].equals(Run(whole).cells["accuracy"])


def test_a_first_ctrl_c_at_the_last_cell_of_a_look_plans_no_further_cell(tmp_path, seen):
    class Asks(Watcher):
        ends = 0

        def ended(self, record, final):
            self.ends += 1
            if self.ends == 20:
                os.kill(os.getpid(), signal.SIGINT)

    assert run(tmp_path, Asks()).status() == {"ok": 20}
    assert not (tmp_path / "looks.json").exists()
    assert run(tmp_path).status() == {"ok": 35}


def test_a_look_waits_until_all_of_its_cells_have_ended(tmp_path, seen):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Stops(cell=24))

    assert Run(tmp_path).status() == {"ok": 24, "missing": 4, "cancelled": 1}
    assert len(looks(tmp_path)) == 1


def test_without_the_option_the_first_seeds_run_or_what_the_looks_have_planned_by_then(tmp_path, seen):
    assert run(tmp_path, until_decided=False).status() == {"ok": 20}
    assert not (tmp_path / "looks.json").exists()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Stops(look=1))
    assert run(tmp_path, until_decided=False).status() == {"ok": 29}
    assert len(looks(tmp_path)) == 1


def test_a_comparison_with_a_failed_cell_goes_on_once_that_is_run_again(tmp_path, seen, monkeypatch):
    replayed = executor.attempt

    def fails_once(task, asked_to_stop):
        if (task.cell.method.name, task.cell.seed, task.attempt) == ("dtc", 3, 1):
            return Report(task.record(Status.ERROR, "it broke", "2025-01-01", 1.0).model_dump(mode="json"), None)
        return replayed(task, asked_to_stop)

    monkeypatch.setattr(executor, "attempt", fails_once)

    assert run(tmp_path).cells.groupby("method").size().to_dict() == {
        "dense": 8,
        "dtc": 5,
        "magnitude": 5,
        "random": 8,
    }
    assert run(tmp_path, retry_failed=True).status() == {"ok": 35}


def test_other_seeds_than_the_looks_were_at_are_refused(tmp_path, seen):
    run(tmp_path)
    with pytest.raises(StoreError, match=r"looked at with seeds .*most: 11}, and the suite now has .*most: 14}"):
        package.run(edited(SUITE, ("most: 11", "most: 14")), tmp_path, inline=True, progress=False)


def test_looks_that_cannot_be_read_are_named(tmp_path, seen):
    run(tmp_path)
    (tmp_path / "looks.json").write_text("{}")
    with pytest.raises(StoreError, match=r"looks.json: it cannot be read"):
        Run(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoke": True}, "--until-decided needs all cells of the suite itself: remove it or --smoke"),
        ({"cell": "0"}, "remove it or --cell"),
        ({"suite": TINY}, "the seeds of suite tiny are fixed; write `seeds: {first: 5, step: 5, most: 40}`"),
        ({"suite": ABOUT_NOTHING}, "no claim is about suite claims and one of its methods"),
        ({"claims": "mine.yaml", "until_decided": False}, "--claims does nothing without --until-decided"),
    ],
)
def test_what_cannot_be_run_until_decided_is_refused(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        package.run(**{"suite": SUITE, "out": tmp_path / "new", "inline": True, "until_decided": True} | options)
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_what_each_look_decides(tmp_path, seen, monkeypatch, dtcbench):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    ended = dtcbench("run", "tiny.yaml", "--inline", "--until-decided")

    printed = [line for line in ended.out.splitlines() if line.startswith(("claims:", "look", "  decided", "  open"))]
    seal = printed.pop()  # under the verdicts
    assert seal.rstrip() == "claims: rule not sealed"
    assert printed == [
        "claims: 20 cells, 20 to run",
        "look at 5 seeds: 1 newly decided, 2 open; 3 rows get more seeds",
        "  decided: fake: magnitude − dense: refuted",
        "  open: fake: dtc − dense",
        "  open: fake: random − dense",
        "claims: 29 cells, 9 to run",
        "look at 8 seeds: 1 newly decided, 1 open; 2 rows get more seeds",
        "  decided: fake: random − dense: refuted",
        "  open: fake: dtc − dense",
        "claims: 35 cells, 6 to run",
        "look at 11 seeds: 0 newly decided, 1 open; no row gets more seeds",
        "  open: fake: dtc − dense",
    ]
    assert "[35/35]" in ended.out


MINE = """\
id: largest-matter
title: The largest matter
statement: Dropping the neurons of the smallest norm leaves more accuracy than dropping the largest, and than chance.
sources: [{work: a test, version: "1", quotation: "the largest matter"}]
estimand: {of: [magnitude], minus: [anti-magnitude, random]}
null: The norm says nothing.
test: everywhere
family: largest matter
smallest_effect: {points: 1}
"""


def test_ones_own_claim_is_decided_by_its_rule_and_the_run_says_the_same_afterwards(tmp_path, sketched):
    (tmp_path / "mine.yaml").write_text(MINE)
    suite = edited(
        SUITE,
        ("[dtc, magnitude, random]", "[magnitude, anti-magnitude, random]"),
        ("    solvers: [lars]\n", ""),
        ("name: claims", "name: mine"),
        ("steps: 8, cycle_steps: 2, samples: 200", "steps: 24, cycle_steps: 4, lr: 0.02, samples: 800"),
        ("[0.5]", "[0.8]"),
    )
    done = package.run(
        suite, tmp_path / "run", inline=True, progress=False, until_decided=True, claims=tmp_path / "mine.yaml"
    )
    (conclusion,) = done.claims(claims=[tmp_path / "mine.yaml"])

    decided_at = {line: look["seeds"] for look in looks(tmp_path / "run") for line in look["decided"]}
    verdicts = {
        f"largest-matter: {one.where}: {one.verdict}": one.seeds
        for one in conclusion.comparisons
        if one.verdict in DECIDED
    }
    assert verdicts
    assert {line: seeds for line, seeds in decided_at.items() if " − " in line} == verdicts
    assert {one.seeds for one in conclusion.undecided} <= {11}
    assert Run(tmp_path / "run").status() == {"ok": len(done.cells)}


def test_a_plan_says_how_many_seeds_find_a_difference_by_the_records_of_the_run(tmp_path, whole, dtcbench):
    suite = tmp_path / "claims.yaml"
    suite.write_text(SUITE)
    lacking = dtcbench("plan", suite, "--out", tmp_path / "none", "--detect", "1")
    known = dtcbench("plan", suite, "--out", whole, "--detect", "1")
    other = dtcbench("plan", suite, "--out", tmp_path / "none", "--detect", "1", "--from", whole)

    assert (
        "comparisons have fewer than 3 finished pairs, or equal ones: `dtcbench run claims` makes more" in lacking.out
    )
    assert "5 of 5 comparisons find it with no number of seeds up to 10,000: other test images could" in known.out
    many = dtcbench("plan", suite, "--out", whole, "--detect", "40").out
    assert "seeds find a true difference of 40 points in 80 % of cases in each of 5 comparisons" in many
    assert "fewer than 3 finished pairs" not in known.out
    assert other.out == known.out
    assert "does nothing without --detect" in dtcbench("plan", suite, "--from", whole).err
    assert "--detect 0: give a difference in percentage points" in dtcbench("plan", suite, "--detect", "0").err


def test_the_claims_sealed_with_a_run_are_those_that_it_decides(tmp_path, seen, monkeypatch, dtcbench):
    judged = []
    monkeypatch.setattr(Run, "claims", lambda run, claims=(): judged.append([one.id for one in claims]) or ())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(edited(MINE, ("[anti-magnitude, random]", "[random]")))
    (tmp_path / "suite.yaml").write_text(SUITE)
    assert dtcbench("plan", "suite.yaml", "--seal", "--claims", "mine.yaml").code == 0
    package.run("suite.yaml", inline=True, progress=False, until_decided=True)

    assert judged[-1] == ["largest-matter"]
    (tmp_path / "mine.yaml").write_text(edited(MINE, ("[anti-magnitude, random]", "[anti-magnitude]")))
    with pytest.raises(UserError, match=r"--claims: largest-matter is not in the rules that were fixed for .* as "):
        package.run("suite.yaml", inline=True, progress=False, until_decided=True, claims="mine.yaml")
