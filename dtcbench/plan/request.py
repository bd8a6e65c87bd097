"""The resources that one cell needs, and how many cells a node can run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Resources = Mapping[str, float]
"""What a node has, in Ray's words: CPU, GPU, accelerator_type:H200, …"""


@dataclass(frozen=True)
class Request:
    """What one cell is given."""

    cpus: int
    gpus: float = 0.0
    accelerator: str | None = None
    """The kind of GPU, in Ray's words, such as `H200`; None if any will do."""

    @property
    def boards(self) -> int:
        """How many GPUs compute; 1 for a part of one, and for none."""
        return max(1, int(self.gpus))

    @property
    def bundle(self) -> dict[str, float]:
        """As Ray reserves it: the share of the accelerator is the one that Ray itself asks for."""
        kind = {f"accelerator_type:{self.accelerator}": 0.001} if self.accelerator else {}
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {}), **kind}

    def cells_on(self, node: Resources) -> int:
        """How many such cells the node can run at once."""
        return int(min(node.get(name, 0.0) / share for name, share in self.bundle.items()))

    def __str__(self) -> str:
        kind = f" of kind {self.accelerator}" if self.accelerator else ""
        return f"{self.cpus} CPUs and {self.gpus:g} GPUs{kind}"


def shown(nodes: Iterable[Resources]) -> str:
    """The nodes as a message lists them."""
    return "; ".join(map(_node, nodes)) or "no node"


def _node(node: Resources) -> str:
    kinds = [name.partition(":")[2] for name in node if name.startswith("accelerator_type:")]
    kind = f" ({', '.join(sorted(kinds))})" if kinds else ""
    return f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs{kind}"
