"""The 8 × 8 handwritten digits that scikit-learn carries: no file, no download."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from dtcbench.datasets.cache import Pin
from dtcbench.datasets.description import described_without_loading
from dtcbench.datasets.splits import Array, DatasetError, Pixels, Splits
from dtcbench.registry import register_dataset

TEST_SIZE = 360
SPLIT_SEED = 20250529
PINS = {
    "train_x": Pin(
        "digits/train_x", (1437, 1, 8, 8), "dc598409eb8220008314e561484c49897ac0a96ad0d9564676fe937948957001"
    ),
    "train_y": Pin("digits/train_y", (1437,), "dbf5cc39ac439b0c57f189a6d856efb8b46a01f824e2c09bbbe6344fbd8eac50"),
    "test_x": Pin(
        "digits/test_x",
        (TEST_SIZE, 1, 8, 8),
        "3cc007c32322827b0950ecdeb26d3fbf8cc518abb64db7e732a6abdcd45a9a97",
    ),
    "test_y": Pin("digits/test_y", (TEST_SIZE,), "522cebff6290f4c35ee94413c81b9f9df07f5b08934c9623076431b818365bf0"),
}


def sample(*, zoom: int = 1) -> tuple[tuple[int, ...], int]:
    """The shape of a sample of `digits(zoom=…)`, and the number of classes."""
    return (1, 8 * zoom, 8 * zoom), 10


def origin() -> str:
    """Where the images of `digits()` come from."""
    return "inside scikit-learn"


@register_dataset("digits")
@described_without_loading(sample=sample, origin=origin)
def digits(*, zoom: Annotated[int, Field(gt=0)] = 1) -> Splits:
    """Handwritten digits, 8 × 8 with 17 grey levels: 1,437 train, 360 test, inside scikit-learn.

    The source (the test part of UCI optdigits) is not split. Our split was drawn once, stratified by class, and is
    pinned; both parts contain the same writers. Each pixel is repeated `zoom` × `zoom` times, for networks that
    need larger images.

    Raises
    ------
    DatasetError : the installed scikit-learn gives other images or another split
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    source = load_digits()
    train, test = train_test_split(
        np.arange(len(source.target)), test_size=TEST_SIZE, stratify=source.target, random_state=SPLIT_SEED
    )
    images, labels = source.images[:, None].astype(np.uint8), source.target.astype(np.uint8)
    return Splits(
        train_x=_zoomed(_pinned("train_x", images[train]), zoom),
        train_y=_pinned("train_y", labels[train]),
        test_x=_zoomed(_pinned("test_x", images[test]), zoom),
        test_y=_pinned("test_y", labels[test]),
        num_classes=10,
        pixels=Pixels(scale=16.0, mean=0.3048, std=0.3757),
    )


def _pinned(name: str, array: Array) -> Array:
    problem = PINS[name].problem(array)
    if problem:
        raise DatasetError(f"{PINS[name].name}: {problem}; install the scikit-learn version of requirements.lock")
    array.setflags(write=False)
    return array


def _zoomed(images: Array, zoom: int) -> Array:
    large = images.repeat(zoom, axis=2).repeat(zoom, axis=3) if zoom > 1 else images
    large.setflags(write=False)
    return large
