"""CIFAR-10, from the archive of its binary version: no pickles."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from dtcbench.datasets import source
from dtcbench.datasets.augmentation import crop_flip
from dtcbench.datasets.cache import Pin
from dtcbench.datasets.description import described_without_loading
from dtcbench.datasets.source import Source
from dtcbench.datasets.splits import Array, DatasetError, Pixels, Splits
from dtcbench.registry import register_dataset

NUM_CLASSES = 10
MEMBERS = tuple(
    f"cifar-10-batches-bin/{name}.bin" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
)


def decode(path: Path, shape: tuple[int, ...]) -> Array:
    """The records [6·n, 3073] of the archive at `path`, a label and 3 × 32 × 32 pixels each.

    The five training files come first, then the test file, n records each. The archive is read as
    a stream; nothing is extracted, and other members are skipped.

    Raises
    ------
    DatasetError : the problem with the archive; the caller adds its name and the remedy
    """
    records = np.empty(shape, np.uint8)
    missing = dict(zip(MEMBERS, np.split(records, len(MEMBERS)), strict=True))
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                if member.name in missing:
                    _read(archive, member, missing.pop(member.name))
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DatasetError(f"cannot be unpacked ({error})") from error
    if missing:
        raise DatasetError(f"lacks {', '.join(missing)}")
    largest = records[:, 0].max()
    if largest >= NUM_CLASSES:
        raise DatasetError(f"has a label {largest}; CIFAR-10's are 0 to {NUM_CLASSES - 1}")
    return records


SOURCE = Source(
    "cifar-10-binary.tar.gz",
    (
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
    ),
    Pin(
        "cifar-10/records",
        (60_000, 3073),
        # Equal in TensorFlow Datasets (url_checksums/cifar10.txt) and MLDatasets.jl (vision/cifar10.jl).
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        "file",
    ),
    decode,
)


def sample(*, augmentation: str = "crop-flip") -> tuple[tuple[int, ...], int]:
    """The shape of a sample of `cifar_10()`, and the number of classes."""
    return (3, 32, 32), NUM_CLASSES


def origin() -> str:
    """Where the archive of `cifar_10()` would come from, without reading it."""
    return source.origin([SOURCE])


@register_dataset("cifar-10")
@described_without_loading(sample=sample, origin=origin)
def cifar_10(*, augmentation: Literal["crop-flip", "none"] = "crop-flip") -> Splits:
    """Small photographs, 3 × 32 × 32, ten classes: 50,000 train, 10,000 test (Krizhevsky, 2009).

    The archive is searched in the folder `$DTCBENCH_DATA_DIR/cifar-10/`, in the cache, and at the
    publisher's site, in this order. Arrays are views of one mapped file of records.

    Parameters
    ----------
    augmentation : random crops and flips of training batches (`augmentation.crop_flip`), or none

    Raises
    ------
    DatasetError : the file in the folder is not the published one, or no copy can be reached
    """
    records = SOURCE.load()
    train, test = np.split(records, [len(records) // 6 * 5])
    return Splits(
        train_x=_images(train),
        train_y=train[:, 0],
        test_x=_images(test),
        test_y=test[:, 0],
        num_classes=NUM_CLASSES,
        # Of the train split, as the PyTorch tutorials (pull request 2405) and fb.resnet.torch
        # (datasets/cifar10.lua, in 255ths) have them. The standard deviations 0.2023, 0.1994, 0.2010 that often
        # accompany these means are another quantity: the mean over images of each image's deviation.
        pixels=Pixels(scale=255.0, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
        augment=crop_flip if augmentation == "crop-flip" else None,
    )


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, records: Array) -> None:
    """Fill `records` from a member that must be a plain file of exactly their size."""
    file = archive.extractfile(member) if member.isreg() else None
    if file is None or member.size != records.nbytes:
        raise DatasetError(f"its {member.name} is not a plain file of {records.nbytes} bytes")
    content = np.frombuffer(file.read(records.nbytes), np.uint8)
    records[:] = content.reshape(records.shape)


def _images(records: Array) -> Array:
    return records[:, 1:].reshape(-1, 3, 32, 32)
