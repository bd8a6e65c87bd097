"""Stacks and messages as text: which line of which file, and nothing of the machine's folders."""

from __future__ import annotations

import os
import re
import sys
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
    places = {
        os.environ.get("DTCBENCH_DATA_DIR", ""): "$DTCBENCH_DATA_DIR",
        str(Path.cwd()): ".",
        str(Path.home()): "~",
    }
    for folder, name in places.items():
        if PurePath(folder).name:  # neither the root nor nothing
            message = message.replace(f"{folder}/", f"{name}/")
    return message


def _short(path: str, roots: dict[str, str]) -> str:
    for root, name in roots.items():
        for written in (root, root.encode("ascii", "backslashreplace").decode()):  # the latter by faulthandler
            if path.startswith(f"{written}/"):
                return name + path.removeprefix(written)
    return PurePath(path).name
