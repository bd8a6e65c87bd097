"""Temporary folders, wherever one can be made."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dtcbench.errors import UserError

_PREFIX = "dtc-"
_ROOM = 16 * 2**20
"""Bytes that must be free."""


class FolderError(UserError):
    """No temporary folder can be made; names what was tried, and the remedy."""


def candidates() -> list[str]:
    """Where temporary folders may lie: what the environment names, then what a system has."""
    named = [os.environ.get(name) for name in ("RAY_TMPDIR", "TMPDIR")]
    folders = filter(None, (*named, "/tmp", "/var/tmp", "/dev/shm"))  # noqa: S108 - a new folder is made in one
    return list(dict.fromkeys(str(Path(folder).absolute()) for folder in folders))


@contextmanager
def short_folder(longest: int, among: Sequence[str]) -> Iterator[Path]:
    """A new folder for this user alone in the first of `among` that will do, gone afterwards; FolderError if none does.

    Its path has at most `longest` bytes: a socket's path may have 107, and sockets lie deep in it.
    """
    folder = _made(longest, among)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what has just ended may still write there


def _made(longest: int, among: Sequence[str]) -> Path:
    tried = []
    for parent in among:
        try:
            if shutil.disk_usage(parent).free < _ROOM:
                raise OSError(0, "no space left")
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError as error:
            tried.append(f"{parent} ({error.strerror})")
            continue
        if len(os.fsencode(folder)) <= longest:
            return folder
        folder.rmdir()
        tried.append(f"{parent} (a path too long for sockets)")
    raise FolderError(
        f"no folder for Ray's sockets: tried {', '.join(tried)}; set RAY_TMPDIR to a folder with a short path that you "
        "can write to and that has space, or run with --inline"
    )
