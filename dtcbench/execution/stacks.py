"""Stacks and messages as text: which line of which file, and nothing of the machine's folders."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path, PurePath

import dtcbench

_FILE = re.compile(r'File "(.*)", line (?=\d)')
"""As Python's traceback and faulthandler both write it."""
_INSTALLED = ("site-packages", "dist-packages")


def without_folders(stack: str) -> str:
    """`stack` with each file named from the package or from site-packages on, and any other file by its name alone.

    Call it in the process, or on the node, whose stack it is: only there are the folders known.
    """
    roots = {str(Path(dtcbench.__file__).parent): "dtcbench"}
    roots |= {folder: name for folder in sys.path if (name := PurePath(folder).name) in _INSTALLED}
    return _FILE.sub(lambda found: f'File "{_short(found[1], roots)}", line ', stack)


def without_places(message: str) -> str:
    """`message` with the paths in it from the user's data, from the current folder or from home on.

    Call it in the process whose message it is.
    """
    data = os.environ.get("DTCBENCH_DATA_DIR", "")
    places = {data: "$DTCBENCH_DATA_DIR", _found(Path.cwd): ".", _found(Path.home): "~"}
    for folder in sorted(places, key=len, reverse=True):  # home holds the others
        if PurePath(folder).is_absolute() and PurePath(folder).name:  # not the root
            message = re.sub(rf"(?<![\w./~-]){re.escape(folder)}/", f"{places[folder]}/", message)
    return message


def _found(folder: Callable[[], Path]) -> str:
    """The folder's path; empty where there is none: the current one was removed, a user has no home."""
    try:
        return str(folder())
    except (OSError, RuntimeError):
        return ""


def _short(path: str, roots: dict[str, str]) -> str:
    for root, name in roots.items():
        for written in (root, root.encode("ascii", "backslashreplace").decode()):  # the latter by faulthandler
            if path.startswith(f"{written}/"):
                return name + path.removeprefix(written)
    return PurePath(path).name
