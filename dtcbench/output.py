"""Standard output and standard error that never fail.

If the reader has closed the pipe, or the disk is full, output is dropped and the program goes on. A character that the
encoding lacks is replaced by similar ASCII.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ERRORS = "dtcbench.readable"
_ASCII = (
    dict(zip("−–—‐‑·•′‘’“”⁄⌈⌉", "-----.*'''\"\"/[]", strict=True))
    | {"×": "x", "±": "+/-", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∞": "inf"}
    | {"√": "sqrt", "‖": "||", "°": " deg", "§": "section ", "✓": "ok", "✗": "x"}
    | {"α": "alpha", "β": "beta", "δ": "delta", "κ": "kappa", "λ": "lambda", "ξ": "xi", "ρ": "rho", "σ": "sigma"}
    | {"τ": "tau", "Δ": "Delta", "Θ": "Theta", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi"}
    | dict.fromkeys("─━═╌╍┄┅┈┉╴╶╸╺╼╾", "-")
    | dict.fromkeys("│┃║┆┇┊┋╎╏╵╷╹╻╽╿", "|")
)
_ASCII_OF_RANGES = (("\u2500", "\u257f", "+"), ("\u2580", "\u259f", "#"), ("\u2800", "\u28ff", "*"))
"""The other characters of boxes, blocks and braille, by range."""


class Stream(io.TextIOWrapper):
    """Text to a file descriptor. After a write fails, everything is dropped.

    It has no `buffer`: click would write UTF-8 through it, even to a terminal that shows only ASCII.
    """

    def __init__(self, descriptor: int, encoding: str, *, closefd: bool) -> None:
        self._sink = _Sink(descriptor, "wb", closefd=closefd)
        super().__init__(io.BufferedWriter(self._sink), encoding, errors=_ERRORS, line_buffering=True)

    @property
    def buffer(self) -> Any:
        """AttributeError."""
        raise AttributeError("buffer")

    @property
    def lost(self) -> OSError | None:
        """The error of the write that failed; None if all succeeded."""
        return self._sink.lost


class _Sink(io.FileIO):
    lost: OSError | None = None

    def write(self, data: Any) -> int:
        if self.lost is None:
            try:
                while (written := super().write(data)) is None:  # a non-blocking descriptor that is full
                    _wait_for_room(self)
                return written
            except OSError as error:
                self.lost = error
        return len(data)


def _wait_for_room(sink: _Sink) -> None:
    poll = select.poll()
    poll.register(sink, select.POLLOUT)
    poll.poll()


@contextmanager
def best_effort() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` by such streams inside. One without a file descriptor stays as it is."""
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_best_effort, before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def lost() -> OSError | None:
    """The error by which standard output was lost; None if it was not, or if that is unknown."""
    sys.stdout.flush()
    return sys.stdout.lost if isinstance(sys.stdout, Stream) else None


def _occupy_closed_descriptors() -> None:
    """Open the null device for each of 0, 1 and 2 that is closed, so that no other file gets its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number, which is this one


def _best_effort(stream: Any) -> Any:
    if stream is None:  # Python's sign that it was closed
        nowhere = Stream(os.open(os.devnull, os.O_WRONLY), "utf-8", closefd=True)
        nowhere._sink.lost = OSError(errno.EBADF, "it is closed")
        return nowhere
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream
    stream.flush()
    return Stream(descriptor, stream.encoding, closefd=False)


def _readable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_ascii, error.object[error.start : error.end])), error.end


def _ascii(letter: str) -> str:
    """Similar ASCII: from the tables, or the letter without its accents, or `?`."""
    for first, last, text in _ASCII_OF_RANGES:
        if first <= letter <= last and letter not in _ASCII:
            return text
    simple = _ASCII.get(letter) or unicodedata.normalize("NFKD", letter)
    return "".join(_ASCII.get(part, part if part.isascii() else "") for part in simple) or "?"


codecs.register_error(_ERRORS, _readable)
