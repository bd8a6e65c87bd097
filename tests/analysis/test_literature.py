"""Published tables of others: what they state against what their own numbers give, and our rows next to them."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from dtcbench.analysis.literature import counterparts, read_published
from dtcbench.errors import UserError

PUBLISHED = Path(__file__).parents[2] / "docs/published"
COLUMNS = "source,network,dataset,method"


@pytest.fixture
def table(tmp_path):
    """`table("header", "row", …)`: the rows of a CSV with these lines."""

    def make(*lines):
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines))
        return read_published(path)

    return make


def test_two_differences_of_torch_prunings_benchmark_of_resnet_56_are_not_what_its_numbers_give():
    of_cifar = [row for row in read_published(PUBLISHED / "torch_pruning.csv") if row.network == "resnet-56"]
    wrong = {row.method: row.difference for row in of_cifar if row.difference.disagrees}
    assert {name: (found.before, found.after, found.stated, found.value) for name, found in wrong.items()} == {
        "DepGraph": tuple(map(Decimal, ("93.53", "93.77", "0.38", "0.24"))),
        "HRank": tuple(map(Decimal, ("93.26", "92.17", "-0.09", "-1.09"))),
    }


def test_removed_neurons_are_counted_over_the_layers():
    rows = {row.method: row.sparsity.best for row in read_published(PUBLISHED / "lenet_300_100.csv")}
    assert {name: float(removed) for name, removed in rows.items()} == {
        "SBP": 1 - 215 / 400,
        "L0": 1 - 121 / 400,
        "VIB": 1 - 104 / 400,
        "dense": 0,
    }


@pytest.mark.parametrize(("stated", "disagrees"), [("0.2", False), ("0.26", True), ("0.25", False), ("-0.24", True)])
def test_what_rounding_explains_is_no_disagreement(table, stated, disagrees):
    (row,) = table(f"{COLUMNS},baseline_accuracy_pct,accuracy_pct,difference_points", f"s,n,d,m,93.53,93.77,{stated}")
    assert row.difference.disagrees is disagrees


@pytest.mark.parametrize(("stated", "disagrees"), [("2.06", False), ("2.1", False), ("2.2", True)])
def test_a_speed_up_is_recomputed_from_the_flops(table, stated, disagrees):
    (row,) = table(f"{COLUMNS},baseline_flops,flops,speedup", f"s,n,d,m,4.12,2.00,{stated}")
    assert float(row.speedup.value) == pytest.approx(2.06)
    assert row.speedup.disagrees is disagrees


def test_nothing_is_filled_in_for_a_missing_side(table):
    (row,) = table(f"{COLUMNS},accuracy_pct,difference_points", "s,n,d,m,93.77,")
    assert (row.difference.value, row.difference.best, row.sparsity.best) == (None, None, None)


def test_every_mistake_is_named_with_its_line(table):
    with pytest.raises(UserError) as caught:
        table(f"{COLUMNS},flops", "s,n,d,m,fast", "s,,d,m,0", "s,n,d")
    text = str(caught.value)
    assert "line 2: flops: 'fast' is not a number" in text
    assert "line 3: network is empty" in text
    assert "line 3: flops is 0; it must be positive" in text
    assert "line 4: has not as many fields" in text


def test_a_column_that_is_not_known_is_refused_with_the_nearest(table):
    with pytest.raises(UserError, match="unknown column 'acuracy_pct'; did you mean 'accuracy_pct'"):
        table(f"{COLUMNS},acuracy_pct", "s,n,d,m,1")


def board(*rows):
    """A leaderboard's rows of LeNet-5 on MNIST: method, planned sparsity, reached, FLOPs ratio."""
    names = ["method", "sparsity", "sparsity_reached", "inference_flops_ratio"]
    shared = {"protocol": "standard(steps=9)", "protocol_sha256": "0", "dataset": "mnist", "model": "lenet-5", "ok": 3}
    return pd.DataFrame([dict(zip(names, row, strict=True)) | shared for row in rows])


OURS = board(
    ("dense", 0.0, 0.0, 1.0),
    ("dense-matched", 0.5, 0.0, 1.0),
    ("dtc", 0.5, 0.5, 0.4),
    ("random", 0.5, 0.5, 0.4),
    ("dtc", 0.8, 0.8, 0.1),
)


@pytest.mark.parametrize(
    ("columns", "values", "found"),
    [
        ("sparsity", "0.6", [("dtc", 0.5), ("random", 0.5)]),
        ("sparsity", "0.7", [("dtc", 0.8)]),
        ("sparsity", "0", [("dense", 0.0)]),
        ("speedup", "2.12", [("dtc", 0.5), ("random", 0.5)]),
        ("speedup", "9", [("dtc", 0.8)]),
    ],
)
def test_ours_are_all_methods_at_the_nearest_sparsity_or_speed_up(table, columns, values, found):
    (row,) = table(f"{COLUMNS},{columns}", f"s,LeNet 5,MNIST,m,{values}")
    (near,) = counterparts(row, OURS)
    assert list(zip(near["method"], near["sparsity"], strict=True)) == found


def test_a_published_row_that_removes_nothing_has_no_counterpart_without_dense(table):
    (row,) = table(f"{COLUMNS},sparsity", "s,LeNet 5,MNIST,m,0")
    assert list(counterparts(row, OURS[OURS["method"] == "dtc"])) == []


@pytest.mark.parametrize("place", ["lenet-300-100,mnist,m,0.5", "lenet-5,digits,m,0.5", "lenet-5,mnist,m,"])
def test_another_network_other_data_and_no_place_have_no_counterpart(table, place):
    (row,) = table(f"{COLUMNS},sparsity", f"s,{place}")
    assert list(counterparts(row, OURS)) == []
