"""Weight rays: the sparse reconstructions that score a layer's neurons (DESIGN §3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dtcbench.dtc.errors import SolverError
from dtcbench.dtc.projections import Projections
from dtcbench.dtc.sensing import Array, Sensing

Solve = Callable[[Array, Array, float], Array]
"""A recovery solver: (Θ [n, m], y [n, k], λ) → s [m, k], per column argmin ‖Θ s − y‖² + λ ‖s‖₁."""


@dataclass(frozen=True)
class Tomography:
    """Both reconstructions of one group, and the measurements they rest on."""

    phi: Array
    """Φ [n, m]."""
    projections: Projections
    """What was measured."""
    y: Array
    """[n, 2]: incoming, outgoing."""
    coefficients: Array
    """s* [m, 2] in the DCT basis."""
    reconstruction: Array
    """x* = Ψ s* [m, 2], in neuron space."""

    @property
    def coefficient_ray(self) -> Array:
        """s*_in + s*_out [m]; indexed by frequency, which the published code reads as neurons."""
        ray: Array = self.coefficients[:, 0] + self.coefficients[:, 1]
        return ray


def trace(projections: Projections, sensing: Sensing, solve: Solve, lam: float) -> Tomography:
    """Measure both projections and recover them with one call of the solver.

    SolverError where the solution has not the shape [m, 2] or is not finite.
    """
    y = sensing.measure(projections)
    s = solve(sensing.theta, y, lam)
    expected = (sensing.theta.shape[1], 2)
    if s.shape != expected:
        raise SolverError(f"the solver returned shape {s.shape}, not {expected}")
    if not np.isfinite(s).all():
        raise SolverError("the solver returned NaN or infinity")
    return Tomography(sensing.phi, projections, y, s, sensing.psi @ s)
