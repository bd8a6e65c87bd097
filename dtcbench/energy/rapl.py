"""Energy of the processor packages: the counters of Intel's RAPL, and AMD's by the same name, in Linux's powercap.

Source: Documentation/power/powercap/powercap.rst of the Linux kernel. A zone's `energy_uj` counts microjoules
and wraps at `max_energy_range_uj`. Since CVE-2020-8694 only root may read it; virtual machines lack it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dtcbench.energy import integrate
from dtcbench.energy.segments import Segment, count_trainings, counted, windows
from dtcbench.energy.trace import LONG_GAP_S, Trace
from dtcbench.unavailable import Unavailable

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Zone:
    """One processor package's counter."""

    name: str
    """Such as `package-0`."""
    counter: Path
    range_uj: float
    """The value at which the counter wraps."""


def packages(powercap: Path = POWERCAP) -> list[Zone] | Unavailable:
    """The counter of every package under `powercap`; Unavailable if one of them cannot be read.

    Sub-zones, such as the cores, are parts of a package and left out.
    """
    found = sorted(powercap.glob("intel-rapl:[0-9]*")) if powercap.is_dir() else []
    folders = [folder for folder in found if folder.name.count(":") == 1]
    try:
        zones = [zone for zone in map(_zone, folders) if zone.name.startswith("package")]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Unavailable(f"RAPL cannot be read ({why}); root may read it: `chmod a+r` the energy_uj files")
    return zones or Unavailable("this machine shows no RAPL counter of a processor package; virtual machines have none")


def _zone(folder: Path) -> Zone:
    counter = folder / "energy_uj"
    int(counter.read_text(encoding="ascii"))
    range_uj = float((folder / "max_energy_range_uj").read_text(encoding="ascii"))
    return Zone((folder / "name").read_text(encoding="ascii").strip(), counter, range_uj)


def cpu_energy_j(trace: Trace, segments: Sequence[Segment], zones: Sequence[Zone]) -> float | Unavailable:
    """Joules of all processor packages for one training, from the trace's columns `rapl0_uj`, `rapl1_uj`, …"""
    inside = windows(counted(segments))
    if not inside:
        return Unavailable("nothing ran inside the energy boundary")
    total_uj = 0.0
    for number, zone in enumerate(zones):
        name = f"rapl{number}_uj"
        counter_uj = integrate.unwrapped(trace.column(name), zone.range_uj)
        known = np.isfinite(counter_uj)
        why = trace.errors.get(name, (0, "the sampler came late"))[1]
        if known.sum() < 2:
            return Unavailable(f"{zone.name} was not read: {why}")
        if (gap_s := trace.longest_gap_s([counter_uj], inside)) > LONG_GAP_S:
            return Unavailable(f"{zone.name} was not read for {gap_s:.1f} s: {why}")
        edges = [edge for interval in inside for edge in (interval.begin_s, interval.end_s)]
        at_edges = np.interp(edges, trace.t_s[known], counter_uj[known])
        drawn_uj = float((at_edges[1::2] - at_edges[::2]).sum())
        if drawn_uj <= 0:  # every package draws power
            return Unavailable(f"{zone.name}: the counter did not move")
        total_uj += drawn_uj
    return total_uj / 1e6 / count_trainings(counted(segments))
