"""Digits: one fixed split of the images that scikit-learn carries."""

import numpy as np
import pytest
import sklearn.datasets

from dtcbench.datasets.digits import digits
from dtcbench.datasets.splits import DatasetError
from dtcbench.registry import datasets


def test_digits_is_a_registered_dataset():
    assert datasets.get("digits") is digits


def test_shapes_and_types():
    splits = digits()
    assert splits.train_x.shape == (1437, 1, 8, 8)
    assert splits.test_x.shape == (360, 1, 8, 8)
    assert splits.train_y.shape == (1437,)
    assert splits.test_y.shape == (360,)
    assert splits.input_shape == (1, 8, 8)
    assert {a.dtype for a in (splits.train_x, splits.train_y, splits.test_x, splits.test_y)} == {np.dtype("uint8")}


def test_arrays_are_read_only():
    splits = digits()
    with pytest.raises(ValueError, match="read-only"):
        splits.train_x[0] = 0


def test_split_is_a_partition_of_the_source():
    splits = digits()
    both = np.concatenate([splits.train_x, splits.test_x]).reshape(-1, 64)
    labelled = np.column_stack([both, np.concatenate([splits.train_y, splits.test_y])])
    source = sklearn.datasets.load_digits()
    expected = np.column_stack([source.data, source.target])
    assert sorted(map(tuple, labelled)) == sorted(map(tuple, expected.astype(int)))


def test_split_is_stratified():
    splits = digits()
    share = np.bincount(splits.train_y, minlength=10) / len(splits.train_y)
    test_share = np.bincount(splits.test_y, minlength=10) / len(splits.test_y)
    np.testing.assert_allclose(share, test_share, atol=0.005)


def test_constants_normalise_the_training_images():
    splits = digits()
    pixels = splits.train_x / splits.pixels.scale
    assert round(pixels.mean(), 4) == splits.pixels.mean
    assert round(pixels.std(), 4) == splits.pixels.std


def test_another_source_is_refused(monkeypatch):
    source = sklearn.datasets.load_digits()
    source.images[3, 4, 4] += 1
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: source)
    with pytest.raises(DatasetError, match=r"digits/.*altered.*scikit-learn"):
        digits()


def test_zoom_shows_each_pixel_larger():
    small, large = digits(), digits(zoom=2)
    assert large.input_shape == (1, 16, 16)
    np.testing.assert_array_equal(large.test_x[:, :, 1::2, ::2], small.test_x)
    assert not large.train_x.flags.writeable
