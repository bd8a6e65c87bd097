"""What is told of a data set without reading its files: what one sample looks like, and where they would come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from dtcbench import registry
from dtcbench.datasets.splits import DatasetError, Splits

Dataset = TypeVar("Dataset", bound=Callable[..., Any])
Sample = tuple[tuple[int, ...], int]
"""The shape of one sample, and the number of classes."""


@dataclass(frozen=True)
class _Unread:
    sample: Callable[..., Sample] | None = None
    origin: Callable[[], str] | None = None


def unread(*, sample: Callable[..., Sample], origin: Callable[[], str]) -> Callable[[Dataset], Dataset]:
    """Decorator, below `datasets.register`, for a data set whose files may still have to be downloaded.

    sample : called with the data set's options; a sample's shape, and the number of classes
    origin : in words, where the files would come from
    """

    def decorate(load: Dataset) -> Dataset:
        load.unread = _Unread(sample, origin)  # type: ignore[attr-defined]
        return load

    return decorate


def sample(dataset: str, options: dict[str, Any]) -> Sample:
    """Shape and classes, as the data set tells them `unread`, else from the loaded data.

    DatasetError where neither can be had.
    """
    try:
        told = _told(dataset).sample
        if told is not None:
            shape, classes = told(**options)
            return shape, classes
        splits: Splits = registry.datasets.bind(dataset, options)()
        return splits.input_shape, splits.num_classes
    except Exception as error:  # a plug-in may raise anything
        raise DatasetError(f"{dataset}: {error}") from error


def origin(dataset: str) -> str:
    """In words: inside a package, a folder, the cache, or a download."""
    told = _told(dataset).origin
    if told is None:
        return f"as {registry.datasets.get(dataset).__module__} has it"
    try:
        return told()
    except Exception as error:  # a plug-in may raise anything
        return f"unknown: {type(error).__name__}: {error}"


def _told(dataset: str) -> _Unread:
    stated = getattr(registry.datasets.get(dataset), "unread", None)
    return stated if isinstance(stated, _Unread) else _Unread()
