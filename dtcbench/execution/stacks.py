"""Stacks as text: which line of which file, and nothing of the machine's folders."""

from __future__ import annotations

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


def _short(path: str, roots: dict[str, str]) -> str:
    for root, name in roots.items():
        for written in (root, root.encode("ascii", "backslashreplace").decode()):  # the latter by faulthandler
            if path.startswith(f"{written}/"):
                return name + path.removeprefix(written)
    return PurePath(path).name
