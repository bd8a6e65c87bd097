"""Decoded arrays on a node's disk: decoded once, checked at every load, mapped by all workers."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock

from dtcbench.datasets.splits import Array, DatasetError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pin:
    """An array whose content is decided before it is read, by its own digest or by its file's."""

    name: str
    """Its path in the cache without suffix, such as `mnist/train_x`: the dataset, then the array."""
    shape: tuple[int, ...]
    sha256: str
    of: Literal["array", "file"] = "array"
    """What has the digest `sha256`: the array's bytes (uint8, C order), or the published file that
    decodes to it. Then a decoder that gives another array needs another `name`."""

    def problem(self, array: Array, noted: str | None = None) -> str | None:
        """What sets `array` apart from the pinned one; None where nothing does.

        noted : digest of the array decoded from the pinned file; nothing else is known of its content
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
    """Whether the cache has a file for `pin`; its content is not looked at."""
    with suppress(PermissionError):
        return _path(pin).exists()
    return False


def obtain(pin: Pin, decode: Callable[[], Array], source: str | None = None) -> Array:
    """The pinned array, memory-mapped and read-only, decoded first where the cache lacks it.

    Any number of processes may ask at once: one decodes while the others wait.

    Parameters
    ----------
    decode : gives the array, already compared with `pin`; DatasetError where it cannot
    source : digest of the file `decode` reads, the pinned one where that is of a file. A cached
        array is taken only if it was once decoded from a file with this digest, so that an altered
        file is noticed although the cache is intact. None: where it came from does not matter.

    Raises
    ------
    DatasetError : from `decode`, or where the cache folder cannot be written.
    """
    if pin.of == "file":
        source = pin.sha256
    path = _path(pin)
    with suppress(OSError, DatasetError):  # where the folder is out of reach, `_locked` says so
        return _mapped(path, pin, source)
    with _locked(path):
        try:
            return _mapped(path, pin, source)  # another process decoded it meanwhile
        except FileNotFoundError:
            pass
        except DatasetError as error:
            log.warning("%s; it is thrown away and decoded again", error)
        array = decode()
        _write(path, array)
        if source is not None:
            _note(path, source).write_text(_digest(array))
        return _mapped(path, pin, source)


def _path(pin: Pin) -> Path:
    # With the digest in the name, releases that pin different content do not fight over one file.
    return folder() / f"{pin.name}-{pin.sha256[:16]}.npy"


def _digest(array: Array) -> str:
    return hashlib.sha256(array.reshape(-1).data).hexdigest()


def _note(path: Path, source: str) -> Path:
    """The file that notes the digest of the array which a file with the digest `source` decodes to."""
    return path.with_suffix(f".from-{source}")


def _mapped(path: Path, pin: Pin, source: str | None) -> Array:
    """The cached array; FileNotFoundError where there is none, DatasetError where it is damaged."""
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
        raise DatasetError(
            f"{path}: the cache cannot be written ({error}); set DTCBENCH_CACHE_DIR to a folder that can be"
        ) from error


def _write(path: Path, array: Array) -> None:
    temporary = path.with_suffix(".tmp")  # one name will do: the writer holds the lock
    with temporary.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
