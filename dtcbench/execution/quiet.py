"""Keep libraries' output off the terminal: what they print while cells run goes to a file."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO

from dtcbench.files import private
from dtcbench.output import Stream


@contextmanager
def quiet() -> Iterator[tuple[Stream, Callable[[Path], None]]]:
    """Redirect standard output and error of this whole process, Python's and the system's, away from the terminal.

    Yields a stream that still writes to the terminal, and a function that takes the path of a log: everything printed
    before and after the call is appended to it. Without a log it is discarded.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    terminal = Stream(os.dup(1), sys.stdout.encoding, closefd=True)
    with terminal as out, _nameless() as file:
        _send_to(file)
        try:
            with (
                open(1, "w", encoding="utf-8", buffering=1, closefd=False) as printed,
                redirect_stdout(printed),
                redirect_stderr(printed),
            ):

                def keep(log: Path) -> None:
                    with open(log, "ab", opener=private) as named:
                        file.seek(0)
                        named.write(file.read())
                        named.flush()
                        _send_to(named)

                yield out, keep
        finally:
            for number, before in enumerate(kept, 1):
                os.dup2(before, number)
                os.close(before)


def _nameless() -> IO[bytes]:
    """A file that is deleted when it is closed; the null device if none can be made."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("r+b")


def _send_to(file: IO[bytes]) -> None:
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
