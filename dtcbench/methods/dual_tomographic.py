"""Dual Tomographic Compression, ours and as published (M. Süzen, arXiv 2505.23869; docs/design.md, The mathematics)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from dtcbench.dtc.device import Home
from dtcbench.dtc.selection import (
    Allocation,
    Draws,
    Drop,
    Group,
    Indices,
    Method,
    Scores,
    Target,
    below_quantile,
    left_below_quantile,
)
from dtcbench.dtc.sensing import (
    Array,
    FastDct,
    Reconstruction,
    basis,
    dct_basis,
    gaussian_phi,
    published_measurements,
    published_phi,
    reconstruct,
)
from dtcbench.errors import CompressionError, SolverError
from dtcbench.registry import register_method

Lambda = Annotated[float, Field(gt=0)]


@register_method("dtc")
@dataclass(frozen=True, kw_only=True)
class Dtc(Method):
    """Scores neurons by the reconstruction's weight ray and drops the smallest."""

    uses_solver: ClassVar[bool] = True
    on: ClassVar[Home] = "device"
    score: Literal["reconstruction", "coefficients"] = "reconstruction"
    """The ray in neuron space, or in the DCT basis as published."""
    drop: Drop = "smallest"
    lam: Lambda = 0.3
    """λ of the recovery."""
    f: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Measurements per neuron: n = max(1, round(f · m))."""
    sides: Literal["both", "incoming", "outgoing"] = "both"
    """The whole weight ray, or one of its two parts alone."""
    widths: Allocation = "uniform"
    """The same share of every group goes, or one quantile of all groups' scores decides, at equal inference FLOPs."""

    def scores(self, group: Group) -> Scores:
        """|weight ray| per neuron."""
        phi = gaussian_phi(group.width, self.f, group.generator)
        reconstruction = _reconstruct(group, phi, basis(group.width), self.lam)
        parts = reconstruction.x if self.score == "reconstruction" else reconstruction.s
        columns = {"both": [0, 1], "incoming": [0], "outgoing": [1]}[self.sides]
        return Scores(np.abs(parts[:, columns].sum(axis=1)), reconstruction)


@register_method("shuffled")
@dataclass(frozen=True, kw_only=True)
class Shuffled(Dtc):
    """DTC's scores assigned to the neurons at random: shows whether it matters which neuron has which score."""

    def scores(self, group: Group) -> Scores:
        """A permutation of DTC's scores, drawn after them."""
        scored = super().scores(group)
        return Scores(group.generator.permutation(scored.values), scored.reconstruction)


@register_method("dtc-published")
@dataclass(frozen=True, kw_only=True)
class PublishedDtc(Method):
    """The published code: coefficient-space ray, one Φ per width, the largest dropped by a strict quantile.

    It takes the solver's answers as they are: their duality gap is not checked, as it is for every other method.
    """

    uses_solver: ClassVar[bool] = True
    verifies_solver: ClassVar[bool] = False
    drop = "largest"  # without an annotation, and so no option
    lam: Lambda = 0.3
    """λ of the recovery."""
    draws: Draws = "published"
    """Φ from the published seed, so the same for a width in every cycle, or another in every cycle."""

    def scores(self, group: Group) -> Scores:
        """|s*_in + s*_out|, a frequency's index used as a neuron's."""
        draws = None if self.draws == "published" else group.generator
        phi = published_phi(group.width, group.target.keep, draws)
        reconstruction = _reconstruct(group, phi, dct_basis(group.width), self.lam)
        return Scores(np.abs(reconstruction.coefficient_ray), reconstruction)

    def left(self, width: int, target: Target) -> int:
        """By the strict quantile, unless the target is a count."""
        return left_below_quantile(width, target)

    def refuse(self, width: int, target: Target) -> None:
        """Also if the published rule makes no measurement of a group of this width."""
        super().refuse(width, target)
        published_measurements(width, target.keep)

    def select(self, scores: Scores, group: Group) -> Indices:
        """Strictly below the quantile, unless the target is a count."""
        if group.target.count is not None:
            return super().select(scores, group)
        return below_quantile(scores.values, group.target.keep)


def _reconstruct(group: Group, phi: Array, psi: FastDct | Array, lam: float) -> Reconstruction:
    if group.solve is None:
        raise CompressionError("the method needs a solver; name one")
    try:
        return reconstruct(group.w_in, group.w_out, phi, psi, group.solve, lam)
    except SolverError as error:
        raise SolverError(f"λ {lam:g}: {error}") from error
