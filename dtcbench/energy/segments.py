"""The timer of a cell's phases, and the windows: the time inside the energy boundary that counts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

from dtcbench.energy.integrate import REFRESH_S

Phase = Literal["train", "compress", "evaluate", "compile"]
"""train: forward and backward passes and optimiser steps; compress: projecting, solving, selecting and shrinking;
evaluate: validation and test; compile: compiling the passes of the steps to come."""
PHASES: tuple[Phase, ...] = get_args(Phase)
INSIDE: tuple[Phase, ...] = ("train", "compress")
"""The phases whose energy counts. See docs/energy.md, The window."""


@dataclass(frozen=True)
class Interval:
    """A stretch of time; seconds of CLOCK_MONOTONIC."""

    begin_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_s - self.begin_s


@dataclass(frozen=True)
class Segment(Interval):
    """One uninterrupted stay in a phase."""

    phase: Phase
    training: int
    """Which of the cell's trainings it belongs to, counted from 0. All of them repeat the same training."""


class PhaseTimer:
    """Records when a cell trains, compresses and evaluates. Phases do not nest.

        timer = PhaseTimer(synchronize=torch.cuda.synchronize)
        with timer.phase("train"):
            ...
        with timer.phase("evaluate"):
            ...

    Parameters
    ----------
    synchronize : waits until the device has finished its queued work, so that the work counts for
        the phase that queued it
    clock : seconds; the clock of the energy sampler
    """

    def __init__(self, synchronize: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._synchronize = synchronize
        self._clock = clock
        self._current: Phase | None = None
        self._training = 0
        self._segments: list[Segment] = []

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """The time inside the context is spent in this phase. RuntimeError inside another one."""
        if self._current is not None:
            raise RuntimeError(f"phase {phase} begins inside phase {self._current}; end that one first")
        self._current = phase
        try:
            self._synchronize()
            begin_s = self._clock()
            try:
                yield
                # Skipped after an exception: a device in trouble would raise a second error that hides the first.
                self._synchronize()
            finally:
                self._segments.append(Segment(begin_s, self._clock(), phase, self._training))
        finally:
            self._current = None

    def train_again(self) -> None:
        """Begin a repeat: later segments belong to the next training."""
        self._training += 1

    def seconds(self, *phases: Phase) -> float:
        """Seconds spent in `phases` in the present training."""
        return sum(s.seconds for s in self._segments if s.training == self._training and s.phase in phases)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All finished segments, in their order."""
        return tuple(self._segments)


def counted(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments of the trainings that count: the repeats, or the first training if it was not repeated."""
    return repeats(segments) or tuple(segments)


def repeats(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments of all trainings but the first, which is cold and interrupted by evaluations."""
    return tuple(s for s in segments if s.training > 0)


def windows(segments: Sequence[Segment]) -> list[Interval]:
    """The time inside the energy boundary: one interval per uninterrupted part of a training.

    Two segments of one training belong to one interval if at most a refresh of the driver lies between them and
    nothing was evaluated then: no reading resolves so short a time.
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


def total_s(intervals: Iterable[Interval]) -> float:
    """Seconds of all intervals together."""
    return math.fsum(interval.seconds for interval in intervals)


def count_trainings(segments: Iterable[Segment]) -> int:
    """How many trainings the segments belong to; at least 1."""
    return len({segment.training for segment in segments}) or 1
