"""Data sets of one's own, from arrays and from folders."""

import contextlib
import io
import struct
import zlib

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
    ("arrays", "message"),
    {
        "floats": ((X / 255, Y, X, Y), "train_x is float64; give whole numbers"),
        "large": ((X, Y, X.astype(int) + 200, Y), "test_x holds 2"),
        "negative label": ((X, Y - 1, X, Y), "train_y holds -1 to 1"),
        "no images": ((X[0, 0], Y, X, Y), r"train_x has shape \[4, 5\]; give"),
        "empty": ((X[:0], Y[:0], X, Y), r"train_x has shape \[0, 1, 4, 5\]"),
        "labels": ((X, Y[:5], X, Y), r"train_y has shape \[5\]; give one label for each of 6 images"),
        "one-hot": ((X, Y, X, np.eye(3, dtype=int)[Y]), r"test_y has shape \[6, 3\]"),
        "sizes": ((X, Y, X[..., :3], Y), r"images of test_x have shape \[1, 4, 3\], those of train_x \[1, 4, 5\]"),
        "gap": ((X, Y * 2, X, Y), "train_y lacks class 1; number"),
        "one class": ((X, Y * 0, X, Y * 0), "train_y lacks class 1; number at least two"),
        "unseen": ((X, Y % 2, X, Y), "test_y has class 2, which train_y lacks"),
        "blank": ((X * 0, Y, X, Y), "all pixels of train_x are equal"),
    }.values(),
)
def test_what_does_not_fit_is_named_with_the_remedy(arrays, message):
    with pytest.raises(DatasetError, match=message):
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
    with pytest.raises(DatasetError, match="other: a class that train/ lacks"):
        from_folder(folder)


def test_pickled_objects_are_never_loaded(tmp_path):
    for name in ("train_x", "train_y", "test_x", "test_y"):
        np.save(tmp_path / f"{name}.npy", np.array([{}], dtype=object))
    with pytest.raises(DatasetError, match=r"train_x\.npy: cannot be read.*without objects"):
        from_folder(tmp_path)


def saved(array) -> bytes:
    """What `numpy.save` writes."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archived(**arrays) -> bytes:
    """What `numpy.savez` writes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def flipped(content: bytes, place: int) -> bytes:
    """One byte of the content inverted."""
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


WHOLE = archived(train_x=X, train_y=Y, test_x=X, test_y=Y)


@pytest.mark.parametrize(
    "content",
    {
        "truncated": WHOLE[: len(WHOLE) // 2],
        "pixel": flipped(WHOLE, WHOLE.index(X.tobytes())),
        "directory": flipped(WHOLE, WHOLE.rindex(b"PK\x01\x02") + 20),
        "one array": saved(X),
        "empty": b"",
        "text": b"no archive",
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_damaged_archive_is_named_once_with_the_remedy(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content[1])
    with pytest.raises(DatasetError, match=r"data\.npz: cannot be read: \w+: .*; write it with numpy\.savez") as caught:
        from_folder(tmp_path)
    assert str(caught.value).count("data.npz: ") == 1


def test_an_archive_without_an_array_is_named_once(tmp_path):
    (tmp_path / "data.npz").write_bytes(archived(train_x=X, train_y=Y))
    with pytest.raises(DatasetError) as caught:
        from_folder(tmp_path)
    assert str(caught.value) == f"{tmp_path}/data.npz: lacks test_x, test_y; it holds train_x, train_y"


@pytest.mark.parametrize(
    "content",
    {
        "truncated": saved(X)[:-5],
        "header": saved(X).replace(b"{", b"(", 1),
        "brackets": saved(X).replace(b"}", b" ", 1),
        "huge": saved(X).replace(b"(6, 1, 4, 5), }        ", b"(6, 10**99, 4, 5), }    ", 1),
        "an archive": WHOLE,
        "empty": b"",
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_damaged_array_is_named_with_the_remedy(tmp_path, content):
    for name in ("train_y", "test_x", "test_y"):
        np.save(tmp_path / f"{name}.npy", X)
    (tmp_path / "train_x.npy").write_bytes(content[1])
    with pytest.raises(DatasetError, match=r"train_x\.npy: cannot be read: \w+: .*; write it with numpy\.save,"):
        from_folder(tmp_path)


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A grey PNG that claims this size, with its checksums right."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(pixels),
        b"IEND": b"",
    }
    framed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


SMALL = png(5, 4, bytes(24))


@pytest.mark.parametrize(
    "content",
    {
        "truncated": SMALL[:-20],
        "length": flipped(SMALL, 8),
        "kind": flipped(SMALL, 12),
        "size": flipped(SMALL, 16),
        "pixels": flipped(SMALL, SMALL.index(b"IDAT") + 6),
        "huge": png(50_000, 50_000, b""),
        "empty": b"",
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_damaged_image_is_named_with_the_remedy(of_images, content):
    folder = of_images(X[:, 0])
    (folder / "train/class 1/9.png").write_bytes(content[1])
    with pytest.raises(DatasetError, match=r"9\.png: cannot be (read as an image|decoded): .*; repair or remove it"):
        from_folder(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    {"data.npz": WHOLE, "train_x.npy": saved(X), "train/class 1/1.png": SMALL}.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_byte_is_damaged_no_other_error_escapes(of_images, name, content):
    folder = of_images(X[:, 0])
    if not name.startswith("train/"):
        folder = folder / "arrays"
        folder.mkdir()
    if name.endswith(".npy"):
        for other in ("train_y", "test_x", "test_y"):
            np.save(folder / f"{other}.npy", Y if other.endswith("y") else X)
    for place in range(len(content)):
        (folder / name).write_bytes(flipped(content, place))
        with contextlib.suppress(DatasetError):
            from_folder(folder)


def test_what_is_hidden_is_no_class_and_no_image(of_images):
    folder = of_images(X[:, 0])
    before = from_folder(folder)
    for hidden in (".ipynb_checkpoints", "class 0/.thumbnails"):
        (folder / "train" / hidden).mkdir()
    for hidden in (".DS_Store", "class 0/._0.png", "class 1/.DS_Store"):
        (folder / "train" / hidden).write_text("hidden")
    assert same(from_folder(folder), before)


@pytest.mark.parametrize("name", ["9.bmp", "9.webp", "notes.txt", "9"])
def test_a_file_among_the_images_that_is_none_is_refused(of_images, name):
    folder = of_images(X[:, 0])
    (folder / "train/class 1" / name).write_text("other")
    with pytest.raises(
        DatasetError, match=rf"train/class 1/{name}: not one of \.png, \.jpg, \.jpeg; save it as PNG, or move"
    ):
        from_folder(folder)


def test_a_folder_among_the_images_is_refused(of_images):
    folder = of_images(X[:, 0])
    (folder / "train/class 1/more.png").mkdir()
    with pytest.raises(DatasetError, match=r"class 1/more\.png: not one of"):
        from_folder(folder)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_without_an_image_is_refused(of_images, split):
    folder = of_images(X[:, 0])
    (folder / "train/class 3").mkdir()
    Image.fromarray(X[0, 0]).save(folder / "train/class 3/0.png")
    (folder / "test/class 3").mkdir()
    Image.fromarray(X[0, 0]).save(folder / "test/class 3/0.png")
    (folder / split / "class 3/0.png").unlink()
    with pytest.raises(
        DatasetError, match=f"{split}/class 3: a class without an image; add images, or remove the folder"
    ):
        from_folder(folder)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_outside_the_classes_is_refused(of_images, split):
    folder = of_images(X[:, 0])
    Image.fromarray(X[0, 0]).save(folder / split / "0.png")
    with pytest.raises(DatasetError, match=rf"{split}/0\.png: "):
        from_folder(folder)


def test_a_class_that_no_test_image_has_stays_a_class(of_images):
    folder = of_images(X[:, 0])
    for path in (folder / "test/class 1").iterdir():
        path.unlink()
    (folder / "test/class 1").rmdir()
    assert from_folder(folder).num_classes == 3


def test_a_folder_that_is_none_or_holds_nothing_says_what_it_needs(tmp_path):
    with pytest.raises(DatasetError, match="no such folder; it needs train/CLASS"):
        from_folder(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="does not hold a data set; it needs"):
        from_folder(tmp_path)
