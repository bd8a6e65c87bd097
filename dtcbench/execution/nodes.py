"""What each node of a cluster has, and in what nodes differ."""

from __future__ import annotations

import platform
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
from dtcbench.plan.request import Request, Resources
from dtcbench.text import error_line
from dtcbench.unavailable import Unavailable

SURVEY_S = 120.0
"""Time limit for the nodes' answers: on each node a process starts and imports torch."""
MUST_AGREE = ("python", "torch", "dtcbench")
"""Versions that decide numbers: a run is refused if its nodes differ in one of them."""


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
    )


@cache
def versions() -> dict[str, str]:
    """Versions of what decides numbers, in this process; read once, as every cell asks."""
    return {"python": platform.python_version(), "dtcbench": __version__, **provenance.package_versions()}


def differing(expected: Mapping[str, str]) -> str:
    """In which of these versions this process differs, and how; empty if in none."""
    here = versions()
    return ", ".join(
        f"{name} {here.get(name, provenance.NO_VERSION)} and not {version}"
        for name, version in expected.items()
        if here.get(name, provenance.NO_VERSION) != version
    )


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


def require_agreement(ray: Any, address: str) -> None:
    """UserError if the nodes and this process differ in a version of `MUST_AGREE`."""
    if found := disagreements([describe_node(), *nodes_of(ray, address)], MUST_AGREE):
        raise UserError(f"the nodes disagree: {'; '.join(found)}; install one version everywhere")


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
