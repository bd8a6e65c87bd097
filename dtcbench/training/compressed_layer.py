"""What one compression did to one prunable group: the neurons kept, the measurements and their entropies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dtcbench.dtc.selection import Indices
from dtcbench.dtc.sensing import Reconstruction
from dtcbench.entropy import entropy_bits, normalised_entropy, published_entropy
from dtcbench.record import Layer
from dtcbench.unavailable import Unavailable

NOTHING_MEASURED = Unavailable("the method makes no measurement")
NOTHING_REMOVED = Unavailable("no neuron of this group was due in this cycle")
_ENTROPIES = tuple(name for name in Layer.model_fields if name.startswith("entropy"))


@dataclass(frozen=True)
class CompressedLayer:
    """What one compression did to one prunable group."""

    group: str
    width_before: int
    indices: Indices
    """The neurons kept, as they were numbered before this compression."""
    original_indices: Indices
    """The same neurons, as they were numbered in the original network."""
    reconstruction: Reconstruction | Unavailable
    solver_s: float
    """Seconds in the recovery solver."""
    null: np.random.Generator
    """Shuffles the projections for the entropies of a random order."""

    @property
    def width_after(self) -> int:
        """Number of neurons kept."""
        return len(self.indices)

    @property
    def entropy(self) -> dict[str, float | Unavailable]:
        """The entropies of the two measurements, named as the fields of a record's Layer."""
        if isinstance(self.reconstruction, Unavailable):
            return dict.fromkeys(_ENTROPIES, self.reconstruction)
        return {name: self._measured[name] for name in _ENTROPIES}

    @cached_property
    def _measured(self) -> dict[str, Any]:
        """The fields of a Layer that come from the reconstruction."""
        found = self.reconstruction
        if isinstance(found, Unavailable):
            return {}
        incoming, outgoing = found.y.T
        return {
            "measurements": len(found.y),
            "nonzeros": int(np.count_nonzero(found.coefficient_ray)),
            "solver_s": self.solver_s,
            "entropy_in_published": published_entropy(incoming, "incoming"),
            "entropy_out_published": published_entropy(outgoing, "outgoing"),
            "entropy_in_bits": entropy_bits(incoming),
            "entropy_out_bits": entropy_bits(outgoing),
            "entropy_in_normalised": normalised_entropy(incoming),
            "entropy_out_normalised": normalised_entropy(outgoing),
            "entropy_in_shuffled_bits": entropy_bits(found.phi @ self.null.permutation(found.a_in)),
            "entropy_out_shuffled_bits": entropy_bits(found.phi @ self.null.permutation(found.a_out)),
            "projection_in_norm": float(np.linalg.norm(found.a_in.astype(np.float64))),
            "projection_out_norm": float(np.linalg.norm(found.a_out.astype(np.float64))),
        }

    def record(self, **numbers: Any) -> Layer:
        """The record of this compression; `numbers` are fields of the Layer that were measured elsewhere."""
        digest = hashlib.sha256(self.original_indices.astype("<i8").tobytes()).hexdigest()
        facts: dict[str, Any] = {
            "group": self.group,
            "width_before": self.width_before,
            "width_after": self.width_after,
        }
        facts |= {"kept_sha256": digest, **self._measured, **numbers}
        if isinstance(self.reconstruction, Unavailable):  # all other fields come from it
            absent = [name for name in Layer.model_fields if name not in facts and name != "reasons"]
            facts |= dict.fromkeys(absent, self.reconstruction)
        return Layer.of(**facts)
