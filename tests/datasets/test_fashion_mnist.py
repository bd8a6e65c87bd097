"""Fashion-MNIST: MNIST's format, but what is pinned is the published files."""

import gzip

import pytest

from dtcbench.datasets import cache
from dtcbench.datasets.fashion_mnist import MIRRORS, SOURCES, fashion_mnist, origin
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


def test_the_four_published_files_are_pinned_by_digests_of_their_own():
    assert {source.pin.of for source in SOURCES.values()} == {"file"}
    assert len({source.pin.sha256 for source in SOURCES.values()}) == 4
    assert all(url.startswith("https://") for source in SOURCES.values() for url in source.urls)


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
    "another compression": lambda packed: gzip.compress(gzip.decompress(packed), 1),
    "altered": lambda packed: gzip.compress(gzip.decompress(packed)[:-1] + b"\7", mtime=0),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("loaded_before", [False, True], ids=["first load", "intact cache"])
def test_any_other_file_in_the_data_folder_is_refused_by_name(small, data_folder, damage, loaded_before):
    if loaded_before:
        fashion_mnist()
    (data_folder / TRAIN_IMAGES).write_bytes(DAMAGE[damage](small.packed("train_x")))
    with pytest.raises(DatasetError, match="not the published file") as refusal:
        fashion_mnist()
    assert str(data_folder / TRAIN_IMAGES) in str(refusal.value)
    assert "move it away" in str(refusal.value)


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


def test_a_download_with_another_digest_is_passed_over(small, tmp_path, mirrors):
    small.write(tmp_path / "good")
    small.write(tmp_path / "bad", compresslevel=1)
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
