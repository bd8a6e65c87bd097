"""What each node of a cluster offers, and where nodes differ that must not."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

from dtcbench import __version__, registry
from dtcbench.datasets.unread import origin
from dtcbench.energy import nvml
from dtcbench.execution import provenance

MUST_AGREE = ("python", "torch", "dtcbench")
"""Versions that decide numbers: a run over nodes that differ in one of them is refused."""


@dataclass(frozen=True)
class Node:
    """One node, as a process on it sees itself."""

    name: str
    """By which the cluster's owner knows it; it goes into no record."""
    hardware: str
    gpus: tuple[str, ...]
    """Name, memory and driver of each."""
    nvml_problem: str | None
    """What kept NVML from telling of (all of) them."""
    data: dict[str, str]
    """By data set, where it would come from."""
    versions: dict[str, str]


def describe() -> Node:
    """The node that this process runs on."""
    state = nvml.gpus()
    return Node(
        name=platform.node(),
        hardware=provenance.cpu_hardware().hardware_class,
        gpus=tuple(f"{gpu.name}, {gpu.memory_gib:.0f} GiB, driver {gpu.driver}" for gpu in state.gpus),
        nvml_problem=state.reason,
        data={name: origin(name) for name in registry.datasets.names()},
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Of everything that decides numbers, in this process."""
    return {"python": platform.python_version(), "dtcbench": __version__, **provenance.package_versions()}


def disagreements(nodes: Sequence[Node], names: Sequence[str]) -> list[str]:
    """For each of the versions on which the nodes disagree, who has which."""
    told = []
    for name in names:
        found: dict[str, list[str]] = {}
        for node in nodes:
            found.setdefault(node.versions.get(name, "not installed"), []).append(node.name)
        if len(found) > 1:
            told.append(
                f"{name}: " + ", ".join(f"{version} on {_few(where)}" for version, where in sorted(found.items()))
            )
    return told


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
