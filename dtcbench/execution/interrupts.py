"""Ctrl-C, and the signals that mean the same: SIGTERM (Slurm, kill) and SIGHUP (the terminal went away)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ECHO_S = 0.2
"""A shell and the kernel both tell of a terminal that went away, `timeout` tells a process and its group: that is one
signal. Of keys there is no echo."""


class Interrupts:
    """Requests to stop: the first asks to finish what runs, the second ends everything at once."""

    def __init__(self) -> None:
        self._asked_at: float | None = None

    @property
    def asked_to_stop(self) -> bool:
        """Whether a first signal came."""
        return self._asked_at is not None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Count the signals inside; KeyboardInterrupt for the second.

        Signals reach the main thread alone: in another thread nothing is caught.
        """
        with _handled(self._count, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            yield

    def _count(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif signum == signal.SIGINT or now - self._asked_at > _ECHO_S:
            raise KeyboardInterrupt


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """KeyboardInterrupt for SIGTERM and SIGHUP too."""
    with _handled(signal.default_int_handler, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes started inside outlive the terminal; a handler that is set inside for SIGTERM is undone.

    Ray sets one, and its raylet is in the run's process group, which the kernel tells.
    """
    terminate = signal.getsignal(signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # which they inherit
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object], *signals: signal.Signals) -> Iterator[None]:
    """Give the signals to `handler` inside; those of them that are ignored, as under nohup, but SIGINT, stay so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signals}
    taken = {
        number: old
        for number, old in before.items()
        if old is not None and (old != signal.SIG_IGN or number == signal.SIGINT)
    }
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in taken.items():
            signal.signal(number, old)
