"""Any map-style data set of torch: decoded once, item by item, into a node's cache, and mapped from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtcbench.datasets import cache
from dtcbench.datasets import content as contents
from dtcbench.datasets.folder import naming
from dtcbench.datasets.own import splits_of
from dtcbench.datasets.reading import Part, content_of
from dtcbench.datasets.splits import DatasetError, Splits, Task


def from_dataset(
    make: Callable[[], Any],
    *,
    sha256: str = "",
    test: float = 0.2,
    standardise: bool = True,
    task: Task = "classification",
) -> Splits:
    """The splits of a `torch.utils.data.Dataset`, or of two of them, which train and test.

    Each item is a pair: an image (PIL, or whole numbers [height, width] or [channels, height, width]) or features
    (floats of one shape), as tensor or array, and its class, a whole number or text, or the values of a regression, one
    number or an array of them. Items must not be random: augmentation is the protocol's.

    Parameters
    ----------
    make : returns the Dataset, or (training Dataset, test Dataset); only called if the cache lacks the content
    sha256 : digest of the decoded content. Without it, the error tells the digest of what `make` returned
    test, standardise, task : as of `dtcbench.datasets.own.from_file`

    Raises
    ------
    DatasetError : names the item that does not fit or the digest, and the remedy
    """
    content = contents.kept(sha256) if sha256 else None
    if content is None:
        found = _decoded_and_kept(make, task)
        if not sha256:
            raise DatasetError(f'no digest pins the data set; write sha256="{found}", which its content has now')
        if found != sha256:
            raise DatasetError(
                f"its content has the SHA-256 {found}, not {sha256} as pinned; bring back the pinned data"
            )
        content = contents.kept(found)
        assert content is not None  # noqa: S101 - it was kept just now
    content.refuse_other(task)
    return splits_of(content, test, standardise)


def _decoded_and_kept(make: Callable[[], Any], task: Task) -> str:
    """The digest of the content, which goes into the cache."""
    made = make()
    parts = made if isinstance(made, tuple) else (made,)
    with cache.scratch() as folder:
        read = [_part(part, folder / f"{number}.npy") for number, part in enumerate(parts)]
        return contents.keep(content_of(read, task))


def _part(dataset: Any, path: Path) -> Part:
    """All items; the samples are in a file at `path`, so that they need no memory."""
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and len(dataset)):
        raise DatasetError(
            f"{type(dataset).__name__}: no map-style data set, or an empty one; give one with __len__ and __getitem__"
        )
    first, values = _item(dataset, 0)
    samples = np.lib.format.open_memmap(path, "w+", first.dtype, (len(dataset), *first.shape))
    labels = []
    for index in range(len(dataset)):
        sample, label = _item(dataset, index)
        if (sample.shape, sample.dtype) != (first.shape, first.dtype):
            raise DatasetError(
                f"item {index} is {sample.dtype} {list(sample.shape)}, item 0 {first.dtype} {list(first.shape)}; "
                "bring all to one shape and type"
            )
        if label.shape != values.shape:
            raise DatasetError(f"item {index} has {label.size} values, item 0 {values.size}; give as many for each")
        samples[index] = sample
        labels.append(label)
    samples.flush()
    return np.load(path, mmap_mode="r"), np.array(labels)


def _item(dataset: Any, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    with naming(f"item {index}", "is not a pair of sample and class", "return (sample, class)"):
        sample, label = dataset[index]
        array = np.asarray(sample)
        if array.dtype == object:
            raise TypeError(f"the sample is {type(sample).__name__}")
        # PIL's images have their channels last.
        is_coloured_picture = array.ndim == 3 and hasattr(sample, "getbands")
        return array.transpose(2, 0, 1) if is_coloured_picture else array, np.asarray(label)
