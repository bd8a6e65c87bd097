"""What a data set looks like and where its files would come from, without loading them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dtcbench import registry
from dtcbench.datasets.source import DOWNLOAD
from dtcbench.datasets.splits import AbsentDataError, DatasetError, Splits, Task
from dtcbench.errors import AbsentError, UserError
from dtcbench.text import error_line

Dataset = TypeVar("Dataset", bound=Callable[..., Any])
Sample = tuple[tuple[int, ...], int] | tuple[tuple[int, ...], int, Task]
"""The shape of one sample, the number of classes (or of values), and the task if it is not classification."""


def described_without_loading(
    *,
    sample: Callable[..., Sample],
    origin: Callable[[], str],
    example: Callable[[], dict[str, Any]] = dict,
) -> Callable[[Dataset], Dataset]:
    """Decorator, below `register_dataset`, for a data set whose files may still have to be downloaded.

    sample : called with the data set's options; returns a sample's shape, the number of classes, and the task unless it
        is classification
    origin : returns in words where the files would come from
    example : returns options with which `selftest` loads it, where its defaults are not enough
    """

    def decorate(load: Dataset) -> Dataset:
        load.description = (sample, origin, example)  # type: ignore[attr-defined]
        return load

    return decorate


def sample(dataset: str, options: dict[str, Any]) -> tuple[tuple[int, ...], int]:
    """Shape of a sample and number of classes (or of values): from the data set's description, or else from its loaded
    data.

    Raises
    ------
    DatasetError : neither can be had
    AbsentDataError : a file of it is not on this machine
    """
    shape, classes, _ = described(dataset, options)
    return shape, classes


def described(dataset: str, options: dict[str, Any]) -> tuple[tuple[int, ...], int, Task]:
    """What `sample` gives, and the data set's task; DatasetError as there."""
    try:
        describe, _, _ = _description(dataset)
        if describe is not None:
            shape, classes, *learned = describe(**options)
            return shape, classes, learned[0] if learned else "classification"
        splits: Splits = registry.datasets.bind(dataset, options)()
        return splits.input_shape, splits.num_classes, splits.task
    except (OSError, AbsentError) as error:
        raise AbsentDataError(f"{dataset}: {error}") from error
    except UserError as error:
        raise DatasetError(f"{dataset}: {error}") from error
    except Exception as error:  # a plug-in may raise anything
        raise DatasetError(f"{dataset}: {error_line(error)}") from error


def origin(dataset: str) -> str:
    """Where the data would come from, in words: inside a package, a folder, the cache, or a download."""
    _, described, _ = _description(dataset)
    if described is None:
        return f"as {registry.datasets.get(dataset).__module__} has it"
    try:
        return described()
    except Exception as error:  # a plug-in may raise anything
        return f"unknown: {type(error).__name__}: {error}"


def would_download(dataset: str) -> bool:
    """Whether loading the data set would fetch files that are not on this machine, as far as its description tells."""
    return origin(dataset).startswith(DOWNLOAD)


def example(dataset: str) -> dict[str, Any]:
    """Options with which the data set can be tried; none where its defaults are enough."""
    _, _, described = _description(dataset)
    return described() if described else {}


def needs_options(dataset: str) -> bool:
    """Whether the data set cannot be loaded with its default options."""
    _, _, described = _description(dataset)
    return described not in (None, dict)


_Description = tuple[Callable[..., Sample], Callable[[], str], Callable[[], dict[str, Any]]]


def _description(dataset: str) -> _Description | tuple[None, None, None]:
    description = getattr(registry.datasets.get(dataset), "description", None)
    return description if isinstance(description, tuple) and len(description) == 3 else (None, None, None)
