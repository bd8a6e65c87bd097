"""The decoded content of a data set of one's own: arrays, the digest that names them, and a copy in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from dtcbench.datasets import cache
from dtcbench.datasets.splits import Array, DatasetError, Task, Values
from dtcbench.files import whole

log = logging.getLogger(__name__)
_ARRAYS = ("x", "y", "test_x", "test_y")


@dataclass(frozen=True)
class Content:
    """What a file, or a folder, holds, before it is split and scaled. Four arrays if it has a test part of its own.

    Images are uint8 [N, channels, height, width]; features float64 [N, …], all finite; a text uint8 [characters], each
    the character's number among the text's sorted characters, or token ids [tokens], uint16 if that holds them, else
    uint32. Labels are uint8 [N], numbered from 0; the values of a regression float32 [N, k]; a text has neither.
    """

    x: NDArray[Any]
    y: Array | Values | None = None
    test_x: NDArray[Any] | None = None
    test_y: Array | Values | None = None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that it has, by name."""
        return {name: array for name in _ARRAYS if (array := getattr(self, name)) is not None}

    @property
    def is_text(self) -> bool:
        """Whether it is one text."""
        return self.y is None

    @property
    def task(self) -> Task:
        """What a network learns of it."""
        return "regression" if self.y is not None and self.y.dtype.kind == "f" else "classification"

    def refuse_other(self, task: Task) -> None:
        """DatasetError if it is for another task."""
        if self.task != task:
            raise DatasetError(f"the content with this sha256 is for {self.task}, not {task}; correct task or sha256")

    @property
    def sha256(self) -> str:
        """SHA-256 of the arrays with their names, types and shapes: the same for the same values in any format."""
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        layout = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
        digest = hashlib.sha256(json.dumps(layout, sort_keys=True).encode())
        for array in arrays.values():
            digest.update(array.reshape(-1).data)
        return digest.hexdigest()


def keep(content: Content) -> str:
    """Put the content into the node's cache, unless it is there; its digest.

    DatasetError if the cache cannot be written.
    """
    digest = content.sha256
    if kept(digest) is None:
        folder = _folder(digest)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / "lock"):
                for name, array in content.arrays.items():
                    with whole(folder / f"{name}.npy") as file:
                        np.save(file, array)
        except OSError as error:
            raise DatasetError(
                f"{folder}: the cache cannot be written ({error}); set DTCBENCH_CACHE_DIR to a folder that can be"
            ) from error
    return digest


def kept(digest: str) -> Content | None:
    """The content with this digest from the cache, memory-mapped; None if the cache lacks it or holds it damaged."""
    folder = _folder(digest)
    try:
        found = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
        content = Content(**found)
        if content.sha256 == digest:
            return content
        problem = f"its content has the SHA-256 {content.sha256}"
    except Exception as error:  # numpy raises nearly anything on a damaged header
        problem = f"{type(error).__name__}: {error}"
    if folder.is_dir():
        log.warning("%s: damaged, so not used (%s)", folder, problem)
    return None


def _folder(digest: str) -> Path:
    return cache.folder() / "file" / digest
