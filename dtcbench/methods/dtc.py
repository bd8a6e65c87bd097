"""Dual Tomographic Compression, ours and as published (M. Süzen, arXiv 2505.23869; DESIGN §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from dtcbench.dtc.errors import CompressionError, SolverError
from dtcbench.dtc.projections import project
from dtcbench.dtc.rays import Tomography, trace
from dtcbench.dtc.selection import Cut, Drop, Group, Kept, Method, Scores, below_quantile, left_below_quantile
from dtcbench.dtc.sensing import Array, gaussian_phi, published_measurements, published_phi, sensing
from dtcbench.registry import register_method

Lambda = Annotated[float, Field(gt=0)]


@register_method("dtc")
@dataclass(frozen=True, kw_only=True)
class Dtc(Method):
    """Scores neurons by the reconstruction's weight ray and drops the smallest."""

    uses_solver: ClassVar[bool] = True
    score: Literal["reconstruction", "coefficients"] = "reconstruction"
    """The ray in neuron space, or in the DCT basis as published."""
    drop: Drop = "smallest"
    lam: Lambda = 0.3
    """λ of the recovery."""
    f: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Measurements per neuron: n = max(1, round(f · m))."""
    sides: Literal["both", "incoming", "outgoing"] = "both"
    """The whole weight ray, or one of its two parts alone."""

    def scores(self, group: Group) -> Scores:
        """|weight ray| per neuron."""
        tomography = _trace(group, gaussian_phi(group.width, self.f, group.generator), self.lam)
        parts = tomography.reconstruction if self.score == "reconstruction" else tomography.coefficients
        columns = {"both": [0, 1], "incoming": [0], "outgoing": [1]}[self.sides]
        return Scores(np.abs(parts[:, columns].sum(axis=1)), tomography)


@register_method("shuffled")
@dataclass(frozen=True, kw_only=True)
class Shuffled(Dtc):
    """DTC's scores dealt out to the neurons at random: whether it matters which neuron has which."""

    def scores(self, group: Group) -> Scores:
        """A permutation of DTC's scores, drawn after them."""
        traced = super().scores(group)
        return Scores(group.generator.permutation(traced.values), traced.tomography)


@register_method("dtc-published")
@dataclass(frozen=True, kw_only=True)
class PublishedDtc(Method):
    """The published code: coefficient-space ray, fixed Φ, the largest dropped by a strict quantile.

    It takes what the solver returns: the duality gap of an answer is not verified, as it is for every other method.
    """

    uses_solver: ClassVar[bool] = True
    verifies_solver: ClassVar[bool] = False
    drop = "largest"  # without an annotation, and so no option
    lam: Lambda = 0.3
    """λ of the recovery."""

    def scores(self, group: Group) -> Scores:
        """|s*_in + s*_out|, a frequency's index taken for a neuron's."""
        tomography = _trace(group, published_phi(group.width, group.cut.keep), self.lam)
        return Scores(np.abs(tomography.coefficient_ray), tomography)

    def left(self, width: int, cut: Cut) -> int:
        """By the strict quantile, unless an exact count is asked for."""
        return left_below_quantile(width, cut)

    def refuse(self, width: int, cut: Cut) -> None:
        """Also where the published rule measures nothing of such a width."""
        super().refuse(width, cut)
        published_measurements(width, cut.keep)

    def select(self, scores: Scores, group: Group) -> Kept:
        """Strictly below the quantile, unless an exact count is asked for."""
        if group.cut.count is not None:
            return super().select(scores, group)
        return below_quantile(scores.values, group.cut.keep)


def _trace(group: Group, phi: Array, lam: float) -> Tomography:
    if group.solve is None:
        raise CompressionError("the method needs a solver and the cell names none")
    try:
        return trace(project(group.w_in, group.w_out), sensing(phi), group.solve, lam)
    except SolverError as error:
        raise SolverError(f"λ {lam:g}: {error}") from error
