"""What moved between two runs: row by row, seed by seed, and never more than the seeds can tell."""

import io
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from tampering import claim_accuracy, content, records, reseal

from dtcbench.publish import compare
from dtcbench.records.run import Run
from dtcbench.report.score import R2
from dtcbench.report.terminal import terminal

PUBLISHED = Path(__file__).parents[2] / "docs/published"


@pytest.fixture
def after(finished, tmp_path):
    """A copy to be compared with the finished run."""
    return shutil.copytree(finished, tmp_path / "after")


def of(run):
    return Run(run).cells


def rows(before, after):
    return {row.competitor: row for row in compare.moves(of(before), of(after))}


def shift(run, method, by):
    """Add to the accuracies of a method, seed by seed."""
    for path, points in zip(
        [p for p in records(run) if content(p)["cell"]["method"]["name"] == method], by, strict=True
    ):
        accuracy = content(path)["result"]["accuracy"]
        reseal(path, lambda record, value=accuracy + points: claim_accuracy(record, value))


def test_a_run_has_not_moved_from_itself(finished):
    for row in rows(finished, finished).values():
        assert (row.verdict, row.pairs, row.equal, row.alone, row.other_cells) == ("same", 3, 3, (0, 0), 0)
        assert (row.difference.mean, row.time.mean) == (0, 1)
        assert math.isnan(row.energy.mean)


def test_what_moved_in_every_seed_has_moved_and_the_rest_has_not(finished, after):
    shift(after, "magnitude", [0.02, 0.022, 0.018])
    found = rows(finished, after)
    assert found["magnitude"].verdict == "moved"
    assert found["magnitude"].difference.mean == pytest.approx(0.02)
    half = 4.302653 * 0.002 / math.sqrt(3)  # t(0.975, 2) s / √n
    assert found["magnitude"].difference.interval == pytest.approx((0.02 - half, 0.02 + half), abs=1e-6)
    assert found["dense"].verdict == found["dtc / lars"].verdict == "same"


def test_a_pool_of_two_kinds_of_targets_shows_each_difference_by_its_own_score(finished, after):
    shift(after, "magnitude", [0.02, 0.022, 0.018])
    moved = rows(finished, after)["magnitude"]
    view = compare.moves_view(("a", "b"), [moved, replace(moved, score=R2)], [])
    console = Console(width=200, file=io.StringIO())
    console.print(terminal(view))
    shown = console.file.getvalue()
    assert "accuracy, points or R2" in shown and "+2.00" in shown
    assert shown.count(" R2 ") == 2 and "+0.0200" in shown


def test_what_moved_up_and_down_is_not_told_apart(finished, after):
    shift(after, "magnitude", [0.02, -0.02, 0.0])
    assert rows(finished, after)["magnitude"].verdict == "no difference shown"


def test_what_moved_alike_in_every_seed_has_no_interval_and_says_so(finished, after):
    shift(after, "magnitude", [0.02, 0.02, 0.02])
    assert rows(finished, after)["magnitude"].verdict == "moved alike in every seed"


def test_two_seeds_have_no_interval(finished, after):
    shift(after, "dtc", [0.02, 0.02, 0.02])
    records(after)[3].unlink()
    row = rows(finished, after)["dtc / lars"]
    assert (row.verdict, row.pairs, row.alone) == ("too few seeds", 2, (1, 0))


def test_a_row_of_one_run_alone_is_a_row(finished, after):
    for path in records(after):
        if content(path)["cell"]["method"]["name"] == "magnitude":
            path.unlink()
    row = rows(after, finished)["magnitude"]
    assert (row.verdict, row.pairs, row.alone) == ("no seed in both", 0, (0, 3))


def test_joules_and_seconds_are_ratios_within_one_hardware_class(with_power, finished):
    same = rows(with_power, with_power)["dtc / lars"]
    assert (same.energy.mean, same.time.mean) == (1, 1)
    apart = rows(finished, with_power)["dtc / lars"]
    assert math.isnan(apart.energy.mean) and math.isnan(apart.time.mean)


@pytest.mark.usefixtures("sketched")
def test_other_configurations_are_paired_by_seed_and_named(finished, dtcbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suite = (finished / "suite.yaml").read_text().replace("steps: 30", "steps: 40")
    (tmp_path / "more.yaml").write_text(suite)
    assert dtcbench("run", "more.yaml", "--inline").code == 0
    ended = dtcbench("compare", finished, "tiny")
    assert ended.code == 0
    assert "9 of 9 pairs are not the same cell: their configurations differ." in ended.out


@pytest.mark.parametrize("turned", [False, True])
def test_a_recipe_that_one_run_has_more_leaves_the_other_recipes_cells_paired(finished, turned):
    one = of(finished)
    other = one.assign(protocol="standard(cycle_steps=5, steps=40)", protocol_sha256="0123456789ab")
    sides = [one, pd.concat([one, other], ignore_index=True)]
    moves = compare.moves(*reversed(sides) if turned else sides)
    found = {(row.pool.partition(" ·")[0], row.competitor): (row.pairs, row.other_cells, row.verdict) for row in moves}
    both, alone = "standard(cycle_steps=5, steps=30)", "standard(cycle_steps=5, steps=40)"
    for competitor in ("dense", "dtc / lars", "magnitude"):
        assert found[both, competitor] == (3, 0, "same")
        assert found[alone, competitor] == (0, 0, "no seed in both")
    assert len(moves) == 6


def test_the_table_says_what_it_compares_and_how_to_read_it(finished, after, dtcbench):
    shift(after, "magnitude", [0.02, 0.022, 0.018])
    ended = dtcbench("compare", finished, after)
    assert ended.code == 0
    assert ended.out.startswith(f"from {finished} to {after}\n")
    line = next(line for line in ended.out.splitlines() if line.strip().startswith("magnitude"))
    assert "+2.00 [+1.50, +2.50]" in line
    assert line.rstrip().endswith("moved")
    assert "Rows are not corrected for their number" in ended.out


def test_a_published_table_is_recomputed_without_any_run(dtcbench):
    ended = dtcbench("compare", "--published", PUBLISHED / "torch_pruning.csv")
    assert ended.code == 0
    assert "! HRank: 93.26 → 92.17 is −1.09; its source states −0.09 as difference" in ended.out
    assert "! DepGraph: 93.53 → 93.77 is +0.24; its source states +0.38 as difference" in ended.out
    assert "4 of 27 stated differences disagree with their own table." in ended.out


def test_ours_stand_under_a_published_table_at_the_nearest_sparsity(finished, dtcbench, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "source,network,dataset,method,sparsity\na paper,MLP,Digits,theirs,0.6\na paper,vgg-16,cifar-10,x,0.6"
    )
    ended = dtcbench("compare", finished, "--published", table)
    assert ended.code == 0
    row = next(row for row in Run(finished).leaderboard().rows.to_dict("records") if row["method"] == "magnitude")
    assert f"· theirs, 60.0 % removed: nearest of ours: {100 * row['sparsity_reached']:.1f} % removed" in ended.out
    line = next(line for line in ended.out.splitlines() if line.startswith("ours: magnitude"))
    assert f"{100 * row['accuracy_mean']:.2f}" in line
    assert "· x: nothing of ours on this network and data" in ended.out


def test_one_run_alone_is_compared_with_nothing(finished, dtcbench):
    ended = dtcbench("compare", finished)
    assert ended.code == 2
    assert "compare takes two runs, not 1; or name a table of others with --published CSV" in ended.err
