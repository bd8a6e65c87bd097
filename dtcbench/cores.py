"""How much of the machine this process may use: its cores, which may be fewer than there are, and its memory.

joblib's count reads only the root of the cgroups, where the process's quota is visible only in some containers, and
rounds up: with 1.5 cores it would run two cells at once, and slow both down.
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
    """Cores that this process may use. They are counted once: OpenMP may bind threads to cores later."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return fewest(affinity, quota(Path("/")), slurm_share(os.environ))


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def fewest(*limits: float) -> int:
    """Number of whole cores within every limit, and at least 1."""
    return max(1, math.floor(min(limits)))


def slurm_share(variables: Mapping[str, str]) -> float:
    """Cores that Slurm gives each task of this job, or the job on this node; infinite without Slurm."""
    share = variables.get("SLURM_CPUS_PER_TASK") or variables.get("SLURM_CPUS_ON_NODE", "")
    return int(share) if share.isdigit() else math.inf


def quota(root: Path) -> float:
    """CPU quota of this process in cores: the smallest of its cgroup's and its ancestors'; infinite without a limit.

    Reads cgroups of version 1 and 2. `root` is the folder that contains `proc` and the mounts.
    """
    return min(map(_granted, _groups(root)), default=math.inf)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the cgroups that may limit this process's time, innermost first."""
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
        # A container may see only part of the tree, mounted below a path that it cannot see.
        within = os.path.relpath(paths[kind], top)
        group = folder if within.startswith("..") else folder / within
        yield from (group, *(parent for parent in group.parents if parent.is_relative_to(folder)))


def _granted(group: Path) -> float:
    """Quota of one group in cores, as version 2 writes it, or version 1."""
    quota = _read(group / "cpu.max") or f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}"
    granted, _, period = quota.partition(" ")
    return int(granted) / int(period) if granted.isdigit() and period.isdigit() else math.inf


def _read(file: Path) -> str:
    """The text of a file; empty if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _unescaped(path: str) -> str:
    """A path in mountinfo, where spaces and other special characters are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
