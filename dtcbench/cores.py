"""How many cores this process may use, whatever the machine has.

joblib's count looks at the root of the cgroups alone, where a quota of one's own lies only inside some containers, and
rounds up: 1.5 cores would be two cells at once, each slowed down.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path


@functools.cache
def usable() -> int:
    """Cores that this process may use, as it was when it first asked: OpenMP may bind its threads to cores later."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return fewest(affinity, quota(Path("/")), slurm_share(os.environ))


def fewest(*limits: float) -> int:
    """Whole cores under every limit, and at least one: a cell on each is not slowed down where there is one or more."""
    return max(1, math.floor(min(limits)))


def slurm_share(variables: Mapping[str, str]) -> float:
    """Cores that Slurm gives each task of this job, or the job on this node; infinite outside of Slurm."""
    share = variables.get("SLURM_CPUS_PER_TASK") or variables.get("SLURM_CPUS_ON_NODE", "")
    return int(share) if share.isdigit() else math.inf


def quota(root: Path) -> float:
    """Cores' worth of time that this process's cgroups grant, the tightest of a group and those around it.

    Reads cgroups of version 1 and 2; infinite where nothing limits. `root` is where `/proc` and the mounts lie.
    """
    return min(map(_granted, _groups(root)), default=math.inf)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the cgroups that may limit this process's time, outwards."""
    paths = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            paths["cgroup2"] = path
        elif "cpu" in controllers.split(","):
            paths["cgroup"] = path
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mount, _, source = line.partition(" - ")
        kind, _, options = source.split(" ", 2)
        if kind not in paths or (kind == "cgroup" and "cpu" not in options.split(",")):
            continue
        top, point = map(_unescaped, mount.split(" ")[3:5])
        folder = root / point.lstrip("/")
        # A container may see only a part of the tree, under a path that it cannot see.
        within = os.path.relpath(paths[kind], top)
        group = folder if within.startswith("..") else folder / within
        yield from (group, *(parent for parent in group.parents if parent.is_relative_to(folder)))


def _granted(group: Path) -> float:
    """Cores' worth of time that one group grants, as version 2 writes it, or version 1."""
    quota = _read(group / "cpu.max") or f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}"
    granted, _, period = quota.partition(" ")
    return int(granted) / int(period) if granted.isdigit() and period.isdigit() else math.inf


def _read(file: Path) -> str:
    """The text of a file; empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _unescaped(path: str) -> str:
    """A path of mountinfo, in which spaces and the like are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
