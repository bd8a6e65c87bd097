"""Heartbeats: send one periodically from a background thread, and note who has fallen silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self


class Heartbeat:
    """Calls a function at once and then periodically from a background thread, as long as the context lasts.

    A call that fails does not end the heartbeat: the next one may succeed.

    Examples
    --------
    >>> calls = []
    >>> with Heartbeat(lambda: calls.append("alive"), every_s=60) as heartbeat:
    ...     print(calls, heartbeat.error)
    ['alive'] None
    """

    def __init__(self, call: Callable[[], object], every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._call, self._every_s, self._clock = call, every_s, clock
        self._last = clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send_periodically, daemon=True)
        self.error: Exception | None = None
        """What the latest call raised; None if it succeeded."""

    def send(self) -> None:
        """Call the function. An error is kept in `error`, not raised."""
        began = self._clock()
        try:
            self._call()
        except Exception as error:
            self.error = error
        else:
            self._last, self.error = began, None

    @property
    def silent_s(self) -> float:
        """Seconds since the latest call that succeeded, or since the heartbeat was made."""
        return self._clock() - self._last

    def _send_periodically(self) -> None:
        while not self._over.wait(self._every_s):
            self.send()

    def __enter__(self) -> Self:
        self.send()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


class Heartbeats:
    """The latest heartbeat of each running attempt. It lives in one process on the cluster's head.

    Silence is measured by this process's clock alone, so the clocks of two machines are never compared.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._latest: dict[str, tuple[str, float]] = {}

    def report(self, attempt: str, node: str) -> None:
        """The attempt is alive, on the node with this cluster id."""
        self._latest[attempt] = node, self._clock()

    def forget(self, attempt: str) -> None:
        """The attempt has ended."""
        self._latest.pop(attempt, None)

    def silences(self) -> dict[str, tuple[str, float]]:
        """Node and seconds since the latest heartbeat, of each attempt that has sent one and was not forgotten."""
        now = self._clock()
        return {attempt: (node, now - latest) for attempt, (node, latest) in self._latest.items()}
