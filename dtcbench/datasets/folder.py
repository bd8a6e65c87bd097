"""A data set from a folder: images in a folder per class, or arrays as NumPy saves them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dtcbench.datasets.splits import Array, DatasetError, Splits, Task

if TYPE_CHECKING:
    import PIL.Image

ARRAYS = ("train_x", "train_y", "test_x", "test_y")
LARGEST = 4 * 2**30
"""Bytes of an array that is read."""
_FORMATS = ("PNG", "JPEG")
IMAGES = (".png", ".jpg", ".jpeg")
_GREY, _COLOUR = ("1", "L"), ("P", "RGB", "RGBA", "LA")
_LAYOUTS = (
    "it needs train/CLASS/*.png and test/CLASS/*.png (or .jpg), or train_x.npy, train_y.npy, test_x.npy and "
    "test_y.npy, or one .npz with arrays of these names"
)


@dataclass(frozen=True)
class Embedded:
    """An image inside another file."""

    name: str
    """How an error calls it."""
    encoded: bytes

    def __str__(self) -> str:
        return self.name


def from_folder(path: str | Path, task: Task = "classification") -> Splits:
    """The splits in a folder, as `Splits.from_arrays` makes them.

    path : a folder with `train/CLASS/*.png` and `test/CLASS/*.png` (or `.jpg`), whose classes are numbered in the
        order of their names; or with `train_x.npy`, `train_y.npy`, `test_x.npy`, `test_y.npy`; or with one `.npz`
        that holds these four arrays. Hidden files (`.ipynb_checkpoints`, `.DS_Store`) are skipped.
    task : as of `Splits.from_arrays`

    Raises
    ------
    DatasetError : names the file that does not fit, and the remedy
    """
    folder = Path(path)
    arrays = arrays_of(folder)
    if "x" in arrays:
        raise DatasetError(f"{folder}: does not hold a test part; {_LAYOUTS}")
    try:
        train_x, train_y, test_x, test_y = (arrays[name] for name in ARRAYS)
        return Splits.from_arrays(train_x, train_y, test_x, test_y, task)
    except DatasetError as error:
        raise DatasetError(f"{folder}: {error}") from None


def arrays_of(folder: Path) -> dict[str, NDArray[Any]]:
    """The four arrays of a folder as `from_folder` takes it; or x and y of one with `CLASS/*.png` alone.

    DatasetError names the file that does not fit, and the remedy.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; {_LAYOUTS}")
    shown = _shown(folder)
    archives = [path for path in shown if path.suffix == ".npz"]
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return dict(_of_images(folder))
    if all((folder / f"{name}.npy").is_file() for name in ARRAYS):
        return {name: mapped(folder / f"{name}.npy") for name in ARRAYS}
    if len(archives) == 1:
        return _of_archive(archives[0])
    if len(shown) > 1 and all(path.is_dir() for path in shown):
        found = _files(folder, [path.name for path in shown])
        images = [path for path, _ in found]
        return {
            "x": stacked(images, mode_of(images)),
            "y": np.array([label for _, label in found], np.uint8),
        }
    more = "; data set file also takes CLASS/*.png, of two classes or more"
    raise DatasetError(f"{folder}: does not hold a data set; {_LAYOUTS}{more}")


def _shown(folder: Path) -> list[Path]:
    """The files and folders in a folder that are not hidden, sorted by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


@contextmanager
def naming(path: object, problem: str, remedy: str) -> Iterator[None]:
    """Turn any exception of a library into a DatasetError that names the file."""
    try:
        yield
    except Exception as error:
        raise DatasetError(f"{path}: {problem}: {type(error).__name__}: {error}; {remedy}") from None


def mapped(path: Path) -> NDArray[Any]:
    """The array of an `.npy`, read-only and mapped: it may be larger than memory. DatasetError if it is none."""
    with naming(path, "cannot be read", "write it with numpy.save, without objects"):
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    return array


def _of_archive(path: Path) -> dict[str, NDArray[Any]]:
    """The four arrays of an `.npz`; other arrays in it are not read."""
    remedy = "write it with numpy.savez, without objects"
    with naming(path, "cannot be read", remedy), np.load(path, allow_pickle=False) as archive:
        held = list(archive)
        arrays = {name: archive[name] for name in ARRAYS if name in held}
    absent = [name for name in ARRAYS if name not in held]
    if absent:
        raise DatasetError(f"{path}: lacks {', '.join(absent)}; it holds {', '.join(held)}")
    return arrays


def _of_images(folder: Path) -> dict[str, Array]:
    classes = [path.name for path in _shown(folder / "train")]
    others = [path for path in _shown(folder / "test") if path.name not in classes]
    if others:
        raise DatasetError(f"{others[0]}: a class that train/ lacks; move it away or add it")
    files = {split: _files(folder / split, classes) for split in ("train", "test")}
    mode = mode_of([path for of in files.values() for path, _ in of])
    arrays = {}
    for split, found in files.items():
        arrays[f"{split}_x"] = stacked([path for path, _ in found], mode)
        arrays[f"{split}_y"] = np.array([label for _, label in found], dtype=np.uint8)
    return arrays


def _files(split: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """The images of a split, sorted by class and name, each with its label."""
    if len(classes) > 256:
        raise DatasetError(f"{split}: {len(classes)} classes; at most 256 are possible")
    found = [
        (path, label)
        for label, name in enumerate(classes)
        if (split / name).exists()
        for path in _of_class(split / name)
    ]
    if not found:
        raise DatasetError(f"{split}: does not hold an image; {_LAYOUTS}")
    return found


def _of_class(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: a file next to the folders of the classes; move it into one of them, or away")
    paths = _shown(folder)
    if not paths:
        raise DatasetError(f"{folder}: a class without an image; add images, or remove the folder")
    for path in paths:
        if path.suffix.lower() not in IMAGES or not path.is_file():
            raise DatasetError(f"{path}: not one of {', '.join(IMAGES)}; save it as PNG, or move it away")
    return paths


def mode_of(images: Sequence[Path | Embedded]) -> str:
    """`L` if all are grey, else `RGB`."""
    return "L" if all(_mode(image) in _GREY for image in images) else "RGB"


@contextmanager
def _opened(image: Path | Embedded, problem: str) -> Iterator[PIL.Image.Image]:
    from PIL import Image

    source = io.BytesIO(image.encoded) if isinstance(image, Embedded) else image
    with naming(image, problem, "repair or remove it"), Image.open(source, formats=_FORMATS) as opened:
        yield opened


def _mode(path: Path | Embedded) -> str:
    with _opened(path, "cannot be read as an image") as image:
        mode, size = str(image.mode), image.size
    if mode not in (*_GREY, *_COLOUR) or not all(size):
        raise DatasetError(
            f"{path}: mode {mode} has more than 8 bits a channel or another colour space; save it as RGB"
        )
    return mode


def stacked(paths: Sequence[Path | Embedded], mode: str) -> Array:
    """The images [N, 1 or 3, height, width] in a mode, `L` or `RGB`.

    DatasetError names one that cannot be decoded, or has another size than the first.
    """
    first = _decoded(paths[0], mode)
    if len(paths) * first.nbytes > LARGEST:
        raise DatasetError(
            f"{paths[0]} and all others: its images take more than {LARGEST >> 30} GiB; make them smaller"
        )
    images = np.empty((len(paths), *first.shape), dtype=np.uint8)
    for index, path in enumerate(paths):
        image = _decoded(path, mode)
        if image.shape != first.shape:
            sizes = [f"{shape[2]} × {shape[1]}" for shape in (image.shape, first.shape)]
            raise DatasetError(f"{path}: {sizes[0]} pixels, {paths[0].name} has {sizes[1]}; resize them to one size")
        images[index] = image
    images.setflags(write=False)
    return images


def _decoded(path: Path | Embedded, mode: str) -> Array:
    with _opened(path, "cannot be decoded") as image:
        pixels = np.asarray(image.convert(mode), dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
