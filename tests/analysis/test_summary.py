"""Mean ranks and profiles over (dataset, model) pairs: pools, coverage, and nothing imputed."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from handmade import CYCLES, build, cell, claim

from dtcbench.analysis.claims import conclusions
from dtcbench.analysis.verdicts import Verdict
from dtcbench.report.columns import headline

SEEDS = range(3)


PAIRS = "abcdef"
"""As many as ranks need."""


def on(dataset: str, failed: tuple[str, ...] = (), **accuracies: float) -> list[dict]:
    """Cells of one data set, one accuracy a method; the last seed of the `failed` methods is not ok."""
    return [
        cell(
            method,
            seed,
            dataset=dataset,
            accuracy=accuracy,
            status="oom" if method in failed and seed == SEEDS[-1] else "ok",
        )
        for method, accuracy in {"dense": 0.99, **accuracies}.items()
        for seed in SEEDS
    ]


def lines(*cells: list[dict]) -> pd.DataFrame:
    return build([c for some in cells for c in some]).summary


def ranks(summary: pd.DataFrame, pairs: int) -> dict[str, float]:
    """The mean ranks of the pool with so many pairs."""
    pool = summary[summary["pairs"].str.count(";") == pairs - 1]
    return dict(zip(pool["method"], pool["mean_rank"], strict=True))


def test_ranks_are_means_over_pairs_the_best_first():
    first, second = {"dtc": 0.9, "random": 0.8, "magnitude": 0.95}, {"dtc": 0.7, "random": 0.6, "magnitude": 0.5}
    summary = lines(*(on(pair, **(first if pair < "d" else second)) for pair in PAIRS))
    assert summary["method"].tolist() == ["dtc", "magnitude", "random"]
    assert ranks(summary, 6) == {"dtc": 1.5, "magnitude": 2.0, "random": 2.5}
    assert summary["profile"].tolist() == [0.5, 0.5, 0.0]


def test_a_failed_cell_costs_its_method_the_pair_and_changes_no_other_rank():
    whole = lines(*(on(pair, dtc=0.9, random=0.8) for pair in PAIRS), on("g", dtc=0.5, random=0.8))
    more = {"magnitude": 0.99}
    summary = lines(
        *(on(pair, dtc=0.9, random=0.8, **more) for pair in PAIRS),
        on("g", dtc=0.5, random=0.8, **more, failed=("magnitude",)),
    )
    assert ranks(summary, 7) == ranks(whole, 7) == {"dtc": pytest.approx(8 / 7), "random": pytest.approx(13 / 7)}
    assert ranks(summary, 6) == {"magnitude": 1.0, "dtc": 2.0, "random": 3.0}
    covered = summary.drop_duplicates("method").set_index("method")[["covered", "planned"]]
    assert covered.loc["magnitude"].tolist() == [6, 7]
    assert covered.loc["dtc"].tolist() == [7, 7]


def test_a_pool_is_of_methods_and_a_method_alone_has_no_rank():
    summary = lines(*(on(pair, dtc=0.9, random=0.8) for pair in PAIRS), on("g", dtc=0.9))
    assert set(summary["pairs"]) == {"; ".join(f"{pair} · mlp" for pair in PAIRS)}
    assert summary.set_index("method")["planned"].to_dict() == {"dtc": 7, "random": 6}


def test_five_pairs_are_too_few_for_ranks():
    assert lines(*(on(pair, dtc=0.9, random=0.8) for pair in PAIRS[:5])).empty


def test_protocols_and_sparsities_are_ranked_apart():
    cells = [c for pair in PAIRS for c in on(pair, dtc=0.9, random=0.8)]
    halved = [{**c, "sparsity": 0.5} for c in cells if c["method"] != "dense"]
    scheduled = [{**c, "sparsity": math.nan, "protocol": "published"} for c in cells if c["method"] != "dense"]
    summary = lines(cells, halved, scheduled)
    assert summary.groupby(["protocol", "sparsity"], dropna=False).size().tolist() == [2, 2, 2]


def test_the_order_of_the_cells_does_not_change_a_bit():
    cells = [c for pair in PAIRS for c in on(pair, dtc=0.9 - ord(pair) / 999, random=0.8, magnitude=0.8)]
    assert len(build(cells).summary) == 3
    pd.testing.assert_frame_equal(build(cells).summary, build(cells[::-1]).summary, check_exact=True)


def test_a_regression_is_in_no_mean_over_pairs_and_its_error_is_of_r2():
    classes = [c for pair in PAIRS for c in on(pair, dtc=0.9, random=0.8)]
    values = [
        cell(method, seed, dataset="waves", accuracy=None, r2=score + seed / 1000)
        for method, score in {"dense": 0.9, "dtc": 0.2, "random": 0.7}.items()
        for seed in SEEDS
    ]
    both, alone = build([*classes, *values]), build(classes)
    pd.testing.assert_frame_equal(both.summary, alone.summary)
    waves = both.rows[both.rows["dataset"] == "waves"].set_index("method")
    assert list(waves.index) == ["dense", "random", "dtc"]
    assert waves.loc["dtc", "difference_mean"] == pytest.approx(-0.7)
    assert waves.loc["dtc", "equivalence_margin"] == pytest.approx(0.2 * (1 - 0.901))
    assert waves["accuracy_mean"].isna().all() and waves["seeds_for_1_point"].isna().all()
    others = both.rows[both.rows["dataset"] != "waves"]
    assert others["r2_mean"].isna().all() and others["accuracy_mean"].notna().all()
    assert any("no mean over pairs and no claim takes them in" in note for note in both.notes)
    records = both.rows.to_dict("records")
    (dtc,) = [row for row in records if (row["dataset"], row["method"]) == ("waves", "dtc")]
    shown = {column.title: column.text(dtc) for column in headline(records)}
    assert shown["Accuracy, %"] == shown["Difference to dense, points"] == "–"
    assert shown["R2"].startswith("0.2010") and shown["Difference to dense, R2"].startswith("−0.7000")


def test_no_claim_counts_a_cell_of_a_regression():
    cells = [
        cell(method, seed, dataset="waves", accuracy=None, r2=0.5) for method in ("dtc", "random") for seed in SEEDS
    ]
    (found,) = conclusions([claim()], pd.DataFrame(cells), pd.DataFrame(columns=CYCLES))
    assert found.verdict is Verdict.NOT_MEASURED
    assert found.reason.endswith("cells of a regression have no accuracy")
