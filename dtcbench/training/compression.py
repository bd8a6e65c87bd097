"""One compression: every prunable group scored and shrunk, and what is recorded of it."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dtcbench.dtc.selection import Group, Indices, Method, Target
from dtcbench.dtc.sensing import Array, Reconstruction, Solve
from dtcbench.entropy import entropy_bits, normalised_entropy, published_entropy
from dtcbench.errors import CompressionError
from dtcbench.record import Layer
from dtcbench.training.randomness import generator
from dtcbench.training.surgery import PrunableGroup

NOTHING_MEASURED = "the method makes no measurement"
NOTHING_REMOVED = "no neuron of this group was due in this cycle"


@dataclass
class TimedSolver:
    """A cell's recovery solver, and the seconds it has taken."""

    name: str
    solve: Solve
    device: torch.device
    """Where solvers written in torch run: it is their default device."""
    seconds: float = 0.0

    def __call__(self, theta: Array, y: Array, lam: float) -> Array:
        """Solve; the contract of `dtcbench.dtc.sensing.Solve`."""
        begin = time.perf_counter()
        try:
            # On the CPU it is the default anyway, and entering it makes every operation slower.
            with nullcontext() if self.device.type == "cpu" else self.device:
                return self.solve(theta, y, lam)
        finally:
            self.seconds += time.perf_counter() - begin


@dataclass(frozen=True)
class Removal:
    """What happened to one group: the plain facts, from which a Layer is recorded later."""

    group: str
    width_before: int
    origins: Indices
    """Original indices of the neurons kept."""
    reconstruction: Reconstruction | None
    solver_s: float
    reason: str
    """Why there is no reconstruction, where there is none."""
    null: np.random.Generator
    """Puts projections in random order, to see what of an entropy is due to their order."""


@dataclass(frozen=True)
class Complexity:
    """How random a group is just before a compression."""

    compressed_bits: float
    lempel_ziv: float


def _check(scores: NDArray[np.floating], kept: Indices, seen: Group) -> None:
    """CompressionError where a method did not keep to its contract; nothing of that may be recorded."""
    if scores.shape != (seen.width,) or not np.isfinite(scores).all():
        raise CompressionError(f"the method gave no finite score for each neuron: shape {scores.shape}")
    if len(np.unique(kept)) != len(kept) or (seen.target.count is not None and len(kept) != seen.target.count):
        raise CompressionError(f"the method kept {len(kept)} neurons, {len(np.unique(kept))} of them different")


@dataclass
class Compressor:
    """Compresses one cell's network, cycle after cycle, and remembers where its neurons came from."""

    method: Method
    solver: TimedSolver | None
    seed: int
    origins: dict[str, Indices] = field(default_factory=dict)

    def compress(
        self,
        groups: list[PrunableGroup],
        target: Callable[[PrunableGroup], Target | None],
        cycle: int,
        shrink: Callable[[PrunableGroup, Indices], None],
        sensitivities: dict[str, NDArray[np.floating]],
    ) -> list[Removal]:
        """Target every group for which `target` gives one; scores of all are taken before any is shrunk.

        `sensitivities` are by group name, where the method asks for them. CompressionError names the
        group, its width, what was to be kept, and the solver.
        """
        chosen = [
            self._choose(group, target(group), cycle, place, sensitivities.get(group.name))
            for place, group in enumerate(groups)
        ]
        for group, (_, kept) in zip(groups, chosen, strict=True):
            if kept is not None:
                shrink(group, kept)
        return [removal for removal, _ in chosen]

    def _choose(
        self,
        group: PrunableGroup,
        target: Target | None,
        cycle: int,
        place: int,
        sensitivities: NDArray[np.floating] | None,
    ) -> tuple[Removal, Indices | None]:
        origins = self.origins.setdefault(group.name, np.arange(group.width, dtype=np.int64))
        null = generator(self.seed, "null", cycle, place)
        if target is None:
            return Removal(group.name, group.width, origins, None, 0.0, NOTHING_REMOVED, null), None
        before = self.solver.seconds if self.solver else 0.0
        draws = generator(self.seed, "compress", cycle, place)
        seen = Group(group.w_in, group.w_out, target, draws, self.solver, sensitivities)
        try:
            scores = self.method.scores(seen)
            kept = self.method.select(scores, seen)
            _check(scores.values, kept, seen)
        except CompressionError as error:
            raise type(error)(f"{self._where(group, target, cycle)}: {error}") from error
        self.origins[group.name] = origins[kept]
        solver_s = (self.solver.seconds if self.solver else 0.0) - before
        removal = Removal(
            group.name, group.width, origins[kept], scores.reconstruction, solver_s, NOTHING_MEASURED, null
        )
        return removal, kept

    def _where(self, group: PrunableGroup, target: Target, cycle: int) -> str:
        solver = f", solver {self.solver.name}" if self.solver else ""
        return f"{where(group.name, group.width, target, cycle)}{solver}"


def where(group: str, width: int, target: Target, cycle: int) -> str:
    """A group's target as an error names it, with the cycle's number in the records, which count from 0."""
    kept = f"keep {target.keep:g}" if target.count is None else f"{target.count} to keep"
    return f"cycle {cycle}, group {group}, width {width}, {kept}"


def layer(removal: Removal, complexity: Complexity) -> Layer:
    """The record of one group's removal, entropies of its measurements included."""
    facts: dict[str, Any] = {
        "group": removal.group,
        "width_before": removal.width_before,
        "width_after": len(removal.origins),
        "kept_sha256": hashlib.sha256(removal.origins.astype("<i8").tobytes()).hexdigest(),
    }
    figures = _measured(removal.reconstruction, removal) if removal.reconstruction else dict.fromkeys(_FIGURES)
    reasons = {name: removal.reason for name, value in figures.items() if value is None}
    figures |= {"compressed_bits": complexity.compressed_bits, "lempel_ziv": complexity.lempel_ziv}
    for name, value in figures.items():
        if isinstance(value, float) and math.isnan(value):
            figures[name], reasons[name] = None, _WHY_NAN[name.rpartition("_")[2]]
    return Layer(**facts, **figures, reasons=reasons)


_FIGURES = ("measurements", "nonzeros", "solver_s", *(f for f in Layer.model_fields if f.startswith("entropy")))
_WHY_NAN = {
    "published": "NaN: no measurement lies within ±50, the published histogram's range",
    "normalised": "one measurement bounds the entropy by log2 1 = 0",
    "ziv": "one neuron has no order",
}


def _measured(reconstruction: Reconstruction, removal: Removal) -> dict[str, Any]:
    incoming, outgoing = reconstruction.y.T
    return {
        "measurements": len(reconstruction.y),
        "nonzeros": int(np.count_nonzero(reconstruction.coefficient_ray)),
        "solver_s": removal.solver_s,
        "entropy_in_published": published_entropy(incoming, "incoming"),
        "entropy_out_published": published_entropy(outgoing, "outgoing"),
        "entropy_in_bits": entropy_bits(incoming),
        "entropy_out_bits": entropy_bits(outgoing),
        "entropy_in_normalised": normalised_entropy(incoming),
        "entropy_out_normalised": normalised_entropy(outgoing),
        "entropy_in_shuffled_bits": entropy_bits(reconstruction.phi @ removal.null.permutation(reconstruction.a_in)),
        "entropy_out_shuffled_bits": entropy_bits(reconstruction.phi @ removal.null.permutation(reconstruction.a_out)),
    }
