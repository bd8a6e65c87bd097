"""MNIST: its files are found, checked and refused as they deserve."""

import gzip
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dtcbench.datasets import mnist as room
from dtcbench.datasets.mnist import MIRRORS, mnist, origin
from dtcbench.datasets.splits import DatasetError, Pixels
from dtcbench.registry import datasets

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
REAL = Path(os.environ.get("DTCBENCH_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture
def small(small_mnist):
    return small_mnist


@pytest.fixture
def data_folder(data_root, small):
    """The user's own folder with the small files."""
    small.write(data_root / "mnist")
    return data_root / "mnist"


def never(*_):
    raise AssertionError("decoded again")


def test_mnist_is_a_registered_dataset_without_options():
    assert datasets.get("mnist") is mnist
    assert not datasets.options("mnist").model_fields


def test_files_of_the_data_folder_are_decoded(small, data_folder):
    splits = mnist()
    small.assert_is(splits)
    assert splits.input_shape == (1, 4, 4)
    assert not splits.train_x.flags.writeable
    assert splits.pixels == Pixels(255.0, 0.1307, 0.3081)
    assert splits.num_classes == 10


def test_a_second_load_decodes_nothing(small, data_folder, monkeypatch):
    mnist()
    undecoded = {field: replace(source, decode=never) for field, source in small.sources.items()}
    monkeypatch.setattr(room, "SOURCES", undecoded)
    small.assert_is(mnist())


def test_the_cache_serves_without_the_data_folder(small, data_folder, monkeypatch):
    mnist()
    monkeypatch.delenv("DTCBENCH_DATA_DIR")
    small.assert_is(mnist())


def test_another_compression_of_the_same_content_is_taken(small, data_folder):
    mnist()
    small.write(data_folder, compresslevel=1)
    small.assert_is(mnist())


def header(*dimensions, kind=8):
    return struct.pack(f">HBB{len(dimensions)}I", 0, kind, len(dimensions), *dimensions)


def altered(content):
    return content[:-1] + bytes([content[-1] ^ 1])


PIXELS = bytes(6 * 4 * 4)
DAMAGE = {
    "cut": lambda idx: (gzip.compress(idx)[:-9], "cannot be unpacked"),
    "empty": lambda idx: (b"", "magic number"),
    "page": lambda idx: (b"<html>moved</html>", "cannot be unpacked"),
    "noise": lambda idx: (gzip.compress(idx)[:20] + bytes(60), "cannot be unpacked"),
    "short": lambda idx: (gzip.compress(idx[:-1]), "shorter than 112 bytes"),
    "long": lambda idx: (gzip.compress(idx + b"\0"), "longer than 112 bytes"),
    "floats": lambda idx: (gzip.compress(header(6, 4, 4, kind=13) + PIXELS), "magic number is 0x00000d03"),
    "labels": lambda idx: (gzip.compress(header(96) + PIXELS), "magic number is 0x00000801"),
    "shape": lambda idx: (gzip.compress(header(3, 8, 4) + PIXELS), r"dimensions \(6, 4, 4\)"),
    "altered": lambda idx: (gzip.compress(altered(idx)), "content was altered"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("loaded_before", [False, True], ids=["first load", "intact cache"])
def test_a_damaged_file_in_the_data_folder_is_refused_by_name(small, data_folder, damage, loaded_before):
    if loaded_before:
        mnist()
    content, complaint = DAMAGE[damage](small.idx("train_x"))
    (data_folder / TRAIN_IMAGES).write_bytes(content)
    with pytest.raises(DatasetError, match=complaint) as refusal:
        mnist()
    assert str(data_folder / TRAIN_IMAGES) in str(refusal.value)
    assert "move it away" in str(refusal.value)


def test_no_more_than_the_expected_size_is_unpacked(small, data_folder, monkeypatch):
    asked = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: asked.append(size) or read(self, size))
    (data_folder / TRAIN_IMAGES).write_bytes(gzip.compress(small.idx("train_x") + bytes(10**6)))
    with pytest.raises(DatasetError, match="longer"):
        mnist()
    assert asked == [len(small.idx("train_x")) + 1]


def test_a_file_missing_from_the_data_folder_is_downloaded(small, data_folder, tmp_path, mirrors):
    small.write(tmp_path / "mirror")
    (data_folder / TRAIN_IMAGES).unlink()
    mirrors.serve(MIRRORS[0], tmp_path / "mirror")
    small.assert_is(mnist())
    assert mirrors.asked == [MIRRORS[0] + TRAIN_IMAGES]


def test_the_second_mirror_serves_where_the_first_fails(small, tmp_path, mirrors):
    small.write(tmp_path / "mirror")
    mirrors.serve(MIRRORS[1], tmp_path / "mirror")
    small.assert_is(mnist())
    assert mirrors.asked[:2] == [MIRRORS[0] + TRAIN_IMAGES, MIRRORS[1] + TRAIN_IMAGES]


def test_a_mirror_that_serves_something_else_is_passed_over(small, tmp_path, mirrors):
    small.write(tmp_path / "good")
    small.write(tmp_path / "bad")
    (tmp_path / "bad" / TRAIN_IMAGES).write_bytes(gzip.compress(altered(small.idx("train_x"))))
    mirrors.serve(MIRRORS[0], tmp_path / "bad")
    mirrors.serve(MIRRORS[1], tmp_path / "good")
    small.assert_is(mnist())
    assert mirrors.asked[:2] == [MIRRORS[0] + TRAIN_IMAGES, MIRRORS[1] + TRAIN_IMAGES]


def test_without_any_copy_the_error_lists_what_was_tried_and_the_remedies(small, own_cache):
    with pytest.raises(DatasetError) as error:
        mnist()
    message = str(error.value)
    for part in (TRAIN_IMAGES, str(own_cache), *MIRRORS, "no network in tests"):
        assert part in message
    assert "set DTCBENCH_DATA_DIR" in message
    assert "dtcbench fetch mnist" in message


def test_origin_tells_folder_cache_or_download(small, data_folder, own_cache, monkeypatch):
    assert origin() == f"folder {data_folder}"
    mnist()
    monkeypatch.delenv("DTCBENCH_DATA_DIR")
    assert origin() == f"cache {own_cache}"
    shutil.rmtree(own_cache)
    assert origin().startswith("download from ossci-datasets.s3.amazonaws.com or ")


@pytest.mark.mnist
@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="no MNIST in DTCBENCH_DATA_DIR or ../shared/data")
def test_the_real_files_are_what_is_pinned(monkeypatch):
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(REAL))
    splits = mnist()
    assert splits.train_x.shape == (60_000, 1, 28, 28)
    assert splits.test_x.shape == (10_000, 1, 28, 28)
    assert splits.train_y[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits.test_y[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = splits.train_x / np.float32(splits.pixels.scale)
    assert round(float(pixels.mean(dtype=np.float64)), 4) == splits.pixels.mean
    assert round(float(pixels.std(dtype=np.float64)), 4) == splits.pixels.std
