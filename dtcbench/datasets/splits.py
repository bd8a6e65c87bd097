"""The splits of a dataset: four arrays, the scaling of pixels and of values, and the augmentation of batches."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dtcbench.errors import AbsentError, UserError

if TYPE_CHECKING:
    import torch

Array = NDArray[np.uint8]
Tokens = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]
Inputs = Tokens | NDArray[np.float32]
Values = NDArray[np.float32]
Labels = Tokens | Values
Task = Literal["classification", "regression"]
"""What a network learns: which class a sample is of (or which token follows), or the values that go with it."""
VALUES = "or write `task: regression` if they are values to predict"
"""The remedy where labels are no classes."""
Augment = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor"]
"""`(normalised batch [b, C, H, W], the cell's generator) -> batch` of the same shape and type.

The generator is a CPU generator for every device of the batch. Equal generators give equal batches.
"""


class DatasetError(UserError):
    """A dataset cannot be loaded; the message names the file, the problem and the remedy."""


class AbsentDataError(DatasetError, AbsentError):
    """A dataset cannot be loaded because a file of it is not on this machine."""


@dataclass(frozen=True)
class Pixels:
    """The scaling of uint8 pixels to floats: `(x / scale − mean) / std`."""

    scale: float
    """The largest pixel value."""
    mean: float | tuple[float, ...]
    """Mean of the training pixels after division by `scale`: one for all, or one per channel."""
    std: float | tuple[float, ...]
    """Standard deviation of the training pixels after division by `scale`: one for all, or one per channel."""


@dataclass(frozen=True)
class Splits:
    """Train and test arrays, read-only, so that workers of one node can share their memory pages.

    All are uint8, as in the sources, but features and the values of a regression, which are float32, and the tokens of
    a vocabulary, which are uint16 or uint32. Training converts images and features to floats by `pixels`, labels and
    tokens to int64, and values by `target_scale`.
    """

    train_x: Inputs
    """Training images, [N, channels, height, width], or texts, [N, T] token ids. F features are F channels of one
    pixel."""
    train_y: Labels
    """Training labels, [N], or the next tokens, [N, T], from 0 to num_classes − 1; or the values of a regression,
    float32 [N, k]."""
    test_x: Inputs
    """Test images or texts; M samples."""
    test_y: Labels
    """Test labels, [M], next tokens, [M, T], or values, [M, k]."""
    num_classes: int
    """The number of classes, the vocabulary's size, or k: a network has as many outputs."""
    pixels: Pixels | None
    """None if x holds tokens."""
    augment: Augment | None = None
    """Applied to training batches only; None for no augmentation."""

    @classmethod
    def from_arrays(
        cls,
        train_x: ArrayLike,
        train_y: ArrayLike,
        test_x: ArrayLike,
        test_y: ArrayLike,
        task: Task = "classification",
    ) -> Splits:
        """The splits of images [N, channels, height, width], or grey ones [N, height, width], and labels [N] from 0, or
        of a regression values [N] or [N, k].

        Pixels are whole numbers from 0 to 255. An array is copied unless it is uint8 and read-only. The number of
        classes comes from the labels, mean and standard deviation from all training pixels.

        Raises
        ------
        DatasetError : names the array that does not fit, and the remedy
        """
        splits = cls(
            train_x=images_of("train_x", train_x),
            train_y=targets_of("train_y", train_y, task),
            test_x=images_of("test_x", test_x),
            test_y=targets_of("test_y", test_y, task),
            num_classes=0,
            pixels=None,
        )
        fit_together(splits)
        return replace(splits, num_classes=outputs_of(splits.train_y), pixels=_pixels(splits.train_x))

    @classmethod
    def from_tokens(cls, train: Tokens, test: Tokens, context: int, vocabulary: int) -> Splits:
        """The splits of a text's tokens, below `vocabulary`: chunks of `context` without overlap.

        The label of a token is the next one; a shorter rest at the end of each part is dropped. DatasetError if one of
        them is shorter than a chunk.
        """
        shorter = min(len(train), len(test))
        if context >= shorter:
            raise DatasetError(f"context {context} leaves no sample; choose at most {shorter - 1}")
        return cls(*_chunks(train, context), *_chunks(test, context), num_classes=vocabulary, pixels=None)

    @property
    def is_text(self) -> bool:
        """Whether x holds tokens."""
        return self.pixels is None

    @property
    def is_of_characters(self) -> bool:
        """Whether x holds a text's characters: uint8 ones, as wider tokens are of a vocabulary of another kind."""
        return self.is_text and self.train_x.dtype == np.uint8

    @property
    def task(self) -> Task:
        """A regression if y holds floats."""
        return "regression" if self.train_y.dtype.kind == "f" else "classification"

    @property
    def target_scale(self) -> tuple[Moments, ...]:
        """Of a regression, mean and standard deviation of each value over the training samples; empty of classes."""
        return tuple(map(moments, self.train_y.T)) if self.task == "regression" else ()

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of a network's output for one sample: [num_classes], or [T, num_classes] of a text."""
        return (*self.input_shape, self.num_classes) if self.is_text else (self.num_classes,)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: [channels, height, width] of an image, [T] of a text."""
        return self.train_x.shape[1:]

    @property
    def sha256(self) -> str:
        """SHA-256 of the decoded content: the four arrays with their types and shapes, the number of classes, and
        `pixels`. It leaves out `augment`, as a function has no content to digest. Two datasets with equal digests and
        the same `augment` train the same network."""
        arrays = {name: getattr(self, name) for name in ("train_x", "train_y", "test_x", "test_y")}
        layout = {name: [str(array.dtype), array.shape] for name, array in arrays.items()}
        facts = {"arrays": layout, "num_classes": self.num_classes, "pixels": self.pixels and asdict(self.pixels)}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array).reshape(-1).data)
        return digest.hexdigest()


Moments = tuple[float, float]
"""Mean and standard deviation."""


def moments(numbers: NDArray[Any]) -> Moments:
    """Mean and standard deviation, which is 1 where all are equal but for rounding.

    The sums are exact, so that the values are the same on every machine.
    """
    column = numbers.astype(np.float64)
    mean = math.fsum(column) / column.size
    deviation = math.sqrt(math.fsum((column - mean) ** 2) / column.size)
    return mean, deviation if deviation > abs(mean) * np.finfo(float).eps else 1.0


_LARGEST = 255
_BLOCK = 1 << 20
"""Number of pixels that are counted at once: counting takes eight bytes for each."""


def images_of(name: str, given: ArrayLike) -> Array:
    """The images as uint8 [N, channels, height, width]; DatasetError calls them `name`."""
    array = bytes_of(name, given)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or not array.size:
        raise DatasetError(
            f"{name} has shape {list(array.shape)}; give [images, channels, height, width], or [images, height, width]"
        )
    return array


def bytes_of(name: str, given: ArrayLike) -> Array:
    """The array itself if it is uint8, read-only and contiguous, else a copy that is; DatasetError calls it `name`."""
    array = np.asarray(given)
    if array.dtype.kind not in "bui":
        raise DatasetError(
            f"{name} is {array.dtype}; give whole numbers from 0 to {_LARGEST}: for pixels between 0 and 1, "
            "np.rint(255 * x).astype(np.uint8)"
        )
    if array.dtype != np.uint8 and array.size and not (array.min() >= 0 and array.max() <= _LARGEST):
        raise DatasetError(
            f"{name} holds {array.min()} to {array.max()}; bring its values into 0 to {_LARGEST} and make it uint8"
        )
    if array.dtype != np.uint8 or array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, dtype=np.uint8, order="C")
        array.setflags(write=False)
    return array


def targets_of(name: str, given: ArrayLike, task: Task) -> Array | Values:
    """The labels as uint8, or the values of a regression, [N] or [N, k], as float32 [N, k], read-only.

    DatasetError calls them `name`.
    """
    array = np.asarray(given)
    if task == "classification":
        if array.dtype.kind == "f":
            raise DatasetError(f"{name} is {array.dtype}; give classes as whole numbers, {VALUES}")
        return bytes_of(name, given)
    if array.dtype.kind not in "buif":
        raise DatasetError(f"{name} is {array.dtype}; the values of a regression are numbers")
    if array.ndim not in (1, 2) or not array.size:
        raise DatasetError(f"{name} has shape {list(array.shape)}; give values [samples] or [samples, values]")
    with np.errstate(over="ignore"):  # what float32 does not hold is told below
        values = array.reshape(len(array), -1).astype(np.float32) + np.float32(0)  # −0 becomes 0
    if not np.isfinite(values).all():
        row, column = (int(index) for index in np.argwhere(~np.isfinite(values))[0])
        number = array.reshape(len(array), -1)[row, column]
        raise DatasetError(f"{name}[{row}, {column}] is {number}; give finite float32 numbers, or leave the sample out")
    values.setflags(write=False)
    return values


def outputs_of(targets: Labels) -> int:
    """How many outputs a network has for these labels or values."""
    return targets.shape[1] if targets.dtype.kind == "f" else int(targets.max()) + 1


def fit_together(splits: Splits) -> None:
    """DatasetError if the arrays of images or features differ in length or shape, or a class is not in training."""
    train_x, train_y, test_x, test_y = splits.train_x, splits.train_y, splits.test_x, splits.test_y
    for name, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
        if splits.task == "regression" and y.shape != (expected := (len(x), train_y.shape[1])):
            raise DatasetError(f"{name}_y has shape {list(y.shape)}; give {list(expected)}, values for each sample")
        if splits.task == "classification" and y.shape != (len(x),):
            raise DatasetError(f"{name}_y has shape {list(y.shape)}; give one label for each of {len(x)} images")
    if train_x.shape[1:] != test_x.shape[1:]:
        raise DatasetError(
            f"images of test_x have shape {list(test_x.shape[1:])}, those of train_x {list(train_x.shape[1:])}; "
            "bring them to one shape"
        )
    if splits.task == "regression":
        return
    known = np.unique(train_y)
    absent = np.setdiff1d(np.arange(max(2, int(known.max()) + 1)), known)
    if absent.size:
        raise DatasetError(f"train_y lacks class {absent[0]}; number at least two classes from 0, without gaps")
    unseen = np.setdiff1d(test_y, known)
    if unseen.size:
        raise DatasetError(f"test_y has class {unseen[0]}, which train_y lacks; leave it out or add training images")


def _chunks(tokens: Tokens, context: int) -> tuple[Tokens, Tokens]:
    """Samples [N, context] and their labels [N, context], shifted by one token."""
    used = (len(tokens) - 1) // context * context
    chunks = tokens[:used].reshape(-1, context), tokens[1 : used + 1].reshape(-1, context)
    for array in chunks:
        array.setflags(write=False)
    return chunks


def _pixels(images: Inputs) -> Pixels:
    """Mean and standard deviation of all pixels, computed from the counts of each value."""
    counts = np.zeros(_LARGEST + 1, dtype=np.int64)
    pixels = images.reshape(-1)
    for start in range(0, len(pixels), _BLOCK):
        counts += np.bincount(pixels[start : start + _BLOCK], minlength=_LARGEST + 1)
    values = np.arange(_LARGEST + 1) / _LARGEST
    mean = float(counts @ values / counts.sum())
    std = float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))
    if not std:
        raise DatasetError("all pixels of train_x are equal; give images that differ")
    return Pixels(scale=float(_LARGEST), mean=mean, std=std)
