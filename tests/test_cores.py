"""How many cores a process may use, on trees of cgroups as kernels, containers and Slurm make them."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dtcbench import cores
from dtcbench.cores import fewest, quota, slurm_share

V2 = "41 31 0:38 {top} {point} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
V1 = "32 31 0:29 {top} {point} rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
OTHERS = """\
22 28 0:20 / /proc rw - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
"""


@pytest.fixture
def machine(tmp_path):
    """`machine(mountinfo, cgroup, files)`: a root folder with such a /proc and such files."""

    def machine(mounts, groups, files=()):
        files = {"proc/self/mountinfo": OTHERS + mounts, "proc/self/cgroup": groups, **dict(files)}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return machine


def v2(top="/", point="/sys/fs/cgroup"):
    return V2.format(top=top, point=point)


def v1(top="/", point="/sys/fs/cgroup/cpu,cpuacct"):
    return V1.format(top=top, point=point)


def test_a_container_s_own_quota_is_counted(machine):
    """Docker and Podman on version 2: a namespace whose root is the container's group."""
    assert quota(machine(v2(), "0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"})) == 1


@pytest.mark.parametrize(
    ("outer", "middle", "inner", "granted"),
    [
        ("max 100000", "max 100000", "max 100000", math.inf),
        ("max 100000", "max 100000", "150000 100000", 1.5),
        ("400000 100000", "100000 50000", "max 100000", 2),
        ("50000 100000", "max 100000", "300000 100000", 0.5),
    ],
)
def test_the_tightest_quota_of_a_group_and_those_around_it_counts(machine, outer, middle, inner, granted):
    """As systemd nests them: a slice, a service, a scope. The root itself has no cpu.max."""
    files = {"a.slice": outer, "a.slice/b.service": middle, "a.slice/b.service/c": inner, "other": "10000 100000"}
    files = {f"sys/fs/cgroup/{group}/cpu.max": text for group, text in files.items()}
    assert quota(machine(v2(), "0::/a.slice/b.service/c\n", files)) == granted


@pytest.mark.parametrize(("quota_us", "granted"), [("-1", math.inf), ("100000", 1), ("250000", 2.5)])
def test_a_quota_of_version_1_is_counted(machine, quota_us, granted):
    files = {
        "sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": f"{quota_us}\n",
        "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
    }
    groups = "5:cpuset:/elsewhere\n3:cpu,cpuacct:/jobs/one\n1:name=systemd:/x:y\n"
    assert quota(machine(v1(), groups, files)) == granted


def test_both_versions_at_once_are_counted(machine):
    """A hybrid machine: version 2 is mounted too, without this controller."""
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/unified/cgroup.controllers": "hugetlb",
    }
    assert quota(machine(v1() + v2(point="/sys/fs/cgroup/unified"), "1:cpu,cpuacct:/\n0::/\n", files)) == 2


@pytest.mark.parametrize("group", ["/docker/4f", "/docker/4f/inner", "/"])
def test_a_container_without_a_namespace_sees_its_group_at_the_mount(machine, group):
    """Docker on version 1: only the container's part of the tree is mounted, under the path it has on the host."""
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    assert quota(machine(v1(top="/docker/4f"), f"1:cpu,cpuacct:{group}\n", files)) == 3


def test_a_mount_with_a_space_in_its_path_is_found(machine):
    files = {"my cgroups/a/cpu.max": "200000 100000"}
    assert quota(machine(v2(point=r"/my\040cgroups"), "0::/a\n", files)) == 2


def test_a_system_without_cgroups_limits_nothing(tmp_path):
    assert quota(tmp_path) == math.inf


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        ({}, math.inf),
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "16"}, 4),
        ({"SLURM_CPUS_ON_NODE": "16"}, 16),
        ({"SLURM_CPUS_PER_TASK": "", "SLURM_CPUS_ON_NODE": "?"}, math.inf),
    ],
)
def test_slurm_s_share_is_the_task_s_else_the_node_s(variables, share):
    assert slurm_share(variables) == share


@pytest.mark.parametrize(("limits", "whole"), [((2, 1.0), 1), ((8, 2.5, math.inf), 2), ((4, 0.25), 1), ((4,), 4)])
def test_the_fewest_count_in_whole_cores_and_one_at_least(limits, whole):
    assert fewest(*limits) == whole


def counted(group: Path | None = None, **variables: str) -> int:
    """What a process of its own counts, in the group if one is given."""
    enter = f"open({str(group / 'cgroup.procs')!r}, 'w').write('0');" if group else ""
    code = f"{enter}from dtcbench.cores import usable; print(usable())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")} | variables
    return int(subprocess.check_output([sys.executable, "-c", code], env=environment))


def test_affinity_and_slurm_s_share_are_counted():
    before = os.sched_getaffinity(0)
    assert counted() <= len(before)
    assert counted(SLURM_CPUS_PER_TASK="1") == 1
    os.sched_setaffinity(0, {min(before)})
    try:
        assert counted() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.fixture
def group():
    """A cgroup inside this process's own, with a quota of one core, and one inside that; gone afterwards."""
    folder = next(iter(cores._groups(Path("/"))), Path("/nowhere")) / f"dtcbench-{os.getpid()}"
    inner = folder / "inner"
    try:
        inner.mkdir(parents=True)
        file = folder / "cpu.max" if (folder / "cpu.max").exists() else folder / "cpu.cfs_quota_us"
        file.write_text("100000")
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    else:
        yield inner
    finally:
        for made in (inner, folder):
            if made.is_dir():
                made.rmdir()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores to take one away")
def test_a_real_quota_of_one_core_leaves_one(group):
    assert counted(group) == 1
