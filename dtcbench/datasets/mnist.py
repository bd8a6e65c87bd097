"""MNIST, from its four gzipped IDX files."""

from __future__ import annotations

import gzip
import hashlib
import logging
import math
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from dtcbench.datasets import cache
from dtcbench.datasets.cache import Pin
from dtcbench.datasets.splits import Array, DatasetError, Splits
from dtcbench.registry import datasets

log = logging.getLogger(__name__)

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
DOWNLOAD_TIMEOUT_S = 30


@dataclass(frozen=True)
class IdxFile:
    """One of the four files and the array it must decode to.

    What is pinned is the decoded content: the mirrors compress it differently.
    """

    name: str
    dimensions: tuple[int, ...]
    """As its header gives them: no channel axis."""
    pin: Pin


FILES = {
    "train_x": IdxFile(
        "train-images-idx3-ubyte.gz",
        (60_000, 28, 28),
        Pin(
            "mnist/train_x",
            (60_000, 1, 28, 28),
            "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        ),
    ),
    "train_y": IdxFile(
        "train-labels-idx1-ubyte.gz",
        (60_000,),
        Pin(
            "mnist/train_y",
            (60_000,),
            "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        ),
    ),
    "test_x": IdxFile(
        "t10k-images-idx3-ubyte.gz",
        (10_000, 28, 28),
        Pin(
            "mnist/test_x",
            (10_000, 1, 28, 28),
            "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        ),
    ),
    "test_y": IdxFile(
        "t10k-labels-idx1-ubyte.gz",
        (10_000,),
        Pin(
            "mnist/test_y",
            (10_000,),
            "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        ),
    ),
}


@datasets.register("mnist")
def mnist() -> Splits:
    """Handwritten digits, 28 × 28: 60,000 train, 10,000 test (LeCun, Cortes, Burges).

    Each file is looked for in the folder `$DTCBENCH_DATA_DIR/mnist/`, in the cache, and on the
    mirrors, in this order. The constants that normalise are those of the published code.

    Raises
    ------
    DatasetError : a file in the folder is not MNIST's, or there is no way to any copy.
    """
    return Splits(
        train_x=_load(FILES["train_x"]),
        train_y=_load(FILES["train_y"]),
        test_x=_load(FILES["test_x"]),
        test_y=_load(FILES["test_y"]),
        num_classes=10,
        scale=255.0,
        mean=0.1307,
        std=0.3081,
    )


def origin() -> str:
    """Where `mnist()` would take its files from, told without reading them."""
    given = [_given(file) is not None for file in FILES.values()]
    if all(given):
        return f"folder {_data_folder()}"
    if all(here or cache.is_cached(file.pin) for here, file in zip(given, FILES.values(), strict=True)):
        return f"cache {cache.folder()}"
    return f"download from {' or '.join(urlsplit(mirror).netloc for mirror in MIRRORS)}"


def decode(path: Path, file: IdxFile) -> Array:
    """The array in the gzipped IDX file at `path`, in the shape of its pin.

    Never more than the expected size is unpacked. The format: two zero bytes, 8 for uint8, the
    number of dimensions, each dimension as big-endian uint32, the content.

    Raises
    ------
    DatasetError : what is wrong with the file. The caller adds its name and the remedy.
    """
    header = struct.pack(f">4B{len(file.dimensions)}I", 0, 0, 8, len(file.dimensions), *file.dimensions)
    expected = len(header) + math.prod(file.dimensions)
    try:
        with gzip.open(path) as unpacked:
            content = unpacked.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"cannot be unpacked ({error})") from error
    if content[:4] != header[:4]:
        raise DatasetError(f"its magic number is 0x{content[:4].hex()}, not 0x{header[:4].hex()}")
    if content[: len(header)] != header:
        raise DatasetError(f"its header does not give the dimensions {file.dimensions}")
    if len(content) != expected:
        raise DatasetError(f"{'longer' if len(content) > expected else 'shorter'} than {expected} bytes unpacked")
    array = np.frombuffer(content, np.uint8, offset=len(header)).reshape(file.pin.shape)
    problem = file.pin.problem(array)
    if problem:
        raise DatasetError(problem)
    return array


def _load(file: IdxFile) -> Array:
    path = _given(file)
    if path is None:
        return cache.obtain(file.pin, lambda: _download(file))
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error}); make it readable, or take it away") from error
    return cache.obtain(file.pin, lambda: _decode_given(path, file), source=digest)


def _data_folder() -> Path | None:
    root = os.environ.get("DTCBENCH_DATA_DIR")
    return Path(root) / "mnist" if root else None


def _given(file: IdxFile) -> Path | None:
    """The file in the user's own folder, where there is one."""
    folder = _data_folder()
    return folder / file.name if folder and (folder / file.name).exists() else None


def _decode_given(path: Path, file: IdxFile) -> Array:
    try:
        return decode(path, file)
    except DatasetError as error:
        raise DatasetError(
            f"{path}: {error}; put an intact copy there, or take it away to have it downloaded"
        ) from error


def _download(file: IdxFile) -> Array:
    folder = _data_folder()
    tried = [
        f"{folder / file.name}: not there" if folder else "DTCBENCH_DATA_DIR: not set",
        f"{cache.folder()}: not cached",
    ]
    for mirror in MIRRORS:
        url = mirror + file.name
        try:
            return _fetch(url, file)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            log.warning("%s: %s", url, error)
            tried.append(f"{url}: {error}")
    raise DatasetError(
        "\n  ".join([f"{file.name}: no copy of MNIST's file was found; tried", *tried])
        + "\nset DTCBENCH_DATA_DIR to a folder with the four files in mnist/, or run `dtcbench fetch mnist`"
        " where there is a network, with DTCBENCH_CACHE_DIR set to a folder both machines see"
    )


def _fetch(url: str, file: IdxFile) -> Array:
    import pooch

    # pooch would advise on standard error to pin the compressed bytes.
    pooch.get_logger().setLevel(logging.WARNING)
    log.info("downloading %s", url)
    with tempfile.TemporaryDirectory(prefix="dtcbench-") as folder:
        downloader = pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S)
        path = pooch.retrieve(url, known_hash=None, fname=file.name, path=folder, downloader=downloader)
        return decode(Path(path), file)
