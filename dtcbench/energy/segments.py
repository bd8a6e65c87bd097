"""The clock of a cell: which segments of time lie inside the energy boundary, and which do not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

from dtcbench.energy.integrate import REFRESH_S

Phase = Literal["train", "compress", "evaluate"]
INSIDE: tuple[Phase, ...] = ("train", "compress")
"""The phases whose energy counts (DESIGN §7)."""


@dataclass(frozen=True)
class Segment:
    """One uninterrupted stay in a phase; seconds of CLOCK_MONOTONIC."""

    phase: Phase
    begin_s: float
    end_s: float
    training: int
    """Counted from 0: which of the cell's trainings it belongs to. All are the same training."""

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end_s - self.begin_s


class PhaseTimer:
    """Notes when a cell trains, compresses and evaluates. Phases do not nest.

        phases = Phases(synchronize=torch.cuda.synchronize)
        with phases.train():
            ...
        with phases.evaluate():
            ...

    Parameters
    ----------
    synchronize : waits until the device has done its queued work, so that the work counts for
        the phase that queued it
    clock : seconds, the clock of the energy sampler
    """

    def __init__(self, synchronize: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._synchronize = synchronize
        self._clock = clock
        self._current: Phase | None = None
        self._training = 0
        self._stretches: list[Segment] = []

    def train(self) -> AbstractContextManager[None]:
        """Forward and backward passes and optimiser steps: inside the energy boundary."""
        return self._phase("train")

    def compress(self) -> AbstractContextManager[None]:
        """Projecting, solving, selecting and shrinking: inside the energy boundary."""
        return self._phase("compress")

    def evaluate(self) -> AbstractContextManager[None]:
        """Validation and test: outside the energy boundary."""
        return self._phase("evaluate")

    def train_again(self) -> None:
        """What follows repeats the training from its beginning."""
        self._training += 1

    def seconds(self, *phases: Phase) -> float:
        """Spent in `phases` in the present training."""
        return sum(s.seconds for s in self._stretches if s.training == self._training and s.phase in phases)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All finished segments, in their order."""
        return tuple(self._stretches)

    @contextmanager
    def _phase(self, phase: Phase) -> Iterator[None]:
        if self._current is not None:
            raise RuntimeError(f"phase {phase} begins inside phase {self._current}; end that one first")
        self._current = phase
        try:
            self._synchronize()
            begin_s = self._clock()
            try:
                yield
                # Not after an exception: a device in trouble would hide it behind an error of its own.
                self._synchronize()
            finally:
                self._stretches.append(Segment(phase, begin_s, self._clock(), self._training))
        finally:
            self._current = None


@dataclass(frozen=True)
class Interval:
    """Some time inside the energy boundary."""

    begin_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_s - self.begin_s


def counting(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments of the trainings that count: the first warms up, unless it is the only one."""
    repeats = tuple(s for s in segments if s.training > 0)
    return repeats or tuple(segments)


def windows(segments: Sequence[Segment]) -> list[Interval]:
    """The time inside the energy boundary in one piece per uninterrupted course of a training.

    Between two segments of one training less than a refresh of the driver may pass, if nothing was evaluated
    then: no figure can tell so little apart.
    """
    found: list[Interval] = []
    open_since, last = math.nan, None
    for segment in segments:
        apart = last is None or last.training != segment.training or segment.begin_s - last.end_s > REFRESH_S
        if segment.phase not in INSIDE or apart:
            if last is not None:
                found.append(Interval(open_since, last.end_s))
            open_since, last = segment.begin_s, None
        if segment.phase in INSIDE:
            last = segment
    return found if last is None else [*found, Interval(open_since, last.end_s)]


def seconds_in(intervals: Iterable[Interval]) -> float:
    """How long the intervals are together."""
    return math.fsum(interval.seconds for interval in intervals)


def trainings_of(segments: Iterable[Segment]) -> int:
    """How many trainings the segments are of; 1 where there are none."""
    return len({segment.training for segment in segments}) or 1
