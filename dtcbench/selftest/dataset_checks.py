"""The claims about every dataset: arrays that fit together, are the same every time, and cannot be written to."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from dtcbench.datasets.description import example
from dtcbench.datasets.splits import Inputs, Pixels, Splits
from dtcbench.registry import datasets
from dtcbench.selftest.checking import Check, Contradicted
from dtcbench.training.loop import normalised

FIELDS = ("train_x", "train_y", "test_x", "test_y")
LOOKED_AT = 10_000
"""Largest number of samples of a split that are looked at, evenly spaced, if all would take long."""
OVERLAP_LIMIT = 0.01
"""Share of test samples that may be training samples too: published sets have some by accident."""
MOMENT_TOLERANCE = 0.05
"""Of the normalised pixels' mean and standard deviation, which are 0 and 1."""


def checks(name: str) -> list[Check]:
    """The claims of the dataset `name`, with its options' defaults, or with those of its example.

    It is loaded when the first of them is tried. If its loader raises an error, such as the DatasetError of a file
    that cannot be downloaded, every check shows that error.
    """
    load = datasets.bind(name, example(name))
    attempt = functools.cache(lambda: _attempt(load))

    def check(claim: str, holds: Callable[[Splits], None]) -> Check:
        def run() -> None:
            splits = attempt()
            if isinstance(splits, Exception):
                raise splits
            holds(splits)

        return Check(claim, run)

    return [
        check("arrays are uint8, features and values finite float32, tokens up to uint32, and read-only", _plain),
        check("every split has samples, and as many labels", _lengths),
        check("images are [N, C, H, W] with pixels' constants, texts [N, T] without", _kinds),
        check("labels and tokens are below num_classes, or it is the number of values", _range),
        check("a text's labels are its next tokens", _next_tokens),
        check("normalised training pixels have mean 0 and standard deviation 1", _moments),
        check("test images are not training images", _disjoint),
        check("a second load gives the same bytes", lambda splits: _same(splits, load())),
        check("augment keeps the shape and type of a batch and does not write into it", _kept),
        check("equal generators augment equally", _deterministic),
    ]


def _attempt(load: Callable[[], Splits]) -> Splits | Exception:
    """The loader's result or error, to be kept: without a network, looking for a copy takes long."""
    try:
        return load()
    except Exception as error:
        return error


def _expect(holds: bool | np.bool_, contradiction: str) -> None:
    if not holds:
        raise Contradicted(contradiction)


def _plain(splits: Splits) -> None:
    for field in FIELDS:
        array = getattr(splits, field)
        may_be_float = not splits.is_text and (field.endswith("_x") or splits.task == "regression")
        whole = (np.uint8, np.uint16, np.uint32) if splits.is_text else (np.uint8,)
        fits = array.dtype in (*whole, np.float32) if may_be_float else array.dtype in whole
        remedy = "give uint8, float32 for features and values, or uint16 or uint32 for tokens"
        _expect(fits, f"{field} is {array.dtype}; {remedy}")
        _expect(np.isfinite(array).all(), f"{field} holds a value that is not finite")
        _expect(not array.flags.writeable, f"{field} can be written to; call setflags(write=False)")


def _lengths(splits: Splits) -> None:
    for split in ("train", "test"):
        x, y = getattr(splits, f"{split}_x"), getattr(splits, f"{split}_y")
        _expect(len(x) > 0, f"{split}_x is empty")
        _expect(len(x) == len(y), f"{split} has {len(x)} samples and {len(y)} labels")


def _kinds(splits: Splits) -> None:
    shape, images = splits.train_x.shape, splits.pixels is not None
    kind, dimensions = ("images, [N, C, H, W]", 4) if images else ("texts, [N, T], as pixels is None", 2)
    _expect(len(shape) == dimensions, f"train_x has shape {shape}; give {kind}")
    _expect(images or splits.augment is None, "augment is for images; give none for texts")
    _expect(splits.test_x.shape[1:] == shape[1:], f"test samples are {splits.test_x.shape[1:]}, not {shape[1:]}")
    for field in ("train_y", "test_y"):
        of_image = (splits.num_classes,) if splits.task == "regression" else ()
        found, expected = getattr(splits, field).shape[1:], of_image if images else shape[1:]
        _expect(found == expected, f"each label of {field} has shape {found}, not {expected}")


def _range(splits: Splits) -> None:
    if splits.task == "regression":
        return  # `_kinds` has counted the values
    for field in ("train_y", "test_y") if splits.pixels else FIELDS:
        largest = getattr(splits, field).max()
        _expect(largest < splits.num_classes, f"{field} has a {largest}, but num_classes is {splits.num_classes}")


def _next_tokens(splits: Splits) -> None:
    if splits.pixels is not None:
        return
    for split in ("train", "test"):
        x, y = getattr(splits, f"{split}_x"), getattr(splits, f"{split}_y")
        _expect(np.array_equal(x[:, 1:], y[:, :-1]), f"{split}_y is not {split}_x shifted by one")


def _moments(splits: Splits) -> None:
    if splits.pixels is None:
        return
    x = _normalised(splits.train_x, splits.pixels, LOOKED_AT).double()
    for name, found, expected in (
        ("mean", x.mean((0, 2, 3)), 0.0),
        ("standard deviation", x.std((0, 2, 3), correction=0), 1.0),
    ):
        close = bool(((found - expected).abs() <= MOMENT_TOLERANCE).all())
        _expect(close, f"the {name} per channel is {found.numpy().round(3)}, not {expected:g}; compute pixels anew")


def _disjoint(splits: Splits) -> None:
    if splits.pixels is None:
        return  # verses recur
    training = {sample.tobytes() for sample in splits.train_x}
    test = _some(splits.test_x, LOOKED_AT)
    both = sum(sample.tobytes() in training for sample in test)
    _expect(both <= OVERLAP_LIMIT * len(test), f"{both} of {len(test)} test images are training images too")


def _same(splits: Splits, again: Splits) -> None:
    for field in FIELDS:
        same = np.array_equal(getattr(splits, field), getattr(again, field))
        _expect(same, f"{field} is another at the second load; draw nothing from a global generator")


def _kept(splits: Splits) -> None:
    if splits.augment is None or splits.pixels is None:
        return
    batch = _normalised(splits.train_x, splits.pixels, 64)
    before = batch.clone()
    augmented = splits.augment(batch, torch.Generator().manual_seed(0))
    _expect(torch.equal(batch, before), "augment wrote into the batch it was given; make a new one")
    for what in ("shape", "dtype", "device"):
        found, expected = getattr(augmented, what), getattr(batch, what)
        _expect(found == expected, f"the augmented batch's {what} is {found}, not {expected}")


def _deterministic(splits: Splits) -> None:
    if splits.augment is None or splits.pixels is None:
        return
    batch = _normalised(splits.train_x, splits.pixels, 64)
    first, second = (splits.augment(batch.clone(), torch.Generator().manual_seed(7)) for _ in range(2))
    _expect(torch.equal(first, second), "equal generators gave other batches; draw from the generator given alone")


def _some(array: Inputs, most: int) -> Inputs:
    """At most `most` samples, evenly spaced."""
    return array[:: -(-len(array) // most)]


def _normalised(images: Inputs, pixels: Pixels, most: int) -> torch.Tensor:
    """At most `most` of the images as a cell sees them, [b, C, H, W] in float32."""
    return normalised(torch.from_numpy(np.array(_some(images, most))), pixels)
