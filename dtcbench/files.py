"""Files on this machine, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def private(path: str, flags: int) -> int:
    """Opens a file, as `opener` of `open`: a new one can be read and written by this user alone."""
    return os.open(path, flags, mode=0o600)


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing whose name never stands for half of it, not even after a power cut.

    The content goes to `NAME.tmp`, which is renamed at the end. One process at a time may write a file.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut
    finally:
        os.close(folder)
