"""The index of a run's records: their outlines in one file, so that a large run is opened without reading each.

It is derived. An outline holds only while the record's file is as it was when it was read: the same size and the same
times of change by the file system, the same version in an object store. What does not fit is read anew. An altered
record whose file looks unaltered is found by what reads the records themselves: `check` and `show`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from dtcbench.record import Outline
from dtcbench.records.location import AnyPath

NAME = "records.index"
MANY = 1000
"""Records from which on a run keeps an index; fewer are read in no time."""
_FORM = hashlib.sha256(json.dumps(Outline.model_json_schema(), sort_keys=True).encode()).hexdigest()
"""Of the outlines that this version of dtcbench reads."""


class Index(BaseModel):
    """The outlines of the sound records in a folder."""

    form: str = _FORM
    entries: dict[str, tuple[str, Outline]] = {}
    """By file name, what the file was like when it was read, and what it holds."""

    def unchanged(self, states: Mapping[str, str]) -> dict[str, Outline]:
        """By file name, the outlines of the files that are like they were when they were read."""
        return {name: outline for name, (state, outline) in self.entries.items() if states.get(name) == state}

    @property
    def content(self) -> bytes:
        """As its file has it."""
        return _INDEX.dump_json(self)


_INDEX = TypeAdapter(Index)


def read(file: AnyPath) -> Index:
    """The index in a file; an empty one if there is none that this version of dtcbench reads."""
    try:
        index = _INDEX.validate_json(file.read_bytes(), by_alias=False, by_name=True)
    except (OSError, ValidationError):
        return Index()
    return index if index.form == _FORM else Index()


def states(folder: AnyPath) -> dict[str, str]:
    """By name, what each file in a folder is like now; a file whose alteration would go unseen is left out."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if isinstance(folder, Path):
            with os.scandir(folder) as entries:
                return {entry.name: _state(entry.stat()) for entry in entries}
        folder.fs.invalidate_cache()
        listed = folder.fs.ls(folder.path, detail=True)
        return {one["name"].rpartition("/")[2]: f"{one['size']} {one['ETag']}" for one in listed if "ETag" in one}
    return {}


def _state(file: os.stat_result) -> str:
    # The inode and the time of the last change of its entry: nobody sets that one, whoever copies or unpacks a file.
    return f"{file.st_size} {file.st_mtime_ns} {file.st_ctime_ns} {file.st_ino}"
