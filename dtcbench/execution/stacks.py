"""Stack traces: left behind by a cell that exceeds its time limit, and stripped of this machine's paths."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TextIO

import dtcbench
from dtcbench.files import private

_FILE = re.compile(r'File "(.*)", line (?=\d)')
"""As Python's traceback and faulthandler both write it."""
_INSTALLED = ("site-packages", "dist-packages")


@contextmanager
def time_limit(seconds: float | None, attempt: str) -> Iterator[None]:
    """End this process when the time is up, and leave its stack in `stack_file(attempt)`.

    faulthandler's thread does not need the interpreter, so it also ends a cell that holds Python's global lock. If the
    file cannot be made the limit is not set: the driver ends the cell a little later, without its stack.
    """
    file = None if seconds is None else _opened(attempt)
    if seconds is None or file is None:
        yield
        return
    with file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    stack_file(attempt).unlink(missing_ok=True)


def stack_file(attempt: str) -> Path:
    """The file on the attempt's node for its stack. OSError if the node has no temporary folder."""
    return Path(tempfile.gettempdir()) / f"dtcbench-stack-{attempt}.txt"


def take_stack(attempt: str) -> str:
    """The stack that an attempt left on this node, without folders; empty if it left none. Removes the file."""
    try:
        path = stack_file(attempt)
        stack = without_folders(path.read_text(encoding="utf-8", errors="replace"))
        path.unlink()
    except OSError:
        return ""
    return stack


def _opened(attempt: str) -> TextIO | None:
    try:
        return open(stack_file(attempt), "w", opener=private)
    except OSError:
        return None


def without_folders(stack: str) -> str:
    """`stack` with short file names: those of dtcbench and of site-packages from there on, others by name alone.

    Call it in the process, or on the node, that the stack is from: only there are the folders known.
    """
    roots = {str(Path(dtcbench.__file__).parent): "dtcbench"}
    roots |= {folder: name for folder in sys.path if (name := PurePath(folder).name) in _INSTALLED}
    return _FILE.sub(lambda found: f'File "{_short(found[1], roots)}", line ', stack)


def without_places(message: str) -> str:
    """`message` with its paths shortened: relative to the user's data, the current folder or the home folder.

    Call it in the process that the message is from.
    """
    data = os.environ.get("DTCBENCH_DATA_DIR", "")
    places = {data: "$DTCBENCH_DATA_DIR", _found(Path.cwd): ".", _found(Path.home): "~"}
    for folder in sorted(places, key=len, reverse=True):  # the home folder contains the others
        if PurePath(folder).is_absolute() and PurePath(folder).name:  # not the root
            message = re.sub(rf"(?<![\w./~-]){re.escape(folder)}/", f"{places[folder]}/", message)
    return message


def _found(folder: Callable[[], Path]) -> str:
    """The folder's path; empty if it does not exist: the current folder was removed, the user has no home."""
    try:
        return str(folder())
    except (OSError, RuntimeError):
        return ""


def _short(path: str, roots: dict[str, str]) -> str:
    for root, name in roots.items():
        for written in (root, root.encode("ascii", "backslashreplace").decode()):  # faulthandler writes the latter
            if path.startswith(f"{written}/"):
                return name + path.removeprefix(written)
    return PurePath(path).name
