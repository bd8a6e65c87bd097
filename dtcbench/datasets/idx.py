"""The IDX format, and the four gzipped IDX files of MNIST and of its drop-in replacements."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from dtcbench.datasets.cache import Pin
from dtcbench.datasets.source import Package, Source
from dtcbench.datasets.splits import Array, DatasetError, Pixels, Splits

LAYOUT = {
    "train_x": ("train-images-idx3-ubyte.gz", (60_000, 1, 28, 28)),
    "train_y": ("train-labels-idx1-ubyte.gz", (60_000,)),
    "test_x": ("t10k-images-idx3-ubyte.gz", (10_000, 1, 28, 28)),
    "test_y": ("t10k-labels-idx1-ubyte.gz", (10_000,)),
}


def sources(
    dataset: str, mirrors: tuple[str, ...], sha256: dict[str, str], package: Package | None = None
) -> dict[str, Source]:
    """The four files of a dataset with MNIST's layout, by the array of `Splits` that each holds.

    Parameters
    ----------
    mirrors : URLs of folders with the four files
    sha256 : the digest of each decoded array. The same content is compressed differently in different places.
    package : a package of the operating system that holds the four files
    """
    return {
        field: Source(
            name,
            tuple(mirror + name for mirror in mirrors),
            Pin(f"{dataset}/{field}", shape, sha256[field]),
            decode,
            package,
        )
        for field, (name, shape) in LAYOUT.items()
    }


def splits(files: dict[str, Source], pixels: Pixels) -> Splits:
    """The splits in the four `files`, ten classes. DatasetError if a file cannot be loaded."""
    train_x, train_y, test_x, test_y = (files[field].load() for field in LAYOUT)
    return Splits(train_x, train_y, test_x, test_y, num_classes=10, pixels=pixels)


def decode(path: Path, shape: tuple[int, ...]) -> Array:
    """The array in the gzipped IDX file at `path`: images [N, 1, H, W] or labels [N].

    At most the expected size is unpacked. The format: two zero bytes, 8 for uint8, the
    number of dimensions, each dimension as big-endian uint32 (no channel axis), the content.

    Raises
    ------
    DatasetError : the problem with the file; the caller adds its name and the remedy
    """
    dimensions = shape[:1] + shape[2:]
    header = struct.pack(f">4B{len(dimensions)}I", 0, 0, 8, len(dimensions), *dimensions)
    expected = len(header) + math.prod(dimensions)
    try:
        with gzip.open(path) as unpacked:
            content = unpacked.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"cannot be unpacked ({error})") from error
    if content[:4] != header[:4]:
        raise DatasetError(f"its magic number is 0x{content[:4].hex()}, not 0x{header[:4].hex()}")
    if content[: len(header)] != header:
        raise DatasetError(f"its header does not give the dimensions {dimensions}")
    if len(content) != expected:
        raise DatasetError(f"{'longer' if len(content) > expected else 'shorter'} than {expected} bytes unpacked")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
