"""What each node of a cluster has, and in what nodes differ."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from dtcbench import __version__, registry
from dtcbench.datasets.description import origin
from dtcbench.energy import nvml
from dtcbench.errors import UserError
from dtcbench.execution import provenance
from dtcbench.execution.cluster import joined_ray
from dtcbench.models.packages import building
from dtcbench.plan.cell import Cell
from dtcbench.plan.request import Request, Resources
from dtcbench.text import error_line
from dtcbench.training.compiled import lacking
from dtcbench.unavailable import Unavailable

SURVEY_S = 120.0
"""Time limit for the nodes' answers: on each node a process starts and imports torch."""
MUST_AGREE = ("python", "torch", "dtcbench")
"""Versions that decide numbers: a run is refused if its nodes differ in one of them."""
_KERNELS = "kernels of "
"""Before the name of a library among a node's versions: the processor for which its code there is made."""
MIN_FREE = 64 * 2**20
"""Bytes that a node's temporary folder must have free before a cell begins there."""


@dataclass(frozen=True)
class Node:
    """One node, as a process on it sees it."""

    name: str
    """The host's name; no record contains it."""
    hardware: str
    gpus: tuple[nvml.Gpu | Unavailable, ...]
    """Each GPU, or why NVML cannot tell."""
    data: dict[str, str]
    """Where each data set would come from."""
    versions: dict[str, str]
    """Versions of everything that decides numbers."""
    lacking: dict[str, str | None] = field(default_factory=dict)
    """By device, what it lacks to compile for it; None if nothing."""
    resources: Resources = field(default_factory=dict)
    """What Ray gives its cells; empty if Ray was not asked."""


def describe_node() -> Node:
    """The node that this process runs on."""
    return Node(
        name=platform.node(),
        hardware=provenance.cpu_class(),
        gpus=tuple(nvml.gpus()),
        data={name: origin(name) for name in registry.datasets.names()},
        versions=versions(),
        lacking={device: lacking(device) for device in ("cpu", "cuda")},
    )


@cache
def versions() -> dict[str, str]:
    """Versions and kernels of what decides numbers, in this process; read once, as every cell asks."""
    builders = {package for model in registry.models.names() for package in building(model)}
    return {
        "python": platform.python_version(),
        "dtcbench": __version__,
        **provenance.package_versions(),
        **{name: provenance.version(name) for name in builders},
        **{f"{_KERNELS}{name}": kind for name, kind in provenance.kernels().items()},
    }


def needed(cell: Cell) -> dict[str, str]:
    """The versions, as they are in this process, that a node must have to run the cell."""
    return {name: versions()[name] for name in (*MUST_AGREE, *building(cell.model.name))}


def unfit(expected: Mapping[str, str]) -> str:
    """Why this node must not run a cell, of versions that differ from those expected or of a full disk; empty if it
    may."""
    here = versions()
    differing = [
        f"{name} {here.get(name, provenance.NO_VERSION)} and not {version}"
        for name, version in expected.items()
        if here.get(name, provenance.NO_VERSION) != version
    ]
    if differing:
        return f"has {', '.join(differing)}"
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return "" if free >= MIN_FREE else f"has {free >> 20} MiB free in its temporary folder, and needs {MIN_FREE >> 20}"


def survey(address: str) -> list[Node]:
    """The description of every node of the cluster at `address`."""
    with joined_ray(address) as ray:
        return nodes_of(ray, address)


def nodes_of(ray: Any, address: str) -> list[Node]:
    """The description of every node of the cluster that `ray` is connected to."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=3)(describe_node)  # retried until a dead node is known to be dead
    resources = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    answers = {
        node: ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
        for node in resources
    }
    nodes = []
    for node, answer in answers.items():
        try:
            nodes.append(replace(ray.get(answer, timeout=SURVEY_S), resources=resources[node]))
        except ray.exceptions.RayError as error:
            if is_alive(ray, node):  # nodes that have left meanwhile do not count
                reason = f"not every node answers ({error_line(error)}); is dtcbench installed on all of them?"
                raise UserError(f"--address {address}: {reason}") from error
    return nodes


def is_alive(ray: Any, node: str) -> bool:
    """Whether the cluster counts the node as alive; the cluster checks every node's health periodically."""
    return any(known["NodeID"] == node and known["Alive"] for known in ray.nodes())


def require_agreement(ray: Any, address: str) -> list[str]:
    """In which kernels the nodes differ. UserError if they and this process differ in a version of `MUST_AGREE`."""
    nodes = nodes_of(ray, address)
    if found := disagreements([describe_node(), *nodes], MUST_AGREE):
        raise UserError(f"the nodes disagree: {'; '.join(found)}; install one version everywhere")
    names = {name: None for node in nodes for name in node.versions if name.startswith(_KERNELS)}
    return [
        f"the nodes compute with unlike {line}: their sums round in other orders; `check` will warn"
        for line in disagreements(nodes, list(names))
    ]


def without_joules(nodes: Sequence[Node], request: Request, *, is_whole: bool) -> list[str]:
    """Each node that could run a cell and has no GPU that gives joules: its name, and why. See `Gpu.obstacle`."""
    found = []
    for node in nodes:
        if request.cells_on(node.resources) < 1:
            continue
        obstacles = [gpu.obstacle(is_whole=is_whole) if isinstance(gpu, nvml.Gpu) else str(gpu) for gpu in node.gpus]
        if all(obstacles):
            found.append(f"{node.name}: {'; '.join(dict.fromkeys(filter(None, obstacles)))}")
    return found


def disagreements(nodes: Sequence[Node], names: Sequence[str]) -> list[str]:
    """For each version that is not the same on all nodes, which nodes have which."""
    lines = []
    for name in names:
        found: dict[str, list[str]] = {}
        for node in nodes:
            found.setdefault(node.versions.get(name, provenance.NO_VERSION), []).append(node.name)
        if len(found) > 1:
            lines.append(
                f"{name}: " + ", ".join(f"{version} on {_few(where)}" for version, where in sorted(found.items()))
            )
    return lines


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
