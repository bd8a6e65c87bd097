"""Several runs as one table: every cell once, and every protocol told apart."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
from cells import task
from suites_for_tests import TINY, edited

from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse
from dtcbench.record import Provenance, Status
from dtcbench.records.run import Run
from dtcbench.records.store import Store
from dtcbench.report.build import claims_notes
from dtcbench.unavailable import Unavailable

PLAN = expand(parse(TINY, "suite.yaml"))


@pytest.fixture
def finished(tiny_workplace):
    return Run.of(PLAN, Store(tiny_workplace / "runs/tiny"))


@pytest.fixture
def failed(tmp_path):
    """A run of the same cells of which one has failed and the others are missing."""
    store = Store(tmp_path / "failed")
    record = task(PLAN.cells[1]).record(Status.OOM, "no memory", "2025-01-01T00:00:00.000+00:00", 1.0)
    with store.locked() as writer:
        writer.append(record)
    return Run.of(PLAN, store)


def test_a_cell_of_several_runs_is_one_row(finished):
    once, twice = Run.pool([finished]), Run.pool([finished, finished])
    assert once.cells.equals(twice.cells)
    assert once.cycles.equals(twice.cycles)


def test_an_ok_cell_counts_wherever_it_stands_before_one_that_failed(finished, failed):
    for runs in ([failed, finished], [finished, failed]):
        pooled = Run.pool(runs)
        assert pooled.cells["status"].tolist() == ["ok"] * 3
        assert pooled.cycles.equals(finished.cycles)
        assert not pooled.conflicts


def test_a_cell_that_several_later_runs_contradict_is_one_conflict(finished, tmp_path):
    others = [Run.of(PLAN, Store(tmp_path / name)) for name in ("one", "other")]
    key = PLAN.cells[1].key
    record = finished.store.read().record(key)
    for accuracy, run in zip((0.1, 0.2), others, strict=True):
        with run.store.locked() as writer:
            writer.append(record.model_copy(update={"result": record.result.model_copy(update={"accuracy": accuracy})}))
    pooled = Run.pool([finished, *others])
    assert pooled.conflicts == pooled.conflicts == {key}


def test_protocols_of_two_suites_that_differ_are_told_apart(finished, tmp_path):
    longer = expand(parse(edited(TINY, ("steps: 30", "steps: 60")), "suite.yaml"))
    cells = Run.pool([finished, Run.of(longer, Store(tmp_path / "longer"))]).cells
    assert sorted(set(cells["protocol"])) == [
        "standard(cycle_steps=5, steps=30)",
        "standard(cycle_steps=5, steps=60)",
    ]
    assert cells.groupby("protocol")["status"].first().tolist() == ["ok", "missing"]


def test_the_notes_on_claims_name_conflicts_and_give_the_control(finished):
    assert claims_notes(finished) == []
    controls = [
        {**finished.cells.iloc[0].to_dict(), "method": method, "seed": seed, "accuracy": 0.9 + seed**2 * share / 100}
        for method, share in (("dtc", 0), ("dtc(stream=1)", 1))
        for seed in range(3)
    ]
    conflict, control = claims_notes(SimpleNamespace(conflicts={"b" * 64}, cells=pd.DataFrame(controls)))
    assert conflict == "Other accuracies in a later run, which do not count: bbbbbbbbbbbb"
    assert control.startswith("A/A control: 1 comparison of a method with itself")


@pytest.mark.parametrize(
    ("versions", "spans"),
    [(["1.0", None, "1.0"], None), (["1.0", None, "1.1"], "2 stacks of package versions: timm 1.0; timm 1.1")],
)
@pytest.mark.parametrize(
    "code",
    [
        {},
        {"commit": Unavailable("no checkout"), "commit_clean": Unavailable("no checkout"), "source_sha256": "ab" * 32},
    ],
    ids=["checkout", "installed"],
)
def test_cells_that_no_package_builds_make_no_second_stack_and_two_versions_of_one_do(
    finished, tmp_path, versions, spans, code
):
    store = Store(tmp_path / "built")
    with store.locked() as writer:
        for record, version in zip(finished.records(), versions, strict=True):
            packages = record.provenance.packages | ({"timm": version} if version else {})
            made = Provenance.of(**{**dict(record.provenance), "packages": packages, **code})
            writer.append(record.model_copy(update={"provenance": made}))
    notes = [note for note in Run.of(PLAN, store).leaderboard().notes if "stacks" in note]
    assert notes == ([f"The ok cells span {spans}."] if spans else [])
