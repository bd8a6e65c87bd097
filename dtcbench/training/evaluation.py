"""Evaluating within a training, and telling the same figures again where the training is repeated."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from dtcbench.energy.segments import PhaseTimer


class Evaluate(Protocol):
    """Gives a figure of the network as it is at this point of its training."""

    def __call__(self, compute: Callable[[], float]) -> float:
        """What `compute` gives here."""


class Evaluations:
    """Computes every figure, outside the energy boundary, and remembers them in their order."""

    def __init__(self, phases: PhaseTimer) -> None:
        self._phases = phases
        self._seen: list[float] = []

    def __call__(self, compute: Callable[[], float]) -> float:
        """What `compute` gives."""
        with self._phases.evaluate():
            figure = compute()
        self._seen.append(figure)
        return figure

    def again(self) -> Evaluate:
        """For a repeat of the same training: the same figures in the same order, computing nothing.

        Evaluating changes nothing that is trained, so a repeat is the same training without it, and its
        energy is that of training alone.
        """
        seen = deque(self._seen)
        return lambda compute: seen.popleft()
