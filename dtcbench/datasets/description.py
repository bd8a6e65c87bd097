"""What a data set looks like and where its files would come from, without loading them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dtcbench import registry
from dtcbench.datasets.splits import DatasetError, Splits

Dataset = TypeVar("Dataset", bound=Callable[..., Any])
Sample = tuple[tuple[int, ...], int]
"""The shape of one sample, and the number of classes."""


def described_without_loading(
    *, sample: Callable[..., Sample], origin: Callable[[], str]
) -> Callable[[Dataset], Dataset]:
    """Decorator, below `register_dataset`, for a data set whose files may still have to be downloaded.

    sample : called with the data set's options; returns a sample's shape and the number of classes
    origin : returns in words where the files would come from
    """

    def decorate(load: Dataset) -> Dataset:
        load.description = (sample, origin)  # type: ignore[attr-defined]
        return load

    return decorate


def sample(dataset: str, options: dict[str, Any]) -> Sample:
    """Shape of a sample and number of classes: from the data set's description, or else from its loaded data.

    Raises
    ------
    DatasetError : neither can be had
    """
    try:
        described, _ = _description(dataset)
        if described is not None:
            shape, classes = described(**options)
            return shape, classes
        splits: Splits = registry.datasets.bind(dataset, options)()
        return splits.input_shape, splits.num_classes
    except Exception as error:  # a plug-in may raise anything
        raise DatasetError(f"{dataset}: {error}") from error


def origin(dataset: str) -> str:
    """Where the data would come from, in words: inside a package, a folder, the cache, or a download."""
    _, described = _description(dataset)
    if described is None:
        return f"as {registry.datasets.get(dataset).__module__} has it"
    try:
        return described()
    except Exception as error:  # a plug-in may raise anything
        return f"unknown: {type(error).__name__}: {error}"


def _description(dataset: str) -> tuple[Callable[..., Sample] | None, Callable[[], str] | None]:
    description = getattr(registry.datasets.get(dataset), "description", None)
    return description if isinstance(description, tuple) and len(description) == 2 else (None, None)
