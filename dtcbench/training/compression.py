"""One compression: a method scores the groups and chooses the neurons that stay; nothing is cut here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dtcbench.dtc.selection import Group, Indices, Method, Scores, Target
from dtcbench.dtc.sensing import WIDEST_DENSE, Array
from dtcbench.errors import CompressionError
from dtcbench.training.binding import BoundSolver
from dtcbench.training.compressed_layer import NOTHING_MEASURED, NOTHING_REMOVED, CompressedLayer
from dtcbench.training.determinism import generator
from dtcbench.training.free_widths import FlopsOfWidths, free_widths, least_of
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.surgery import checked_indices
from dtcbench.training.targets import Widths, where


@dataclass(frozen=True)
class Scored:
    """What a method saw of a group, and its scores."""

    group: Group
    scores: Scores
    solver_s: float


@dataclass(frozen=True)
class Compression:
    """How a method chooses in one cycle; a group's number among all groups decides its random numbers.

    What it raises names the cycle, the group, its width, its target and the solver.
    """

    method: Method
    solver: BoundSolver | None
    seed: int
    cycle: int

    def scored(
        self, group: PrunableGroup, number: int, target: Target, state: Mapping[str, Array], seen: Mapping[str, Any]
    ) -> Scored:
        """The group's scores. The method gets a copy of its `state` and what it asked to see, by fields of `Group`."""
        before = self.solver.seconds if self.solver else 0.0
        draws = generator(self.seed, "compress", self.cycle, number)
        copies = {key: value.copy() for key, value in state.items()}
        shown = Group(*self._weights(group), target, draws, self.solver, state=copies, **seen)
        with self._placing(group, target):
            scores = self.method.scores(shown)
            _check_scores(scores, group.width)
        return Scored(shown, scores, self.solver.seconds - before if self.solver else 0.0)

    def _weights(self, group: PrunableGroup) -> tuple[Any, Any]:
        """Incoming and outgoing weights as the method gets them.

        They stay on the GPU if the method computes there and the layer is wider than those whose choice may depend on
        the last bit, which take a few milliseconds on the host.
        """
        if self.method.on == "device" and group.on_gpu and group.width > WIDEST_DENSE:
            return group.incoming, group.outgoing
        return group.w_in, group.w_out

    def freed(
        self, due: Mapping[str, Target], scored: Mapping[str, Scored], present: Widths, flops: FlopsOfWidths
    ) -> dict[str, Target]:
        """The targets at free widths of the groups that lose neurons, at the FLOPs of the widths that are due."""
        counts = free_widths(
            {name: one.scores.values for name, one in scored.items()},
            self.method.drop,
            lambda widths: flops({**present, **widths}),
            flops({**present, **{name: count for name, target in due.items() if (count := target.count)}}),
            generator(self.seed, "widths", self.cycle),
            least={name: least_of(self.method.floor, due[name], present[name]) for name in scored},
            comparable=self.method.comparable,
        )
        return {name: replace(due[name], count=count) for name, count in counts.items() if count < present[name]}

    def made(
        self, group: PrunableGroup, number: int, target: Target | None, scored: Scored | None, original: Indices
    ) -> CompressedLayer:
        """The neurons that stay: all without a target. `original` are the present ones as they were numbered first."""
        null = generator(self.seed, "null", self.cycle, number)
        if target is None or scored is None:
            unchanged = np.arange(group.width, dtype=np.int64)
            return CompressedLayer(group.name, group.width, unchanged, original, NOTHING_REMOVED, 0.0, null)
        with self._placing(group, target):
            chosen = self.method.select(scored.scores, replace(scored.group, target=target))
            indices = checked_indices(group, chosen, "the method kept")
            _check_count(indices, target)
        measured = scored.scores.reconstruction or NOTHING_MEASURED
        return CompressedLayer(group.name, group.width, indices, original[indices], measured, scored.solver_s, null)

    @contextmanager
    def _placing(self, group: PrunableGroup, target: Target) -> Iterator[None]:
        """While the method works on a group: its errors name the place and the solver."""
        try:
            yield
        except CompressionError as error:
            solver = f", solver {self.solver.name}" if self.solver else ""
            raise type(error)(f"{where(group.name, group.width, target, self.cycle)}{solver}: {error}") from error


def kept_state(group: str, state: Mapping[str, Array], chosen: CompressedLayer) -> dict[str, Array]:
    """What the method keeps of the neurons that stay; CompressionError if it is not an array [m, …]."""
    width = chosen.width_before
    for key, value in state.items():
        if not isinstance(value, np.ndarray) or value.shape[:1] != (width,):
            raise CompressionError(f"group {group}: the method keeps {key!r}, which is no array [{width}, …]")
    return {key: value[chosen.indices] for key, value in state.items()}


def _check_scores(scores: Scores, width: int) -> None:
    """CompressionError if a method broke its contract: its choice must not be recorded."""
    values = scores.values
    if values.shape != (width,) or not np.isfinite(values).all():
        raise CompressionError(f"the method gave no finite score for each neuron: shape {values.shape}")


def _check_count(indices: Indices, target: Target) -> None:
    if target.count is not None and len(indices) != target.count:
        raise CompressionError(f"the method kept {len(indices)} neurons, not {target.count}")
