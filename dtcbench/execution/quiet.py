"""Nothing of a library's on the terminal: what it prints while cells run goes to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from dtcbench.streams import Stream


@contextmanager
def quiet(log: Path) -> Iterator[Stream]:
    """Send standard output and error of this process, Python's and the system's, to the end of `log`.

    Yields the standard output as it was before: the only way left to the terminal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    terminal = Stream(os.dup(1), sys.stdout.encoding, closefd=True)
    with terminal as out, log.open("a", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield out
        finally:
            for number, before in enumerate(kept, 1):
                os.dup2(before, number)
                os.close(before)
