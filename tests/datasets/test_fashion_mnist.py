"""Fashion-MNIST: MNIST's format, also from Debian's package."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

from dtcbench.datasets import cache
from dtcbench.datasets import fashion_mnist as room
from dtcbench.datasets.fashion_mnist import MIRRORS, PACKAGE, fashion_mnist, origin
from dtcbench.datasets.source import Package
from dtcbench.datasets.splits import DatasetError, Pixels
from dtcbench.registry import datasets

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"


@pytest.fixture
def small(small_fashion):
    return small_fashion


@pytest.fixture
def data_folder(data_root, small):
    small.write(data_root / "fashion-mnist")
    return data_root / "fashion-mnist"


def test_fashion_mnist_is_a_registered_dataset_without_options():
    assert datasets.get("fashion-mnist") is fashion_mnist
    assert not datasets.options("fashion-mnist").model_fields


def test_files_of_the_data_folder_are_decoded(small, data_folder):
    splits = fashion_mnist()
    small.assert_is(splits)
    assert not splits.train_x.flags.writeable
    assert splits.pixels == Pixels(255.0, 0.2860, 0.3530)
    assert splits.augment is None


DAMAGE = {
    "cut": lambda packed: packed[:-9],
    "empty": lambda packed: b"",
    "page": lambda packed: b"<html>moved</html>",
    "altered": lambda packed: gzip.compress(gzip.decompress(packed)[:-1] + b"\7", mtime=0),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("loaded_before", [False, True], ids=["first load", "intact cache"])
def test_a_damaged_file_in_the_data_folder_is_refused_by_name(small, data_folder, damage, loaded_before):
    if loaded_before:
        fashion_mnist()
    (data_folder / TRAIN_IMAGES).write_bytes(DAMAGE[damage](small.packed("train_x")))
    with pytest.raises(DatasetError, match="move it away") as refusal:
        fashion_mnist()
    assert str(data_folder / TRAIN_IMAGES) in str(refusal.value)


def test_the_same_content_in_another_compression_is_taken(small, data_folder):
    fashion_mnist()
    small.write(data_folder, compresslevel=1)
    small.assert_is(fashion_mnist())


@pytest.fixture
def package(small, tmp_path, monkeypatch):
    """Debian's package with the small files, in another compression."""
    package = Package("dataset-fashion-mnist", tmp_path / "share")
    small.write(package.folder, compresslevel=1)
    installed = {field: replace(source, package=package) for field, source in small.sources.items()}
    monkeypatch.setattr(room, "SOURCES", installed)
    return package


def test_the_installed_package_serves_without_the_network(small, package, own_cache, mirrors):
    assert origin() == "package dataset-fashion-mnist"
    small.assert_is(fashion_mnist())
    assert not mirrors.asked
    assert origin() == f"cache {own_cache}"


def test_the_user_s_own_file_comes_before_the_package_s(small, package, data_folder):
    assert origin() == f"folder {data_folder}"
    (data_folder / TRAIN_IMAGES).write_bytes(b"")
    with pytest.raises(DatasetError, match="move it away"):
        fashion_mnist()


def test_a_damaged_file_of_the_package_is_passed_over_and_named(small, package, tmp_path, mirrors):
    (package.folder / TRAIN_IMAGES).write_bytes(DAMAGE["altered"](small.packed("train_x")))
    with pytest.raises(DatasetError, match="content was altered") as error:
        fashion_mnist()
    assert str(package.folder / TRAIN_IMAGES) in str(error.value)
    small.write(tmp_path / "mirror")
    mirrors.serve(MIRRORS[0], tmp_path / "mirror")
    small.assert_is(fashion_mnist())
    assert mirrors.asked[-1] == MIRRORS[0] + TRAIN_IMAGES


def test_the_package_is_named_where_no_copy_is_found(small, package):
    (package.folder / TRAIN_IMAGES).unlink()
    with pytest.raises(DatasetError) as error:
        fashion_mnist()
    assert f"{package.folder / TRAIN_IMAGES}: not there" in str(error.value)
    assert "install the package dataset-fashion-mnist (Debian, Ubuntu), set DTCBENCH_DATA_DIR" in str(error.value)


@pytest.mark.skipif(not PACKAGE.folder.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_debian_s_files_are_what_is_pinned():
    splits = fashion_mnist()
    assert splits.train_x.shape == (60_000, 1, 28, 28)
    assert np.bincount(splits.test_y).tolist() == [1000] * 10
    assert splits.train_y[:5].tolist() == [9, 0, 0, 3, 0]
    pixels = splits.train_x / np.float32(splits.pixels.scale)
    assert round(float(pixels.mean(dtype=np.float64)), 4) == splits.pixels.mean
    assert round(float(pixels.std(dtype=np.float64)), 4) == splits.pixels.std


def test_an_altered_cached_array_is_decoded_again(small, data_folder, own_cache):
    fashion_mnist()
    [path] = own_cache.glob("fashion-mnist/train_x-*.npy")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    small.assert_is(fashion_mnist())
    assert path.read_bytes() == content


def test_an_altered_cached_array_without_any_copy_of_its_file_is_not_served(small, data_folder, own_cache, monkeypatch):
    fashion_mnist()
    monkeypatch.delenv("DTCBENCH_DATA_DIR")
    [path] = own_cache.glob("fashion-mnist/train_x-*.npy")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DatasetError, match=TRAIN_IMAGES):
        fashion_mnist()


def test_a_download_with_other_content_is_passed_over(small, tmp_path, mirrors):
    small.write(tmp_path / "good")
    small.write(tmp_path / "bad")
    (tmp_path / "bad" / TRAIN_IMAGES).write_bytes(DAMAGE["altered"](small.packed("train_x")))
    mirrors.serve(MIRRORS[0], tmp_path / "bad")
    mirrors.serve(MIRRORS[1], tmp_path / "good")
    small.assert_is(fashion_mnist())
    assert mirrors.asked[:2] == [MIRRORS[0] + TRAIN_IMAGES, MIRRORS[1] + TRAIN_IMAGES]


def test_without_any_copy_the_error_names_the_dataset_its_folder_and_the_command(small, data_root):
    with pytest.raises(DatasetError) as error:
        fashion_mnist()
    message = str(error.value)
    for part in (str(data_root / "fashion-mnist" / TRAIN_IMAGES), *MIRRORS, "dtcbench fetch fashion-mnist"):
        assert part in message


def test_origin_tells_folder_or_cache(small, data_folder, own_cache, monkeypatch):
    assert origin() == f"folder {data_folder}"
    fashion_mnist()
    monkeypatch.delenv("DTCBENCH_DATA_DIR")
    assert origin() == f"cache {own_cache}"


def test_mnist_s_cache_is_another(small, data_folder, small_mnist):
    fashion_mnist()
    assert not any(cache.is_cached(source.pin) for source in small_mnist.sources.values())
