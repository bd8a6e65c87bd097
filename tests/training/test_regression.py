"""A regression: values are standardised by the training part, trained by squared error, and ranked by R2."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from cells import cell, context
from suites_for_tests import TINY, edited
from torch import nn

from dtcbench.datasets.splits import DatasetError, Pixels, Splits
from dtcbench.record import CellRecord
from dtcbench.records.run import Run
from dtcbench.training.loop import Samples, r2, squared_error, to_device
from dtcbench.training.protocols import run
from dtcbench.unavailable import Unavailable

VALUES = torch.tensor([[0.0, 0.0], [2.0, 4.0], [4.0, 8.0]])
OUTPUTS = torch.tensor([[1.0, 0.0], [2.0, 4.0], [3.0, 6.0]])
RNG = np.random.default_rng(7)
X = RNG.uniform(-2, 2, (200, 3))
Y = np.stack([10 + 3 * X[:, 0] + X[:, 1] ** 2, X[:, 2] - X[:, 0]], axis=1)
SUITE = edited(
    TINY,
    ("[digits]", "[{name: file, path: own.npz, task: regression}]"),
    ("[dtc, magnitude]", "[dtc, random, magnitude]"),
    ("steps: 30,", "steps: 90, lr: 0.01,"),
)


def test_the_loss_is_the_mean_square_and_r2_the_mean_over_values_by_hand():
    assert squared_error(OUTPUTS, VALUES).item() == pytest.approx((1 + 1 + 4) / 6)
    # SSE 2 of SST 8, and SSE 4 of SST 32.
    assert r2(nn.Identity(), Samples(OUTPUTS, VALUES), size=2) == pytest.approx((3 / 4 + 7 / 8) / 2)
    assert r2(nn.Identity(), Samples(VALUES, VALUES)) == 1.0
    means = VALUES.mean(0).expand(3, 2)
    assert r2(nn.Identity(), Samples(means, VALUES)) == 0.0


def test_a_constant_target_has_no_r2_and_the_reason_names_the_value():
    constant = VALUES * torch.tensor([1.0, 0.0]) + 5
    found = r2(nn.Identity(), Samples(OUTPUTS, constant))
    assert found == Unavailable("no R2: value 1 of the target is the same for all 3 samples, so SST is 0")


def splits(test_y=Y[150:]):
    x = X.astype(np.float32)[:, :, None, None]
    y, test_y = Y[:150].astype(np.float32), np.asarray(test_y, dtype=np.float32)
    return Splits(x[:150], y, x[150:], test_y, num_classes=2, pixels=Pixels(1, 0, 1))


def test_values_are_standardised_by_the_training_part_alone():
    train, test = to_device(splits(), torch.device("cpu"))
    mean, deviation = Y[:150].mean(0), Y[:150].std(0)
    assert np.array(splits().target_scale) == pytest.approx(np.array([mean, deviation]).T, rel=1e-6)
    torch.testing.assert_close(train.y, torch.tensor((Y[:150] - mean) / deviation, dtype=torch.float32))
    torch.testing.assert_close(test.y, torch.tensor((Y[150:] - mean) / deviation, dtype=torch.float32))
    moved = splits(test_y=Y[150:] * 9 + 4)
    assert moved.target_scale == splits().target_scale


def test_a_constant_test_part_ends_ok_without_a_score():
    result = run(context(cell("dense", 0.0), splits(test_y=np.ones((50, 2)))))
    assert result.score is None and "value 0, 1 of the target" in result.reasons["r2"]


def test_a_method_that_asks_for_gradients_gets_those_of_the_squared_error():
    result = run(context(cell("taylor"), splits()))
    assert 0 < result.r2 < 1 and result.widths == {"hidden0": 16}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression")
    np.savez(folder / "own.npz", x=X, y=Y)
    (folder / "tiny.yaml").write_text(SUITE + "keep_weights: last\n")
    return folder


def test_a_run_is_ranked_by_r2_and_shows_no_accuracy(workplace, dtcbench, monkeypatch):
    monkeypatch.chdir(workplace)
    assert "score: R2, as file(path=own.npz" in dtcbench("plan", "tiny.yaml").out
    board = dtcbench("run", "tiny.yaml", "--inline")
    assert board.code == 0
    assert "R2 to dense" in board.out and ": ok, R2 0." in board.out
    assert "accuracy, %" not in board.out and "points" not in board.out
    done = Run("runs/tiny")
    for path in (workplace / "runs/tiny/records").iterdir():
        result = CellRecord.model_validate(json.loads(path.read_text())["record"]).result
        absent = ("accuracy", "accuracy_before", "accuracy_after", "validation_accuracy", "hits", "test_samples")
        assert all(getattr(result, name) is None and "regression" in result.reasons[name] for name in absent)
        assert result.r2 == result.score < 1
        assert all(deviation > 0 for _, deviation in result.target_scale)
        assert all(cycle.validation_before < 1 for cycle in result.cycles)
    rows = done.leaderboard().rows
    assert rows["accuracy_mean"].isna().all() and rows["target_reached"].isna().all()
    by_hand = done.cells.groupby("method")["r2"].mean()
    assert dict(zip(rows["method"], rows["r2_mean"], strict=True)) == pytest.approx(dict(by_hand))
    ranked = rows.loc[rows["method"] != "dense", "r2_mean"].tolist()
    assert ranked == sorted(ranked, reverse=True)
    differences = rows.set_index("method")["difference_mean"]
    assert differences["random"] == pytest.approx(by_hand["random"] - by_hand["dense"])
    assert "r2" in pd.read_parquet("runs/tiny/tables/cells.parquet")
    page = (workplace / "runs/tiny/leaderboard.html").read_text()
    assert "R2 against sparsity" in page and "Test accuracy" not in page

    assert "R2 before" in dtcbench("show", done.cells["key"][1], "--run", "runs/tiny").out
    assert "cells of a regression have no accuracy" in dtcbench("claims", "runs/tiny").out
    assert "same" in (moved := dtcbench("compare", "runs/tiny", "runs/tiny").out) and "accuracy" not in moved
    # The kept networks are evaluated anew, and their R2 held to the records.
    checked = dtcbench("check", "runs/tiny")
    assert "weights" not in checked.out, checked.out


REFUSED = {
    "smoothing": ("steps: 90,", "steps: 90, label_smoothing: 0.1,", "label_smoothing 0.1 is for classes"),
    "crops": ("steps: 90,", "steps: 90, augment: crop-flip,", "augment crop-flip is for images"),
    "growing": ("seeds: 1", "seeds: {first: 5, step: 5, most: 10}", "no claim is about R2; write a number of seeds"),
    "no word": (", task: regression", "", "write `task: regression` if they are values to predict"),
    "published": (
        "{name: standard, steps: 90, lr: 0.01, cycle_steps: 5}",
        "published",
        "protocol published trains by the cross-entropy of classes, and a regression has none; use standard",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_classes_is_refused_when_planning(what, workplace, dtcbench, monkeypatch):
    monkeypatch.chdir(workplace)
    old, new, message = REFUSED[what]
    text = edited(SUITE, (old, new))
    if what == "published":
        text = edited(text, ("    sparsities: [0.5]\n", ""))
    (workplace / "refused.yaml").write_text(text)
    refused = dtcbench("plan", "refused.yaml")
    assert refused.code == 2
    assert message in " ".join(refused.err.split())


def test_a_network_is_not_trained_by_a_recipe_that_planning_could_not_refuse():
    with pytest.raises(ValueError, match=r"label_smoothing 0\.1 is for classes, and a regression has none; remove it"):
        run(context(cell("dense", 0.0, label_smoothing=0.1), splits()))


def test_values_that_do_not_fit_together_are_refused():
    images = np.zeros((4, 1, 4, 4), dtype=np.uint8)
    images[0] = 255
    with pytest.raises(DatasetError, match=r"test_y has shape \[4, 2\]; give \[4, 1\], values for each sample"):
        Splits.from_arrays(images, np.arange(4.0), images, np.ones((4, 2)), "regression")
