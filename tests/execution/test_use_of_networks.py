"""`use` in a suite: what using each cell's final network takes, in records, tables, pages; no key changes."""

import contextlib
import json

import pandas as pd
import pytest
from cells import cell, task, timeless
from suites_for_tests import TINY, edited, mistakes
from typer.testing import CliRunner

import dtcbench as library
from dtcbench import cli
from dtcbench.execution.suite_run import read_suite
from dtcbench.execution.task import Job
from dtcbench.execution.worker import NOT_USED, attempt
from dtcbench.plan.claim import Counted, WayOfUse, load
from dtcbench.plan.rehearsal import rehearsal
from dtcbench.plan.suite import parse
from dtcbench.record import CellRecord
from dtcbench.records import use
from dtcbench.records.dictionary import TABLES
from dtcbench.report.plans import use_note

USING = edited(TINY, ("widths: [16]", "widths: [30]")) + "use: {batch_sizes: [1, 4], window: 0.01s}\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run that uses its networks; only to be read."""
    out = tmp_path_factory.mktemp("used") / "run"
    return library.run(USING, str(out), inline=True, progress=False)


def said(run, *arguments):
    with contextlib.chdir(run.folder.parent):
        return CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "200"})


def test_what_is_used_changes_no_key_and_no_number(run):
    plain, using = (read_suite(text, None)[1] for text in (USING.partition("use:")[0], USING))
    assert [one.key for one in plain.cells] == [one.key for one in using.cells]
    record = next(record for record in run.records() if record.cell.method.name == "dtc")
    without = CellRecord.model_validate(attempt(task(record.cell)).record)
    assert without.use is None and without.reasons["use"] == NOT_USED.reason
    assert timeless(without.result) == timeless(record.result)


def test_a_suite_that_says_nothing_uses_nothing_and_defaults_are_those_of_the_issue():
    assert parse(TINY, "tiny.yaml").use is None
    asked = parse(TINY + "use: {}\n", "tiny.yaml").use
    assert (asked.batch_sizes, asked.window, asked.windows) == ([1, 64, 1024], 3, 6)


@pytest.mark.parametrize(
    ("asked", "place", "message"),
    [
        ("{windows: 5}", "use.windows", "5"),
        ("{window: 0s}", "use.window", "greater than 0"),
        ("{batch_sizes: []}", "use.batch_sizes", "at least one"),
        ("{batch_sizes: [1, 1]}", "use.batch_sizes", "each size once is enough"),
        ("{batch_sizes: [0]}", "use.batch_sizes[0]", "greater than 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(asked, place, message):
    ((_, where, what),) = mistakes(TINY + f"use: {asked}\n")
    assert where == place and message in what


def test_a_record_holds_every_way_with_numbers_or_reasons(run):
    for record in run.records():
        assert len(record.use) == 2 * 2 * 2
        for one in record.use:
            assert (one.throughput is None) == (
                one.mode == "cuda-graph" or (one.widths, record.cell.method.name) == ("rounded", "dense")
            )
            assert one.energy_j is None and one.energy_method == "none"
            if one.throughput:
                assert 0 < one.throughput.low <= one.throughput.median <= one.throughput.high
                assert one.reasons["energy_j"] == "the cell ran on the CPU"


def test_a_record_with_a_way_twice_or_a_number_of_0_is_damaged(run):
    whole = next(run.records()).model_dump(mode="json")
    with pytest.raises(ValueError, match="a way of use stands twice"):
        CellRecord.model_validate({**whole, "use": [*whole["use"], whole["use"][0]]})
    stopped = {**whole["use"][0], "throughput": {"median": 0.0, "low": 0.0, "high": 0.0}}
    with pytest.raises(ValueError, match="greater than 0"):
        CellRecord.model_validate({**whole, "use": [stopped]})


def test_the_tables_have_a_row_for_each_way_and_compare_it_with_dense(run):
    stored = pd.read_parquet(run.folder / "tables/use.parquet")
    assert list(stored) == list(TABLES["use"])
    assert stored.groupby("key", sort=False).size().tolist() == [8, 8, 8]
    rows = pd.read_csv(run.folder / "use.csv")
    assert list(rows) == list(use.COMPARED)
    dense = rows[(rows["method"] == "dense") & (rows["measured"] == 1)]
    assert (dense[["time_ratio", "flops_ratio"]] == 1).all(axis=None)
    pruned = rows[(rows["method"] == "dtc") & (rows["widths"] == "pruned")]
    rounded = rows[(rows["method"] == "dtc") & (rows["widths"] == "rounded") & (rows["mode"] == "eager")]
    assert (pruned["flops_ratio"] < rounded["flops_ratio"].iloc[0]).all()  # 15 neurons, and 16
    assert (rounded["flops_ratio"] < 1).all() and rounded["time_ratio"].notna().all()


def test_every_rendering_shows_them_and_says_what_was_not_measured(run):
    shown = said(run, "board", str(run.folder), "--use")
    assert shown.exit_code == 0, shown.output
    page = (run.folder / "leaderboard.html").read_text()
    for rendering in (shown.output, (run.folder / "use.md").read_text(), page):
        words = " ".join(rendering.split())
        assert "10 rows not measured: the network ran on the CPU, which has no CUDA graphs." in words
        assert "rounding changes no width: this is the network as it was pruned" in words
        assert "Joules of the GPU: 10 rows without a number: the cell ran on the CPU." in words
    assert "Using the networks" in page and "-time-of-use" in page
    assert {path.suffix for path in (run.folder / "figures").glob("*-time-of-use.*")} == {".pdf", ".svg"}
    cells = said(run, "show", next(run.records()).key[:12], "--run", str(run.folder))
    assert "use, pruned, eager, batch 4" in cells.output and "samples/s [" in cells.output


@pytest.mark.parametrize(
    ("batch_size", "reason"),
    [(4, "no energy: the cell ran on the CPU"), (64, "no energy: use not measured at batch 64, eager, as pruned")],
)
def test_a_claim_on_the_energy_of_use_reads_what_the_records_hold_of_its_way(run, batch_size, reason):
    shipped = load(["2b-energy-of-use"])[0].claim
    estimand = shipped.estimand.model_copy(update={"use": WayOfUse(batch_size=batch_size)})
    (found,) = run.claims(claims=[shipped.model_copy(update={"estimand": estimand, "cells": Counted()})])
    assert (found.verdict, found.reason) == ("not measured", reason)


def test_a_run_that_used_nothing_says_how_to(tiny_workplace):
    with contextlib.chdir(tiny_workplace):
        ended = CliRunner().invoke(cli.app, ["board", "tiny", "--use"])
    assert ended.exit_code != 0
    assert not (tiny_workplace / "runs/tiny/use.csv").exists()


def test_a_failing_use_leaves_the_result(monkeypatch):
    using = task(cell("random"))
    object.__setattr__(using, "job", Job.of(parse(USING, "tiny.yaml")))

    def fail(*_):
        raise RuntimeError("no room")

    monkeypatch.setattr("dtcbench.training.use.Stopwatch.time", fail)
    record = CellRecord.model_validate(attempt(using).record)
    assert record.status == "ok"
    assert record.use[0].reasons["throughput"] == "RuntimeError: no room"


def test_the_plan_says_how_long_it_takes_and_a_rehearsal_is_brief():
    text = TINY + "use: {window: 10s, batch_sizes: [1, 8, 64]}\n"
    (note,) = use_note(read_suite(text, None)[1])
    assert note == "use: about 7 min a cell, 2 × 3 batch sizes in 6 windows of 10 s: 21 min for 3 cells"
    assert use_note(read_suite(TINY, None)[1]) == []
    use = parse(rehearsal(text, "x"), "x").use
    assert (use.window, use.batch_sizes) == (0.01, [16])
    assert "use" not in json.dumps(rehearsal(TINY, "x"))
