"""A call repeated beside other work, to show that its owner is alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Heart:
    """Makes the calls of a heartbeat, and knows how long none has succeeded."""

    def __init__(self, call: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._call, self._clock = call, clock
        self._last = clock()
        self.error: Exception | None = None
        """What the latest call raised; None where it succeeded."""

    def beat(self) -> None:
        """Make the call. An error is kept and not raised: the next call may succeed."""
        began = self._clock()
        try:
            self._call()
        except Exception as error:
            self.error = error
        else:
            self._last, self.error = began, None

    @property
    def silent_s(self) -> float:
        """Seconds since the latest call that succeeded, or since the heart was made."""
        return self._clock() - self._last


@contextmanager
def heartbeat(call: Callable[[], object], every_s: float) -> Iterator[Heart]:
    """Make the call now, and again every so many seconds from a thread, as long as the context lasts.

    A call that fails ends nothing. The owner asks the yielded heart whether the calls have failed for too long.
    """
    heart, done = Heart(call), threading.Event()

    def go_on() -> None:
        while not done.wait(every_s):
            heart.beat()

    heart.beat()
    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield heart
    finally:
        done.set()
        thread.join()
