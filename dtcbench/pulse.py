"""Something done again and again beside other work, to show that whoever does it lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def pulse(beat: Callable[[], object], every_s: float) -> Iterator[None]:
    """Call `beat` now, and from a thread of its own every so many seconds, as long as the context lasts."""
    done = threading.Event()

    def go_on() -> None:
        while not done.wait(every_s):
            beat()

    beat()
    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
