"""Data of one's own, named by one line of a suite: `{name: file, path: letters.npz}`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dtcbench.datasets import cache
from dtcbench.datasets import content as contents
from dtcbench.datasets.content import Content
from dtcbench.datasets.description import Sample, described_without_loading
from dtcbench.datasets.huggingface import is_saved
from dtcbench.datasets.reading import read
from dtcbench.datasets.splits import (
    AbsentDataError,
    DatasetError,
    Labels,
    Pixels,
    Splits,
    Task,
    fit_together,
    moments,
    outputs_of,
    targets_of,
)
from dtcbench.registry import register_dataset

Fraction = Annotated[float, Field(gt=0, lt=1)]
Context = Annotated[int, Field(gt=0)]
Vocabulary = Annotated[int, Field(ge=0)]
_SAVED = "a folder of Hugging Face `datasets`"
_OF_KINDS = {
    "label": (".csv", ".parquet", _SAVED),
    "context": (".txt", ".npy", _SAVED),
    "vocabulary": (".npy", _SAVED),
}
"""Options that are about files with these endings, and such folders, only."""


def from_file(
    path: str | Path,
    *,
    test_path: str | Path | None = None,
    label: str = "label",
    test: float = 0.2,
    standardise: bool = True,
    context: int = 64,
    vocabulary: int = 0,
    task: Task = "classification",
) -> Splits:
    """The splits of a file: arrays (.npz), a table (.csv, .parquet), a text (.txt), token ids (.npy); or of a folder:
    images, arrays, or what Hugging Face `datasets` saved.

    Parameters
    ----------
    test_path : a second file with the test samples
    label : the column of a table that holds the classes or values
    test : fraction of the samples of each class, of all of a regression, or of a text, that test; of no effect if there
        is a test part. A sample's own content decides, so that the split is the same for every seed and order, and
        equal samples of one class stay together. A text's last part tests.
    standardise : bring features to mean 0 and standard deviation 1 of the training samples; a constant one becomes 0.
        Pixels likewise, all together.
    context : characters or tokens of a text's sample
    vocabulary : how many tokens there are; 0 for one more than the largest id
    task : `regression` if y, or the column `label`, holds values to predict: [N], or [N, k] in arrays

    Raises
    ------
    DatasetError : names the file, the column or array, the value, and the remedy
    """
    content = read(path, test_path=test_path, label=label, task=task)
    return _naming(str(path), content, test, standardise, context, vocabulary)


def resolve(path: Path, given: dict[str, Any], test_path: Path | None = None) -> dict[str, Any]:
    """The options of `file` with the digest of what is at `path`, which goes into the node's cache.

    Parameters
    ----------
    given : the options as the suite has them
    test_path : the second file, if `given` names one

    Raises
    ------
    DatasetError : the file cannot be used, or has another digest than `given`
    """
    kind = _SAVED if is_saved(path) else path.suffix.lower()
    for option, kinds in _OF_KINDS.items():
        if option in given and kind not in kinds:
            raise DatasetError(f"{path}: {option} is for {', '.join(kinds)}, and does nothing here; remove it")
    chosen = {name: given[name] for name in ("label", "task") if name in given}
    digest = contents.keep(read(path, test_path=test_path, **chosen))
    if given.get("sha256") not in (None, "", digest):
        raise DatasetError(
            f"{path}: its content has the SHA-256 {digest}, not {given['sha256']} as sha256 says; bring back the file "
            "that is meant, or remove sha256"
        )
    names = {"path": path.name, **({"test_path": test_path.name} if test_path else {})}
    return {**given, **names, "sha256": digest}


def sample(**options: Any) -> Sample:
    """The shape of a sample of `file(…)`, the number of classes or values, and the task."""
    splits = file(**options)
    return splits.input_shape, splits.num_classes, options.get("task", "classification")


def origin() -> str:
    """Where the content of `file(…)` comes from."""
    return "a file that a suite names, read when it is planned"


def example() -> dict[str, Any]:
    """Options of `file(…)` for a small table, which goes into the cache."""
    rng = np.random.default_rng(20261127)
    x = rng.normal(3.0, 2.0, (200, 5))
    return {"path": "example.csv", "sha256": contents.keep(Content(x, (x[:, 0] > 3).astype(np.uint8)))}


@register_dataset("file")
@described_without_loading(sample=sample, origin=origin, example=example)
def file(
    *,
    path: str = "",
    sha256: str = "",
    test_path: str = "",
    label: str = "label",
    test: Fraction = 0.2,
    standardise: bool = True,
    context: Context = 64,
    vocabulary: Vocabulary = 0,
    task: Task = "classification",
) -> Splits:
    """Data of your own: an .npz, .csv, .parquet, .txt or .npy file, or a folder of images (docs/own-data.md).

    A suite gives the `path`; planning reads it, puts its content into the cache, and pins `sha256`. What reaches a cell
    is the digest and the bare name. Here the content is searched in the cache, and under that name in
    `$DTCBENCH_DATA_DIR`, and its digest checked; no other file is read.

    Parameters
    ----------
    sha256 : of the decoded content
    path, test_path, label, test, standardise, context, vocabulary, task : as of `from_file`

    Raises
    ------
    DatasetError : no copy with this digest is found
    """
    content = contents.kept(sha256) if _is_digest(sha256) else None
    if content is None:
        content = _searched(path, sha256, test_path, label, task)
    content.refuse_other(task)
    return _naming(path, content, test, standardise, context, vocabulary)


def _searched(path: str, sha256: str, test_path: str, label: str, task: Task) -> Content:
    """The content by its name in $DTCBENCH_DATA_DIR, checked and cached."""
    if not path:
        raise DatasetError("which file? name it in the suite: {name: file, path: letters.npz}")
    if not _is_digest(sha256):
        raise DatasetError(f"{path}: no digest pins it; plan it from a suite, or read it with from_file")
    for name in filter(None, (path, test_path)):
        if name != Path(name).name or name == "..":
            raise DatasetError(f"{name}: a pinned file goes by its bare name; remove the folders")
    root = os.environ.get("DTCBENCH_DATA_DIR")
    place = Path(root) / path if root else None
    if place is None or not place.exists():
        tried = f"{place}: not there" if place else "DTCBENCH_DATA_DIR: not set"
        raise AbsentDataError(
            f"{path}: no copy with the SHA-256 {sha256} was found; tried\n  {tried}\n  {cache.folder()}: not "
            f"cached\nset DTCBENCH_DATA_DIR to a folder with {path}, or DTCBENCH_CACHE_DIR to a folder that this node "
            "and the one that plans both see"
        )
    content = read(place, test_path=place.with_name(test_path) if test_path else None, label=label, task=task)
    if content.sha256 != sha256:
        raise DatasetError(
            f"{place}: its content has the SHA-256 {content.sha256}, not {sha256} as planned; bring the planned file"
        )
    contents.keep(content)
    return content


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _naming(path: str, content: Content, test: float, standardise: bool, context: int, vocabulary: int) -> Splits:
    try:
        if content.is_text:
            return _text(content, test, context, vocabulary)
        return splits_of(content, test, standardise)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def _text(content: Content, test: float, context: int, vocabulary: int) -> Splits:
    train, tests = content.x, content.test_x
    if tests is None:
        train, tests = np.split(train, [round(len(train) * (1 - test))])
    needed = 1 + max(int(part.max()) for part in content.arrays.values())
    if 0 < vocabulary < needed:
        raise DatasetError(f"vocabulary {vocabulary} has no token {needed - 1}, which the text has; give {needed}")
    return Splits.from_tokens(train, tests, context, vocabulary or needed)


def splits_of(content: Content, test: float, standardise: bool) -> Splits:
    """The splits of images or features; `test` and `standardise` as of `from_file`.

    DatasetError if training and test samples do not fit together.
    """
    x, y, test_x, test_y = content.x, content.y, content.test_x, content.test_y
    assert y is not None  # noqa: S101 - only a text has none
    if test_x is None or test_y is None:
        tests = _chosen(x, y, test)
        x, y, test_x, test_y = x[~tests], y[~tests], x[tests], y[tests]
    if x.shape[1:] != test_x.shape[1:]:
        shapes = f"{list(test_x.shape[1:])}, the others {list(x.shape[1:])}"
        raise DatasetError(f"test samples have shape {shapes}; bring them to one shape")
    if x.dtype == np.uint8:
        splits = Splits.from_arrays(x, y, test_x, test_y, content.task)
        plain = Pixels(scale=255.0, mean=0.0, std=1.0)
        return splits if standardise else replace(splits, pixels=plain)
    x, test_x = _scaled(x, test_x) if standardise else (x, test_x)
    splits = Splits(
        train_x=_shaped(x),
        train_y=targets_of("y", y, content.task),
        test_x=_shaped(test_x),
        test_y=targets_of("test_y", test_y, content.task),
        num_classes=outputs_of(y),
        pixels=Pixels(scale=1.0, mean=0.0, std=1.0),
    )
    fit_together(splits)
    return splits


def _chosen(x: NDArray[Any], y: Labels, fraction: float) -> NDArray[np.bool_]:
    """Which samples [N] test: of each class, or of all of a regression, those with the smallest hashes, about
    `fraction` of them.

    Equal samples have equal hashes; those at the border all train.
    """
    rows = np.ascontiguousarray(x).reshape(len(x), -1)
    hashes = np.frombuffer(b"".join(hashlib.sha256(row.data).digest()[:8] for row in rows), ">u8").astype(np.uint64)
    chosen, classes = np.zeros(len(x), dtype=bool), np.zeros(len(x)) if y.dtype.kind == "f" else y
    for label in np.unique(classes):
        of_class = classes == label
        ordered = np.sort(hashes[of_class])
        count = round(len(ordered) * fraction)
        if count < len(ordered):
            chosen |= of_class & (hashes < ordered[count])
    if not chosen.any():
        raise DatasetError(f"test {fraction:g} of {len(x)} samples leaves none to test; raise it, or add samples")
    return chosen


def _scaled(x: NDArray[np.float64], test_x: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both, with `x` at mean 0 and standard deviation 1 per feature or channel."""
    means, deviations = np.array(list(map(moments, np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)))).T
    axes = (slice(None), *(None,) * (x.ndim - 2))
    scaled = [(part - means[axes]) / deviations[axes] for part in (x, test_x)]
    return scaled[0], scaled[1]


def _shaped(x: NDArray[Any]) -> NDArray[np.float32]:
    """Features [N, F] as F channels of one pixel, read-only."""
    shaped = np.array(x[:, :, None, None] if x.ndim == 2 else x, dtype=np.float32, order="C")
    shaped.setflags(write=False)
    return shaped
