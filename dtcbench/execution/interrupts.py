"""Ctrl-C, what means the same, SIGTERM (from Slurm or kill) and SIGHUP (the terminal was closed), SIGUSR1 (Slurm's
notice that the time is nearly up), and time limits."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ECHO_S = 0.2
"""Signals within this time count as one: both the shell and the kernel send SIGHUP for a closed terminal, and `timeout`
signals a process and its group. Ctrl-C has no such duplicate."""
_AT_ONCE_S = 1e-6
"""A timer of 0 seconds never ends."""


class Interrupts:
    """Requests to stop: after the first the running cells are finished, the second ends everything at once.

    A notice is a first one however often it comes, and after it any other is a second one.

    Parameters
    ----------
    at_once : SIGTERM is a second one, too: seconds later the process will be killed
    """

    def __init__(self, at_once: bool = False) -> None:
        self._at_once = at_once
        self._asked_at: float | None = None
        self._noticed = False

    @property
    def asked_to_stop(self) -> bool:
        """Whether a first signal has arrived."""
        return self._noticed or self._asked_at is not None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Count the signals that arrive inside; KeyboardInterrupt for the second.

        Python delivers signals to the main thread: in another thread this does nothing.
        """
        with handled(self._count, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            yield

    def _count(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if signum == signal.SIGUSR1:
            self._noticed = True
        elif self._at_once and signum == signal.SIGTERM:
            raise KeyboardInterrupt
        elif self._asked_at is None and not self._noticed:
            self._asked_at = now
        elif self._asked_at is None or signum == signal.SIGINT or now - self._asked_at > _ECHO_S:
            raise KeyboardInterrupt


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """KeyboardInterrupt for SIGTERM, SIGHUP and SIGUSR1 too."""
    with handled(signal.default_int_handler, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        yield


class Overtime(BaseException):
    """The time is up. No Exception, which the code that runs might take for an error of its own."""


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Overtime when the time is up, if there is a limit.

    Python delivers signals to the main thread, between its own instructions: in another thread there is no limit.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    with handled(_overtime, signal.SIGALRM):
        begin, (others, _) = time.monotonic(), signal.getitimer(signal.ITIMER_REAL)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(seconds, _AT_ONCE_S))
            yield
        finally:
            left = max(others - (time.monotonic() - begin), _AT_ONCE_S) if others else 0.0
            signal.setitimer(signal.ITIMER_REAL, left)


def _overtime(signum: int, frame: FrameType | None) -> None:
    raise Overtime


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes started inside ignore a closed terminal, and a SIGTERM handler that is set inside is removed again.

    Ray sets such a handler; and its raylet is in the run's process group, to which the kernel sends SIGHUP.
    """
    terminate = signal.getsignal(signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # they inherit the mask
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], object], *signals: signal.Signals) -> Iterator[None]:
    """Handle the signals by `handler` inside. An ignored one, as under nohup, stays ignored, except SIGINT."""
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
