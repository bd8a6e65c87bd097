"""Who computes on a GPU: this process, others, and those that the driver leaves out of its list.

A driver numbers processes as the host does. Those with open kernel modules number them as the caller's pid namespace
does, and leave out the processes of other namespaces, such as those of another container. docs/energy.md, Idle power.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from pathlib import Path

from dtcbench.energy.segments import Interval
from dtcbench.energy.trace import Trace

_HOST = 0xEFFFFFFC
"""Inode of the host's pid namespace, the same on every Linux (PROC_PID_INIT_INO, include/linux/proc_ns.h)."""
CONTEXT_MIB = 100.0
"""More memory in use than this, of no listed process, is a process's: a CUDA context alone takes about as much."""
BUSY_PCT = 1.0
"""A GPU that is busy for a larger share of the time than this is not idle."""
UTILISATION_S = 1.0
"""Utilisation is a mean over the time before its reading, at most so long (NVML reference)."""


@dataclass(frozen=True)
class ThisProcess:
    """This process, as a driver may list it."""

    numbers: frozenset[int]
    """Its ids in the pid namespaces that it knows of."""
    is_nested: bool
    """Whether its pid namespace is not the host's: the driver may leave out processes of other namespaces."""
    has_context: bool
    """Whether it may have had a CUDA context before its cell began."""

    def others(self, listed: frozenset[int]) -> frozenset[int]:
        """The processes of those listed before the cell touches the GPU that are not this one."""
        if not self.is_nested:
            return listed - self.numbers
        # Before its context, a number like this process's is that of a process in another namespace.
        return self._without_one(listed) if self.has_context else listed

    def foreign(self, running: frozenset[int], earlier: frozenset[int]) -> frozenset[int]:
        """The processes of those running during the cell that are not this one; `earlier` were `others` before."""
        return running & earlier | self._without_one(running - earlier)

    def _without_one(self, listed: frozenset[int]) -> frozenset[int]:
        """All but this process; if the driver shows it by a number that only its host knows, all but any one."""
        return listed - self.numbers if listed & self.numbers else frozenset(sorted(listed)[1:])


def this_process(*, has_context: bool, proc: Path = Path("/proc/self")) -> ThisProcess:
    """This process by the files of `proc`. Where there are none it has the one id that it knows, on the host."""
    numbers = {os.getpid()}
    try:
        status = (proc / "status").read_text(encoding="ascii", errors="replace").splitlines()
        numbers |= {int(pid) for line in status if line.startswith("NSpid:") for pid in line.split()[1:]}
        is_nested = (proc / "ns" / "pid").stat().st_ino != _HOST
    except OSError:
        is_nested = False
    return ThisProcess(frozenset(numbers), is_nested, has_context)


def unexplained(trace: Trace, idle: Interval) -> str:
    """What was in use on the idle GPU without a process in the driver's list; empty if nothing was, or it is unknown.

    Memory that the driver reserves for itself does not count (`nvmlMemory_v2_t.reserved`).
    """
    found = []
    memory_mib = trace.readings("unlisted_mib", [idle])
    if memory_mib and (median := statistics.median(memory_mib)) > CONTEXT_MIB:
        found.append(f"{median:.0f} MiB of memory were in use")
    settled = Interval(idle.begin_s + UTILISATION_S, idle.end_s)
    busy_pct = trace.readings("utilisation_pct", [settled])
    if busy_pct and not any(trace.readings("processes", [idle])) and (mean := statistics.mean(busy_pct)) > BUSY_PCT:
        found.append(f"it was busy for {mean:.0f} % of the time")
    return " and ".join(found)
