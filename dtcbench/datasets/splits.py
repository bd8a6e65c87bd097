"""What a dataset gives: its four arrays, how pixels become floats, and how batches are augmented."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dtcbench.errors import UserError

if TYPE_CHECKING:
    import torch

Array = NDArray[np.uint8]
Augment = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor"]
"""`(normalised batch [b, C, H, W], the cell's generator) -> batch` of the same shape and type.

The generator is a CPU generator wherever the batch lies. Equal generators give equal batches.
"""


class DatasetError(UserError):
    """A dataset that cannot be had; the message names the file, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Pixels:
    """How uint8 pixels become floats: `(x / scale − mean) / std`."""

    scale: float
    """The largest pixel value."""
    mean: float | tuple[float, ...]
    """Mean of the training pixels after division by `scale`: of all, or one per channel."""
    std: float | tuple[float, ...]
    """Standard deviation of the training pixels after division by `scale`: of all, or one per channel."""


@dataclass(frozen=True)
class Splits:
    """Train and test arrays, read-only: workers of one node may share their pages.

    Everything is uint8, as the sources have it. Whoever trains makes floats of the images, as
    `pixels` says, and int64 of the labels and the tokens.
    """

    train_x: Array
    """Training images, [N, channels, height, width], or texts, [N, T] token ids."""
    train_y: Array
    """Training labels, [N], or the next tokens, [N, T]; from 0 to num_classes − 1."""
    test_x: Array
    """Test images or texts: M in place of N."""
    test_y: Array
    """Test labels, [M], or next tokens, [M, T]."""
    num_classes: int
    """How many classes there are, or the vocabulary's size."""
    pixels: Pixels | None
    """None: x holds tokens."""
    augment: Augment | None = None
    """Applied to training batches only; None: they are taken as they are."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: [channels, height, width] of an image, [T] of a text."""
        return self.train_x.shape[1:]

    @property
    def sha256(self) -> str:
        """SHA-256 of the decoded content: the four arrays with their types and shapes, the number of classes, and how
        pixels become floats. Two data sets with one digest train the same network."""
        arrays = {name: getattr(self, name) for name in ("train_x", "train_y", "test_x", "test_y")}
        layout = {name: [str(array.dtype), array.shape] for name, array in arrays.items()}
        facts = {"arrays": layout, "num_classes": self.num_classes, "pixels": self.pixels and asdict(self.pixels)}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array).reshape(-1).data)
        return digest.hexdigest()
