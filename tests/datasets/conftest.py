"""Every dataset test has an empty cache of its own, no data folder, and no network."""

import gzip
import hashlib
import shutil
import struct
from dataclasses import replace

import numpy as np
import pooch
import pytest

from dtcbench.datasets import fashion_mnist, mnist


class Mirrors:
    """Stands for the network: serves the files that a test puts at URLs, and no others."""

    def __init__(self):
        self.files = {}
        self.asked = []

    def serve(self, base, folder):
        """Every file of `folder` at the URL that begins with `base`."""
        self.files |= {base + path.name: path for path in folder.iterdir()}

    def download(self, url, output_file, pooch):
        self.asked.append(url)
        if url not in self.files:
            raise OSError("no network in tests")
        shutil.copy(self.files[url], output_file)


@pytest.fixture(autouse=True)
def mirrors(monkeypatch):
    mirrors = Mirrors()
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda timeout: mirrors.download)
    return mirrors


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("DTCBENCH_DATA_DIR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def data_root(tmp_path, monkeypatch):
    """The folder named by DTCBENCH_DATA_DIR, empty."""
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


class SmallIdx:
    """Four IDX files with the names of `sources` and a handful of images, and the sources they are."""

    def __init__(self, sources):
        rng = np.random.default_rng(5)
        self.arrays = {
            "train_x": rng.integers(0, 256, (6, 1, 4, 4), dtype=np.uint8),
            "train_y": rng.integers(0, 10, 6, dtype=np.uint8),
            "test_x": rng.integers(0, 256, (3, 1, 4, 4), dtype=np.uint8),
            "test_y": rng.integers(0, 10, 3, dtype=np.uint8),
        }
        self.sources = {field: self._source(field, source) for field, source in sources.items()}

    def _source(self, field, source):
        array = self.arrays[field]
        pin = replace(source.pin, shape=array.shape, sha256=hashlib.sha256(array.tobytes()).hexdigest())
        return replace(source, pin=pin, package=None)  # of which the machine may hold the real files

    def idx(self, field):
        """The unpacked bytes of one file."""
        array = self.arrays[field].squeeze()
        return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()

    def packed(self, field, compresslevel=9):
        return gzip.compress(self.idx(field), compresslevel, mtime=0)

    def write(self, folder, compresslevel=9):
        folder.mkdir(parents=True, exist_ok=True)
        for field, source in self.sources.items():
            (folder / source.name).write_bytes(self.packed(field, compresslevel))

    def assert_is(self, splits):
        for field, array in self.arrays.items():
            np.testing.assert_array_equal(getattr(splits, field), array)


@pytest.fixture
def small_mnist(monkeypatch):
    """MNIST's files replaced by small ones that the test may write."""
    small = SmallIdx(mnist.SOURCES)
    monkeypatch.setattr(mnist, "SOURCES", small.sources)
    return small


@pytest.fixture
def small_fashion(monkeypatch):
    """Fashion-MNIST's files replaced by small ones that the test may write."""
    small = SmallIdx(fashion_mnist.SOURCES)
    monkeypatch.setattr(fashion_mnist, "SOURCES", small.sources)
    return small
