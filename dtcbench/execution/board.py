"""The board: where cells under way leave signs of life, and the driver reads who has fallen silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sign:
    """What the board knows of one attempt."""

    node: str
    """The node it runs on, by the cluster's own id."""
    silent_s: float
    """Seconds since its last sign of life, by the board's clock: no two machines' clocks are compared."""


class Board:
    """Signs of life by attempt. Lives in one process beside the cluster's head."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, tuple[str, float]] = {}

    def beat(self, attempt: str, node: str) -> None:
        """The attempt is alive, on this node."""
        self._last[attempt] = node, self._clock()

    def forget(self, attempt: str) -> None:
        """The attempt has ended."""
        self._last.pop(attempt, None)

    def signs(self) -> dict[str, Sign]:
        """Every attempt that has ever given a sign and was not forgotten."""
        now = self._clock()
        return {attempt: Sign(node, now - last) for attempt, (node, last) in self._last.items()}
