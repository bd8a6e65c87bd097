"""Which time inside the energy boundary counts: the windows that joules are read over. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.phases import INSIDE, Stretch


@dataclass(frozen=True)
class Interval:
    """Some time inside the energy boundary."""

    begin_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_s - self.begin_s


def counting(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """The stretches of the trainings that count: the first warms up, unless it is the only one."""
    repeats = tuple(s for s in stretches if s.training > 0)
    return repeats or tuple(stretches)


def windows(stretches: Sequence[Stretch]) -> list[Interval]:
    """The time inside the energy boundary in one piece per uninterrupted course of a training.

    Between two stretches of one training less than a refresh of the driver may pass, if nothing was evaluated
    then: no figure can tell so little apart.
    """
    found: list[Interval] = []
    open_since, last = math.nan, None
    for stretch in stretches:
        apart = last is None or last.training != stretch.training or stretch.begin_s - last.end_s > REFRESH_S
        if stretch.phase not in INSIDE or apart:
            if last is not None:
                found.append(Interval(open_since, last.end_s))
            open_since, last = stretch.begin_s, None
        if stretch.phase in INSIDE:
            last = stretch
    return found if last is None else [*found, Interval(open_since, last.end_s)]


def seconds_in(intervals: Iterable[Interval]) -> float:
    """How long the intervals are together."""
    return math.fsum(interval.seconds for interval in intervals)


def trainings_of(stretches: Iterable[Stretch]) -> int:
    """How many trainings the stretches are of; 1 where there are none."""
    return len({stretch.training for stretch in stretches}) or 1
