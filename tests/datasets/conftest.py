"""Every dataset test has an empty cache of its own, no data folder, and no network."""

import gzip
import hashlib
import struct

import numpy as np
import pooch
import pytest

from dtcbench.datasets import mnist
from dtcbench.datasets.cache import Pin


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    def no_network(url, **_):
        raise OSError("no network in tests")

    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("DTCBENCH_DATA_DIR", raising=False)
    monkeypatch.setattr(pooch, "retrieve", no_network)
    return tmp_path / "cache"


class SmallMnist:
    """Four IDX files with MNIST's names and a handful of images."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.arrays = {
            "train_x": rng.integers(0, 256, (6, 4, 4), dtype=np.uint8),
            "train_y": rng.integers(0, 10, 6, dtype=np.uint8),
            "test_x": rng.integers(0, 256, (3, 4, 4), dtype=np.uint8),
            "test_y": rng.integers(0, 10, 3, dtype=np.uint8),
        }
        self.files = {field: self._file(field, array) for field, array in self.arrays.items()}

    def _file(self, field, array):
        shape = (array.shape[0], 1, *array.shape[1:]) if array.ndim == 3 else array.shape
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        return mnist.IdxFile(mnist.FILES[field].name, array.shape, Pin(f"mnist/{field}", shape, digest))

    def idx(self, field):
        """The unpacked bytes of one file."""
        array = self.arrays[field]
        return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()

    def write(self, folder, compresslevel=9):
        folder.mkdir(parents=True, exist_ok=True)
        for field, file in self.files.items():
            (folder / file.name).write_bytes(gzip.compress(self.idx(field), compresslevel))


@pytest.fixture
def small(monkeypatch):
    """MNIST's constants replaced by those of small files that the test may write."""
    small = SmallMnist()
    monkeypatch.setattr(mnist, "FILES", small.files)
    return small


@pytest.fixture
def data_folder(tmp_path, monkeypatch, small):
    """The user's own folder with the small files, named by DTCBENCH_DATA_DIR."""
    small.write(tmp_path / "data" / "mnist")
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "mnist"
