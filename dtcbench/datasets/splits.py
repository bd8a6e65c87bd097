"""What a dataset gives: its four arrays and the constants that normalise them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtcbench.errors import UserError

Array = NDArray[np.uint8]


class DatasetError(UserError):
    """A dataset that cannot be had; the message names the file, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Splits:
    """Train and test arrays, read-only: workers of one node may share their pages.

    Everything is uint8, as the sources have it. Whoever trains makes floats of the images,
    `(x / scale − mean) / std`, and int64 of the labels.
    """

    train_x: Array
    """Training images, [N, channels, height, width]."""
    train_y: Array
    """Training labels, [N], from 0 to num_classes − 1."""
    test_x: Array
    """Test images, [M, channels, height, width]."""
    test_y: Array
    """Test labels, [M]."""
    num_classes: int
    scale: float
    """The largest pixel value."""
    mean: float
    """Mean of the training pixels after division by `scale`."""
    std: float
    """Standard deviation of the training pixels after division by `scale`."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image, [channels, height, width]."""
        return self.train_x.shape[1:]
