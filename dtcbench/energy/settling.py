"""Before a cell: the GPU cools down and is measured idle, as long as nothing of the cell is on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dtcbench.energy import nvml
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.nvml import NvmlError
from dtcbench.energy.windows import Interval
from dtcbench.plan.metering import CoolDown, Metering

LEAVE_WITHIN_S = 10.0
"""How long the process of the cell before may take to leave the GPU."""
LEAD_S = 2 * REFRESH_S
"""How long the sampler has run before anything is measured: it must have seen the counter move."""
_POLL_S = 0.2


@dataclass(frozen=True)
class Settled:
    """How the GPU was when the cell began."""

    cool_down_s: float
    cooled: bool
    """Whether it was as cool as asked for; True where nothing was asked for."""
    processes: frozenset[int]
    """Compute processes that were on it all the same."""
    idle: Interval | None
    """When it was idle; None where nobody looked."""


def settle(
    uuid: str,
    metering: Metering,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Settled:
    """Wait for the GPU to cool down and to be left alone, then for as long as it is measured idle.

    The sampler runs already.
    """
    sleep(LEAD_S)
    begin_s = clock()
    cooled = _cool(uuid, metering.cool_down, begin_s, clock, sleep)
    left_by = clock() + LEAVE_WITHIN_S
    while (processes := _processes(uuid)) and clock() < left_by:
        sleep(_POLL_S)
    cool_down_s = clock() - begin_s
    if not metering.idle:
        return Settled(cool_down_s, cooled, processes, None)
    idle_from = clock()
    sleep(metering.idle)
    return Settled(cool_down_s, cooled, processes | _processes(uuid), Interval(idle_from, clock()))


def _cool(
    uuid: str, asked: CoolDown, begin_s: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> bool:
    sleep(asked.at_least)
    if asked.below_c is None:
        return True
    while not (cool := _cooler_than(uuid, asked.below_c)) and clock() - begin_s < asked.at_most:
        sleep(_POLL_S)
    return cool


def _cooler_than(uuid: str, degrees_c: float) -> bool:
    try:
        return nvml.temperature_c(uuid) < degrees_c
    except NvmlError:  # a temperature that is not told is not a cool one
        return False


def _processes(uuid: str) -> frozenset[int]:
    try:
        return nvml.compute_processes(uuid)
    except NvmlError:  # the trace says that they were not told
        return frozenset()
