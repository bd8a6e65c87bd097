"""Joules of intervals of a trace, by the energy counter and by the integral of the power. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dtcbench.energy import integrate
from dtcbench.energy.integrate import Floats
from dtcbench.energy.segments import Interval, seconds_in
from dtcbench.energy.trace import Trace


class Joules:
    """The two ways to joules, counter and power, over the windows of some trainings."""

    def __init__(self, trace: Trace, inside: Sequence[Interval], trainings: int) -> None:
        self._trace, self._inside, self._trainings = trace, inside, trainings
        self.window_s = seconds_in(inside)
        self.counter_j = self._per_training(self._counter_at)
        self.integral_j = self._per_training(self._integral_at)

    @property
    def why_nothing(self) -> str:
        """Why neither counter nor integral gave joules."""
        first = {name: why for name, (_, why) in self._trace.errors.items()}
        counter = first.get("counter_mj", "it did not move")
        power = next((first[name] for name in ("usage_w", "instant_w", "average_w") if name in first), "no sample")
        return f"the GPU's energy counter cannot be read ({counter}), nor its power ({power})"

    @property
    def polls(self) -> int:
        """Polls inside the windows."""
        return sum(integrate.samples_in(self._trace.t_s, self._trace.t_s, i.begin_s, i.end_s) for i in self._inside)

    def inside(self, name: str) -> Iterator[float]:
        """The readings of a column inside the windows."""
        values = self._trace.column(name)
        for interval in self._inside:
            within = (self._trace.t_s >= interval.begin_s) & (self._trace.t_s <= interval.end_s)
            yield from values[within & np.isfinite(values)].tolist()

    def of(self, intervals: Sequence[Interval]) -> Floats:
        """Joules of each of the intervals [n], by the better way that there is."""
        return self._of(self._counter_at if self.counter_j is not None else self._integral_at, intervals)

    def _counter_at(self, edges_s: Floats) -> Floats:
        return integrate.counter_j(self._trace.t_s, self._trace.column("counter_mj"), edges_s)

    def _integral_at(self, edges_s: Floats) -> Floats:
        return integrate.integrated_j(self._trace.t_s, self._trace.column(self._trace.power or "usage_w"), edges_s)

    def _of(self, at: Callable[[Floats], Floats], intervals: Sequence[Interval]) -> Floats:
        stands = at(np.array([[interval.begin_s, interval.end_s] for interval in intervals]).ravel())
        return stands[1::2] - stands[::2]

    def _per_training(self, at: Callable[[Floats], Floats]) -> float | None:
        """None where it is not a number above 0: a board never draws nothing."""
        joules = math.fsum(self._of(at, self._inside)) / self._trainings
        return joules if math.isfinite(joules) and joules > 0 else None
