"""The files of a folder that may come from a stranger: found without following anything out of it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dtcbench.records.location import Place
from dtcbench.records.store import Part, part

MOST_FILES = 1_000_000
MOST_BYTES: dict[Part | None, int] = {
    "suite": 2**20,
    "names": 2**24,
    "record": 2**26,
    "trace": 2**28,
    "card": 2**20,
    "lock": 2**8,
}
"""Of one file, by what it is."""
MOST_BYTES_OF_ANOTHER = 2**30


@dataclass(frozen=True)
class Unsafe:
    """Something in the folder that must not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    files: dict[str, Part | None]
    """By path in the folder, sorted: which part of a run each file is; None of what a run does not name."""
    unsafe: tuple[Unsafe, ...]
    """Where there is any, nothing of the folder should be read."""


def listing(root: Place) -> Listing:
    """Every file under `root`, and what stands against reading it: links, devices, sizes, numbers."""
    files: dict[str, Part | None] = {}
    unsafe: list[Unsafe] = []
    for found in _walk(root, ""):
        if isinstance(found, Unsafe):
            unsafe.append(found)
        else:
            files[found] = part(found)
        if len(files) + len(unsafe) > MOST_FILES:
            unsafe.append(Unsafe("", f"more than {MOST_FILES} files; publish it in parts"))
            break
    return Listing(dict(sorted(files.items())), tuple(sorted(unsafe, key=lambda one: one.name)))


def _walk(folder: Place, inside: str) -> Iterator[str | Unsafe]:
    """The names of the files in a folder and, one level down, in those in it."""
    for path in folder.iterdir():
        name = f"{inside}{path.name}"
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            if inside:
                yield Unsafe(name, "a folder in a folder: a run has none; remove it")
            else:
                yield from _walk(path, f"{name}/")
        elif (reason := _reason(path, name, mode)) is not None:
            yield Unsafe(name, reason)
        else:
            yield name


def _mode(path: Place) -> int:
    """What the name itself is, never what it points to."""
    if isinstance(path, Path):
        return path.lstat().st_mode
    return stat.S_IFDIR if path.is_dir() else stat.S_IFREG


def _reason(path: Place, name: str, mode: int) -> str | None:
    """Why the file must not be read; None where it may be."""
    if stat.S_ISLNK(mode):
        return "a symbolic link, which may lead out of the folder; put the file itself there"
    if not stat.S_ISREG(mode):
        return "not a plain file; remove it"
    size, most = path.stat().st_size, MOST_BYTES.get(part(name), MOST_BYTES_OF_ANOTHER)
    return f"{size} bytes, more than the {most} that such a file may have" if size > most else None
