"""What watches a cell from inside its own process: a time limit that nothing can hold up."""

from __future__ import annotations

import faulthandler
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from dtcbench.execution.stacks import without_folders


@contextmanager
def time_limit(seconds: float | None, attempt: str) -> Iterator[None]:
    """End this process when the time is up, and leave its stack in `stack_file(attempt)`.

    faulthandler's thread needs no interpreter: it also ends a cell that holds Python's global lock. Where the file
    cannot be made there is no such limit: the driver ends an overdue cell a little later, without its stack.
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
    """Where the stack of an attempt that ran out of time lies, on its own node. OSError where nothing can lie."""
    return Path(tempfile.gettempdir()) / f"dtcbench-stack-{attempt}.txt"


def take_stack(attempt: str) -> str:
    """The stack that an attempt left on this node, without its folders; empty where it left none. Its file is gone."""
    try:
        path = stack_file(attempt)
        stack = without_folders(path.read_text(encoding="utf-8", errors="replace"))
        path.unlink()
    except OSError:
        return ""
    return stack


def _opened(attempt: str) -> TextIO | None:
    try:
        return stack_file(attempt).open("w")
    except OSError:
        return None
