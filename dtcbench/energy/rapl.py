"""Energy counters of the processor packages: Intel's RAPL, and AMD's by the same name, through Linux's powercap.

Source: Documentation/power/powercap/powercap.rst of the Linux kernel. A zone's `energy_uj` counts microjoules
and wraps at `max_energy_range_uj`. Since CVE-2020-8694 only root may read it; guests have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Zone:
    """One processor package's counter."""

    name: str
    """Such as `package-0`."""
    counter: Path
    range_uj: float
    """Where the counter wraps."""


@dataclass(frozen=True)
class Packages:
    """The machine's processor packages, all readable, or why there are none."""

    zones: tuple[Zone, ...]
    reason: str | None


def packages(powercap: Path = POWERCAP) -> Packages:
    """Every package's counter under `powercap`; without one of them there are none. Never raises.

    Sub-zones, such as the cores, are parts of a package and left out.
    """
    found = sorted(powercap.glob("intel-rapl:[0-9]*")) if powercap.is_dir() else []
    folders = [folder for folder in found if folder.name.count(":") == 1]
    try:
        zones = [zone for zone in map(_zone, folders) if zone.name.startswith("package")]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Packages((), f"RAPL cannot be read ({why}); root may read it: `chmod a+r` the energy_uj files")
    if not zones:
        return Packages((), "this machine shows no RAPL counter of a processor package; virtual machines have none")
    return Packages(tuple(zones), None)


def _zone(folder: Path) -> Zone:
    counter = folder / "energy_uj"
    int(counter.read_text(encoding="ascii"))
    range_uj = float((folder / "max_energy_range_uj").read_text(encoding="ascii"))
    return Zone((folder / "name").read_text(encoding="ascii").strip(), counter, range_uj)
