"""The joules of one training by phase and by cycle, from a trace and a cell's segments. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.segments import Interval, Segment, count_trainings, counted, total_s, windows
from dtcbench.energy.trace import Method, Trace
from dtcbench.record import PhaseEnergy
from dtcbench.unavailable import Unavailable

COARSE_SHARE = 0.05
"""Joules whose uncertainty from the refresh is a larger share than this are coarse; a phase then has no joules."""


def of_phases(trace: Trace, segments: Sequence[Segment], method: Method) -> Iterator[PhaseEnergy]:
    """Joules and seconds of each phase that one training was in."""
    for phase in ("train", "compress", "evaluate"):
        # Repeats do not evaluate, so evaluations count in the first training too.
        among = segments if phase == "evaluate" else counted(segments)
        of_phase = [s for s in among if s.phase == phase and s.seconds > 0]
        if not of_phase:
            continue
        trainings, mean_s = count_trainings(of_phase), total_s(of_phase) / len(of_phase)
        total_j = trace.total_j(method, of_phase)
        energy_j = total_j if isinstance(total_j, Unavailable) else total_j / trainings
        if mean_s < REFRESH_S / COARSE_SHARE:
            energy_j = Unavailable(
                f"its segments last {mean_s:.2g} s on average; below {REFRESH_S / COARSE_SHARE:g} s the driver's "
                f"refresh of {REFRESH_S:g} s makes the joules too uncertain"
            )
        yield PhaseEnergy.of(
            phase=phase, stretches=len(of_phase), duration_s=total_s(of_phase) / trainings, energy_j=energy_j
        )


def cumulative_j(trace: Trace, segments: Sequence[Segment], method: Method) -> list[float] | Unavailable:
    """Joules to the end of each of the `segments` of phase `train`, mean over the trainings that these belong to."""
    trainings = [list(group) for _, group in itertools.groupby(segments, key=lambda s: s.training)]
    ends = [[s.end_s for s in training if s.phase == "train"] for training in trainings]
    if len({len(of_training) for of_training in ends}) != 1 or not ends[0]:
        return Unavailable("the repeats did not train in the same segments")
    cells: list[tuple[int, int]] = []  # training, cycle
    parts: list[Interval] = []
    for number, training in enumerate(trainings):
        for window in windows(training):
            for cycle, part in _split(window, ends[number]):
                cells.append((number, cycle))
                parts.append(part)
    steps = np.zeros((len(ends), len(ends[0])))  # [trainings, cycles]
    np.add.at(steps, tuple(np.array(cells).T), trace.joules(method, parts))
    if not (steps > 0).all():
        return Unavailable("the counter did not move in a cycle")
    means: list[float] = steps.cumsum(axis=1).mean(axis=0).tolist()
    return means


def _split(window: Interval, ends_s: Sequence[float]) -> Iterator[tuple[int, Interval]]:
    """The window cut at the growing `ends_s`: each part with the number of the cycle that it belongs to."""
    for cycle, (since, until) in enumerate(itertools.pairwise([-math.inf, *ends_s])):
        begin, end = max(window.begin_s, since), min(window.end_s, until)
        if begin < end:
            yield cycle, Interval(begin, end)
