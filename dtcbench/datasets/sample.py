"""What one sample of a data set looks like, told without its files where its module can."""

from __future__ import annotations

import sys
from typing import Any

from dtcbench import registry
from dtcbench.datasets.splits import DatasetError, Splits

Sample = tuple[tuple[int, ...], int]
"""The shape of one sample, and the number of classes."""


def sample(dataset: str, options: dict[str, Any]) -> Sample:
    """Shape and classes, as the function `sample` of the data set's module tells them, else from the loaded data.

    DatasetError where the data cannot be loaded.
    """
    told = getattr(sys.modules[registry.datasets.get(dataset).__module__], "sample", None)
    if told is not None:
        shape, classes = told(**options)
        return shape, classes
    try:
        splits: Splits = registry.datasets.bind(dataset, options)()
    except Exception as error:  # a plug-in may raise anything
        raise DatasetError(f"{dataset}: {error}") from error
    return splits.input_shape, splits.num_classes
