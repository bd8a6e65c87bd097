"""Data sets of one's own, from arrays and from folders."""

import numpy as np
import pytest
from PIL import Image

from dtcbench.datasets.folder import from_folder
from dtcbench.datasets.splits import DatasetError, Splits

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (6, 1, 4, 5), dtype=np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2])


def same(one: Splits, other: Splits) -> bool:
    return one.sha256 == other.sha256


def test_arrays_become_read_only_bytes_with_classes_mean_and_deviation():
    splits = Splits.from_arrays(X, Y, X[:3], Y[:3])
    for name in ("train_x", "train_y", "test_x", "test_y"):
        array = getattr(splits, name)
        assert array.dtype == np.uint8 and not array.flags.writeable
    assert splits.num_classes == 3
    assert splits.pixels.scale == 255
    assert splits.pixels.mean == pytest.approx(X.mean() / 255, rel=1e-12)
    assert splits.pixels.std == pytest.approx(X.std() / 255, rel=1e-12)


def test_the_givers_arrays_stay_theirs():
    mine = X.copy()
    splits = Splits.from_arrays(mine, Y, X, Y)
    mine[:] = 0
    assert np.array_equal(splits.train_x, X)
    assert mine.flags.writeable


def test_what_is_read_only_bytes_already_is_not_copied():
    x = X.copy()
    x.setflags(write=False)
    assert Splits.from_arrays(x, Y, x, Y).train_x is x


@pytest.mark.parametrize("images", [X[:, 0], X.astype(np.int64), X.tolist()], ids=["grey", "int64", "list"])
def test_other_spellings_of_the_same_images_are_the_same_data(images):
    assert same(Splits.from_arrays(images, Y.tolist(), X, Y), Splits.from_arrays(X, Y, X, Y))


@pytest.mark.parametrize(
    ("arrays", "told"),
    {
        "floats": ((X / 255, Y, X, Y), "train_x is float64; give whole numbers"),
        "large": ((X, Y, X.astype(int) + 200, Y), "test_x holds 2"),
        "negative label": ((X, Y - 1, X, Y), "train_y holds -1 to 1"),
        "no images": ((X[0, 0], Y, X, Y), r"train_x has shape \[4, 5\]; give"),
        "empty": ((X[:0], Y[:0], X, Y), r"train_x has shape \[0, 1, 4, 5\]"),
        "labels": ((X, Y[:5], X, Y), r"train_y has shape \[5\]; give one label for each of 6 images"),
        "one-hot": ((X, Y, X, np.eye(3, dtype=int)[Y]), r"test_y has shape \[6, 3\]"),
        "sizes": ((X, Y, X[..., :3], Y), r"images of test_x have shape \[1, 4, 3\], those of train_x \[1, 4, 5\]"),
        "gap": ((X, Y * 2, X, Y), "train_y has no image of class 1; number"),
        "one class": ((X, Y * 0, X, Y * 0), "train_y has no image of class 1; number at least two"),
        "unseen": ((X, Y % 2, X, Y), "test_y has class 2, of which train_y has no image"),
        "blank": ((X * 0, Y, X, Y), "all pixels of train_x are equal"),
    }.values(),
)
def test_what_does_not_fit_is_named_with_the_remedy(arrays, told):
    with pytest.raises(DatasetError, match=told):
        Splits.from_arrays(*arrays)


@pytest.fixture
def of_images(tmp_path):
    """`of_images(images, suffix)`: a folder of images per class."""

    def make(images, suffix=".png"):
        for split in ("train", "test"):
            for number, (image, label) in enumerate(zip(images, Y, strict=True)):
                folder = tmp_path / split / f"class {label}"
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / f"{number}{suffix}")
        return tmp_path

    return make


BY_CLASS = np.argsort(Y, kind="stable")


def test_grey_images_in_folders_have_one_channel(of_images):
    splits = from_folder(of_images(X[:, 0]))
    assert same(splits, Splits.from_arrays(X[BY_CLASS], Y[BY_CLASS], X[BY_CLASS], Y[BY_CLASS]))


def test_coloured_images_in_folders_have_three(of_images):
    colours = RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    splits = from_folder(of_images(colours))
    assert np.array_equal(splits.train_x, colours[BY_CLASS].transpose(0, 3, 1, 2))
    assert from_folder(of_images(colours, ".jpg")).input_shape == (3, 4, 5)


def test_arrays_in_a_folder_are_the_arrays(tmp_path):
    arrays = {"train_x": X, "train_y": Y, "test_x": X[:4], "test_y": Y[:4]}
    apart, together = tmp_path / "apart", tmp_path / "together"
    for folder in (apart, together):
        folder.mkdir()
    for name, array in arrays.items():
        np.save(apart / f"{name}.npy", array)
    np.savez(together / "data.npz", **arrays)
    assert same(from_folder(apart), Splits.from_arrays(*arrays.values()))
    assert same(from_folder(str(together)), from_folder(apart))


def test_images_of_several_sizes_are_refused_with_the_file(of_images):
    folder = of_images(X[:, 0])
    Image.fromarray(X[0, 0, :3]).save(folder / "train/class 1/9.png")
    with pytest.raises(DatasetError, match=r"9\.png: 5 × 3 pixels, 0\.png has 5 × 4; resize them"):
        from_folder(folder)


def test_an_image_with_16_bits_is_refused(of_images):
    folder = of_images(X[:, 0])
    Image.fromarray(X[0, 0].astype(np.uint16)).save(folder / "train/class 1/9.png")
    with pytest.raises(DatasetError, match=r"9\.png: mode I;16 has more than 8 bits"):
        from_folder(folder)


def test_what_is_no_image_and_what_is_no_class_are_named(of_images):
    folder = of_images(X[:, 0])
    (folder / "train/class 1/9.png").write_text("no image")
    with pytest.raises(DatasetError, match=r"9\.png: cannot be read as an image"):
        from_folder(folder)
    (folder / "train/class 1/9.png").unlink()
    (folder / "test/other").mkdir()
    with pytest.raises(DatasetError, match="other: a class that train/ does not have"):
        from_folder(folder)


def test_pickled_objects_are_never_loaded(tmp_path):
    for name in ("train_x", "train_y", "test_x", "test_y"):
        np.save(tmp_path / f"{name}.npy", np.array([{}], dtype=object))
    with pytest.raises(DatasetError, match=r"train_x\.npy: cannot be read.*without objects"):
        from_folder(tmp_path)


def test_a_folder_that_is_none_or_holds_nothing_says_what_it_needs(tmp_path):
    with pytest.raises(DatasetError, match="no such folder; it needs train/CLASS"):
        from_folder(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="holds no data set; it needs"):
        from_folder(tmp_path)
