"""A record's file in its two forms: as a run writes it, and compressed as a bundle has it."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import suppress

from dtcbench.records.location import AnyPath

_SUFFIX = ".gz"
_MOST_RECORD_BYTES = 2**26
"""Of a record that is unpacked: a compressed file may come from a stranger."""


def compressed(path: AnyPath) -> tuple[str, bytes]:
    """The name and the content of a record's file as a bundle has it: compressed."""
    name, content = path.name, path.read_bytes()
    # Without a time: the same record gives the same bytes.
    return (name, content) if name.endswith(_SUFFIX) else (f"{name}{_SUFFIX}", gzip.compress(content, mtime=0))


def content_of(path: AnyPath) -> bytes:
    """What a file holds; of a compressed one, nothing where it is unsound or unpacks to more than any record."""
    content = path.read_bytes()
    if not path.name.endswith(_SUFFIX):
        return content
    with suppress(OSError, EOFError, zlib.error), gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        if len(found := file.read(_MOST_RECORD_BYTES + 1)) <= _MOST_RECORD_BYTES:
            return found
    return b""


def forms(name: str) -> tuple[str, str]:
    """The names that a record's file may have, plain and compressed, by either one."""
    plain = name.removesuffix(_SUFFIX)
    return plain, f"{plain}{_SUFFIX}"
