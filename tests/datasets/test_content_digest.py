"""The digest by which a record names the data it was trained on."""

from dataclasses import replace

import numpy as np
import pytest

from dtcbench.datasets.digits import digits
from dtcbench.datasets.splits import Pixels, Splits

IMAGES = np.arange(24, dtype=np.uint8).reshape(6, 1, 2, 2)
LABELS = np.array([0, 1, 0, 1, 0, 1], dtype=np.uint8)
SPLITS = Splits(IMAGES[:4], LABELS[:4], IMAGES[4:], LABELS[4:], 2, Pixels(scale=255.0, mean=0.1, std=0.2))


def test_equal_content_has_equal_digests_however_it_lies_in_memory():
    copied = replace(SPLITS, train_x=np.asfortranarray(SPLITS.train_x.copy()))
    assert copied.sha256 == SPLITS.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"train_x": IMAGES[:4] + (IMAGES[:4] == 5).astype(np.uint8)},  # one pixel
        {"train_y": LABELS[1:5]},
        {"test_x": IMAGES[4:].reshape(2, 1, 4, 1)},
        {"test_y": 1 - LABELS[4:]},
        {"train_x": IMAGES[:5], "test_x": IMAGES[5:]},  # the same bytes, split elsewhere
        {"num_classes": 3},
        {"pixels": Pixels(scale=255.0, mean=0.1, std=0.3)},
        {"pixels": None},
    ],
)
def test_whatever_changes_what_is_trained_on_changes_the_digest(change):
    assert replace(SPLITS, **change).sha256 != SPLITS.sha256


def test_the_digest_of_digits_is_pinned():
    assert digits().sha256.startswith("67eb39cc90d079a3")
