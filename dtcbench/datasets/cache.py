"""Decoded arrays on a node's disk: decoded once, checked at every load, memory-mapped by all workers."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock

from dtcbench.datasets.splits import Array, DatasetError
from dtcbench.files import whole

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pin:
    """The expected content of an array: the digest of the array, or of the file that decodes to it."""

    name: str
    """The array's path in the cache without suffix: dataset and array, such as `mnist/train_x`."""
    shape: tuple[int, ...]
    sha256: str
    of: Literal["array", "file"] = "array"
    """Whether `sha256` is the digest of the array's bytes (uint8, C order) or of the published file that decodes to it.
    With `file`, a decoder that returns another array needs another `name`."""

    def problem(self, array: Array, noted: str | None = None) -> str | None:
        """How `array` differs from the pinned one; None if it is equal.

        noted : for `file`, the digest of the array that was decoded from the pinned file
        """
        if array.dtype != np.uint8 or array.shape != self.shape:
            return f"holds {array.dtype} {array.shape}, not uint8 {self.shape}"
        expected = self.sha256 if self.of == "array" else noted
        found = _digest(array)
        if expected is not None and found != expected:
            return f"its content was altered (SHA-256 {found[:12]}…, not {expected[:12]}…)"
        return None


def folder() -> Path:
    """The cache folder: $DTCBENCH_CACHE_DIR, or the user's cache folder on this system."""
    given = os.environ.get("DTCBENCH_CACHE_DIR")
    if given:
        return Path(given)
    import pooch

    return Path(pooch.os_cache("dtcbench"))


def is_cached(pin: Pin) -> bool:
    """Whether the cache has a file for `pin`; its content is not checked."""
    with suppress(PermissionError):
        return _path(pin).exists()
    return False


def obtain(pin: Pin, decode: Callable[[], Array], source: str | None = None) -> Array:
    """The pinned array, memory-mapped and read-only. It is decoded first if the cache lacks it.

    Any number of processes may call this at once: one decodes while the others wait.

    Parameters
    ----------
    decode : returns the array, already compared with `pin`, or raises DatasetError
    source : digest of the file that `decode` reads; of no effect if a file is pinned. A cached array is used only if
        it was decoded from a file with this digest, so that an altered file is noticed even if the cache is
        intact. None: any cached array is used.

    Raises
    ------
    DatasetError : from `decode`, or because the cache folder cannot be written
    """
    if pin.of == "file":
        source = pin.sha256
    path = _path(pin)
    with suppress(OSError, DatasetError):  # if the folder cannot be reached, `_locked` says so
        return _mapped(path, pin, source)
    with _locked(path):
        try:
            return _mapped(path, pin, source)  # another process decoded it meanwhile
        except FileNotFoundError:
            pass
        except DatasetError as error:
            log.warning("%s; it is deleted and decoded again", error)
        array = decode()
        _write(path, array)
        if source is not None:
            _note(path, source).write_text(_digest(array))
        return _mapped(path, pin, source)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in the cache, for what is too large for memory while it is decoded; it is deleted afterwards.

    DatasetError if the cache cannot be written.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix="decoding-", dir=folder())
    except OSError as error:
        raise _unwritable(folder(), error) from error
    with temporary as name:
        yield Path(name)


def _unwritable(path: Path, error: OSError) -> DatasetError:
    remedy = "set DTCBENCH_CACHE_DIR to a folder that can be"
    return DatasetError(f"{path}: the cache cannot be written ({error}); {remedy}")


def _path(pin: Pin) -> Path:
    # The name holds the digest, so releases that pin different content do not overwrite each other's file.
    return folder() / f"{pin.name}-{pin.sha256[:16]}.npy"


def _digest(array: Array) -> str:
    return hashlib.sha256(array.reshape(-1).data).hexdigest()


def _note(path: Path, source: str) -> Path:
    """The file that holds the digest of the array that was decoded from a file with the digest `source`."""
    return path.with_suffix(f".from-{source}")


def _mapped(path: Path, pin: Pin, source: str | None) -> Array:
    """The cached array; FileNotFoundError if it is missing, DatasetError if it is damaged."""
    noted = None if source is None else _note(path, source).read_text(errors="replace")
    try:
        array: Array = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy raises nearly anything on a damaged header
        raise DatasetError(f"{path}: not a readable array ({error})") from error
    problem = pin.problem(array, noted)
    if problem:
        raise DatasetError(f"{path}: {problem}")
    return array


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _write(path: Path, array: Array) -> None:
    """Write the array; the caller holds the lock."""
    with whole(path) as file:
        np.save(file, array)
