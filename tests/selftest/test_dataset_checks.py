"""The datasets' claims: the package's own hold, and each one is contradicted by a dataset that breaks it."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dtcbench import registry
from dtcbench.datasets.splits import DatasetError, Pixels, Splits
from dtcbench.selftest.checking import Contradicted
from dtcbench.selftest.dataset_checks import checks

REAL = Path(os.environ.get("DTCBENCH_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data")


def read_only(splits):
    for array in (splits.train_x, splits.train_y, splits.test_x, splits.test_y):
        array.setflags(write=False)
    return splits


def reversed_left_to_right(x, generator):
    mirrored = torch.randint(2, (len(x), 1, 1, 1), generator=generator).bool()
    return torch.where(mirrored, x.flip(3), x)


def images():
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8) for n in (200, 40))
    pixels = Pixels(255.0, (0.5, 0.5, 0.5), (0.29, 0.29, 0.29))
    labels = rng.integers(0, 4, 240, dtype=np.uint8)
    return Splits(train, labels[:200], test, labels[200:], 4, pixels, reversed_left_to_right)


def texts():
    tokens = np.random.default_rng(0).integers(0, 9, 401, dtype=np.uint8)
    x, y = tokens[:-1].reshape(-1, 8), tokens[1:].reshape(-1, 8)
    return Splits(x[:40], y[:40], x[40:], y[40:], num_classes=9, pixels=None)


def verdicts(load):
    """What each claim says of a dataset: None, or the contradiction."""
    registry.datasets.register("tried")(load)
    return {check.claim: verdict(check) for check in checks("tried")}


def verdict(check):
    try:
        check.run()
    except Contradicted as contradiction:
        return str(contradiction)
    return None


@pytest.mark.parametrize("make", [images, texts])
def test_a_sound_dataset_contradicts_nothing(make):
    assert set(verdicts(lambda: read_only(make())).values()) == {None}


def with_pixels(**changes):
    return replace(images(), pixels=replace(images().pixels, **changes))


def writing(x, generator):
    x[:, :, 0] = 0
    return x.clone()


SHORT = np.zeros((0, 3, 8, 8), np.uint8)
BROKEN = {
    "floats": (lambda: replace(images(), train_x=images().train_x / 255), "train_x is float64; give uint8"),
    "wide labels": (lambda: replace(images(), test_y=images().test_y.astype(np.int64)), "test_y is int64; give uint8"),
    "no test": (lambda: replace(images(), test_x=SHORT, test_y=SHORT[:, 0, 0, 0]), "test_x is empty"),
    "lengths": (lambda: replace(images(), train_y=images().train_y[1:]), "train has 200 samples and 199 labels"),
    "flat": (
        lambda: replace(images(), train_x=images().train_x.reshape(200, -1)),
        "train_x has shape (200, 192); give",
    ),
    "pixels of text": (lambda: replace(texts(), pixels=Pixels(8.0, 0.5, 0.5)), "give images, [N, C, H, W]"),
    "images alone": (lambda: replace(images(), pixels=None, augment=None), "give texts, [N, T], as pixels is None"),
    "augmented text": (lambda: replace(texts(), augment=writing), "augment is for images"),
    "sizes": (lambda: replace(images(), test_x=images().test_x[:, :, 1:]), "test samples are (3, 7, 8), not (3, 8, 8)"),
    "one-hot": (
        lambda: replace(images(), train_y=np.eye(4, dtype=np.uint8)[images().train_y]),
        "each label of train_y has shape (4,), not ()",
    ),
    "label": (lambda: replace(images(), num_classes=3), "train_y has a 3, but num_classes is 3"),
    "token": (lambda: replace(texts(), num_classes=8), "train_x has a 8, but num_classes is 8"),
    "same tokens": (lambda: replace(texts(), test_y=texts().test_x), "test_y is not test_x shifted by one"),
    "mean": (lambda: with_pixels(mean=(0.5, 0.4, 0.5)), "the mean per channel is"),
    "deviation": (lambda: with_pixels(std=0.2), "the standard deviation per channel is"),
    "scale": (lambda: with_pixels(scale=1.0), "compute pixels anew"),
    "leak": (lambda: replace(images(), test_x=images().train_x[:40]), "40 of 40 test images are training images too"),
    "augment writes": (lambda: replace(images(), augment=writing), "augment wrote into the batch"),
    "augment crops": (
        lambda: replace(images(), augment=lambda x, generator: x[:, :, 1:]),
        "the augmented batch's shape is torch.Size([50, 3, 7, 8])",
    ),
    "augment widens": (
        lambda: replace(images(), augment=lambda x, generator: x.double()),
        "dtype is torch.float64, not torch.float32",
    ),
    "augment draws elsewhere": (
        lambda: replace(images(), augment=lambda x, generator: x + torch.rand(())),
        "equal generators gave other batches",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_dataset_is_contradicted(broken):
    make, contradiction = BROKEN[broken]
    registry.datasets.register("tried")(lambda: read_only(make()))
    found = []
    for check in checks("tried"):
        try:
            check.run()
        except Exception as error:  # what is broken may trip other claims over
            found.append(str(error))
    assert any(contradiction in message for message in found), found


def test_arrays_that_can_be_written_to_are_contradicted():
    assert [text for text in verdicts(images).values() if text] == [
        "train_x can be written to; call setflags(write=False)"
    ]


def test_a_dataset_that_is_another_every_time_is_contradicted():
    rng = np.random.default_rng()
    noise = lambda: read_only(replace(images(), train_x=rng.integers(0, 256, (200, 3, 8, 8), dtype=np.uint8)))  # noqa: E731
    assert [text for text in verdicts(noise).values() if text] == [
        "train_x is another at the second load; draw nothing from a global generator"
    ]


def test_few_test_images_that_are_training_images_too_are_let_pass():
    def load():
        splits = images()
        test_x = np.random.default_rng(1).integers(0, 256, (200, 3, 8, 8), dtype=np.uint8)
        test_x[:2] = splits.train_x[:2]
        return read_only(replace(splits, test_x=test_x, test_y=np.zeros(200, np.uint8)))

    assert set(verdicts(load).values()) == {None}


def test_a_dataset_that_cannot_be_had_shows_its_own_error_and_is_tried_once():
    calls = []

    def absent():
        calls.append("call")
        raise DatasetError("archive.tar.gz: no copy was found")

    registry.datasets.register("tried")(absent)
    for check in checks("tried"):
        with pytest.raises(DatasetError, match="no copy was found"):
            check.run()
    assert calls == ["call"]


def test_nothing_is_loaded_before_a_check_runs():
    registry.datasets.register("tried")(lambda: pytest.fail("loaded"))
    assert checks("tried")


def test_digits_keeps_its_claims():
    assert [verdict(check) for check in checks("digits")] == [None] * len(checks("digits"))


@pytest.mark.skipif(
    not (REAL / "tinyshakespeare").is_dir(), reason="no tinyshakespeare in DTCBENCH_DATA_DIR or ../shared/data"
)
def test_tinyshakespeare_keeps_its_claims(tmp_path, monkeypatch):
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(REAL))
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(tmp_path))
    assert [verdict(check) for check in checks("tinyshakespeare")] == [None] * len(checks("tinyshakespeare"))
