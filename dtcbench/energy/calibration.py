"""The shortest window, and pause before it, at which repeats of one cell agree on a board: the decision. Pure.

`execution/calibrating.py` measures what is decided on here. docs/energy.md, Calibration.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from dtcbench.record import Explained
from dtcbench.unavailable import Unavailable

WITHIN_PCT = 1.0
"""Repeats agree if they differ by less than this, the largest from the smallest, in per cent of their mean."""
REPEATS = 4
WINDOWS_S = (5.0, 10.0, 20.0, 40.0, 60.0, 120.0)
COOL_DOWNS_S = (0.0, 10.0, 30.0)
LoadName = Literal["idle", "steady", "square wave"]
Joules = Annotated[float, Field(gt=0, lt=1e15)]
"""Of a training: no machine draws more, and sums stay finite."""


class Repeats(Explained):
    """Repeats of one cell, all measured over windows of one length after pauses of one length."""

    window_s: float
    """The suite's `min_window` for them, seconds."""
    cool_down_s: float
    """Seconds of pause before each."""
    joules: Annotated[list[Joules], Field(min_length=REPEATS, max_length=REPEATS)] | None
    """Of one training, by each repeat; None if one of them had none, or such as bar a rank."""

    @property
    def seconds(self) -> float:
        """What one of them takes at least."""
        return self.window_s + self.cool_down_s

    @property
    def spread_pct(self) -> float:
        """The largest less the smallest, in per cent of the mean; infinite without joules."""
        if self.joules is None:
            return math.inf
        return 100 * (max(self.joules) - min(self.joules)) / statistics.fmean(self.joules)


class Load(Explained):
    """A load whose power is known to be constant, or to alternate, over some seconds."""

    name: LoadName
    """idle: a CUDA context and nothing else; steady: one matrix product after the other; square wave: those for half of
    each period."""
    seconds: Annotated[FiniteFloat, Field(gt=0)]
    counter_j: FiniteFloat | None
    """Joules by the energy counter."""
    integral_j: FiniteFloat | None
    """Joules by the integral of the power."""

    @property
    def deviation_pct(self) -> float | None:
        """The integral's deviation from the counter; None without both."""
        if not self.counter_j or self.integral_j is None:
            return None
        return 100 * (self.integral_j - self.counter_j) / self.counter_j


class Calibration(Explained):
    """What was found of one board, so far or in the end: the content of a sealed file in a run's folder."""

    schema_version: Literal[1] = 1
    gpu_uuid: str
    device: str
    """The board's name by NVML."""
    simulated: bool
    driver: str
    suite: str
    key: str
    """The cell that was repeated."""
    dtcbench: str
    """Its version."""
    taken_at: str
    """When the last of its repeats ended: UTC, ISO 8601."""
    tried: list[Repeats]
    """In the order of `candidates`, up to the first that agree."""
    loads: list[Load]
    window_s: float | None
    """The shortest window at which the repeats agree, seconds; None if they agree at none, or at none so far."""
    cool_down_s: float | None
    """The pause before it."""

    @property
    def has_ended(self) -> bool:
        """Whether repeats agreed, or every window was tried; if not, the same command goes on."""
        return self.window_s is not None or len(self.tried) == len(candidates())

    @model_validator(mode="after")
    def _decided_by_its_repeats(self) -> Calibration:
        if [(one.window_s, one.cool_down_s) for one in self.tried] != candidates()[: len(self.tried)]:
            raise ValueError("its repeats are not over the first of the windows and pauses that are tried, in order")
        found = shortest(self.tried)
        decided = (None, None) if isinstance(found, Unavailable) else (found.window_s, found.cool_down_s)
        if (self.window_s, self.cool_down_s) != decided:
            raise ValueError("its window and its cool-down are not those that its repeats give")
        return self


def candidates() -> list[tuple[float, float]]:
    """Every window with every cool-down, the pair that takes the least time first; of two, that with less pause."""
    return sorted(itertools.product(WINDOWS_S, COOL_DOWNS_S), key=lambda pair: (sum(pair), pair[1]))


def agree(repeats: Repeats) -> bool:
    """Whether the repeats differ by less than `WITHIN_PCT`."""
    return repeats.spread_pct < WITHIN_PCT


def shortest(tried: Sequence[Repeats]) -> Repeats | Unavailable:
    """Of the repeats that agree, those that take the least time."""
    if found := [one for one in tried if agree(one)]:
        return min(found, key=lambda one: (one.seconds, one.cool_down_s))
    if not tried:
        return Unavailable("nothing was repeated")
    so_far = f"{len(tried)} of {len(candidates())} windows so far: " if len(tried) < len(candidates()) else ""
    best = min(tried, key=lambda one: one.spread_pct)
    if best.joules is None:
        return Unavailable(f"{so_far}no window could be measured: {best.reasons['joules']}")
    return Unavailable(
        f"{so_far}repeats of the cell differ by {WITHIN_PCT:g} % or more at every window that was measured; "
        f"by {best.spread_pct:.2f} % at {best.window_s:g} s after a pause of {best.cool_down_s:g} s"
    )
