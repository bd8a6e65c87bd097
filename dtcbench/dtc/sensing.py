"""Compressed sensing of a known vector: Φ, Ψ, Θ = Φ Ψ and y = Φ a (DESIGN §3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fftpack
from numpy.typing import NDArray

from dtcbench.dtc.errors import NoMeasurementError
from dtcbench.dtc.projections import Projections

PUBLISHED_SEED = 42424242
"""The published code seeds NumPy's global generator with this before every draw."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sensing:
    """The linear operators that measure a group of width m with n rows."""

    phi: Array
    """Φ [n, m], Gaussian."""
    psi: Array
    """Ψ [m, m], orthonormal DCT-I."""
    theta: Array
    """Θ = Φ Ψ [n, m]."""

    def measure(self, projections: Projections) -> Array:
        """y [n, 2] = Φ a: the incoming measurement, then the outgoing one."""
        # Two matrix-vector products, not one matrix product, which would round differently.
        return np.column_stack([self.phi @ projections.incoming, self.phi @ projections.outgoing])


def sensing(phi: Array) -> Sensing:
    """The operators that belong to a measurement matrix Φ [n, m]."""
    psi = dct_basis(phi.shape[1])
    return Sensing(phi, psi, phi @ psi)


def dct_basis(m: int) -> Array:
    """Ψ [m, m]: the orthonormal DCT-I, computed as the published code does (scipy.fftpack)."""
    if m == 1:  # DCT-I is not defined for one point; its only orthonormal basis is
        return np.ones((1, 1))
    basis: Array = scipy.fftpack.dct(np.eye(m), type=1, norm="ortho", axis=0)
    return basis


def published_phi(m: int, keep: float) -> Array:
    """Φ [n, m] of the published code, the same draw at every call; NoMeasurementError where n is 0."""
    return np.random.RandomState(PUBLISHED_SEED).normal(size=[published_measurements(m, keep), m])


def published_measurements(m: int, keep: float) -> int:
    """n = int(m · (1 − keep)), the published code's number of measurements.

    NoMeasurementError where it is 0, which floating point decides: `int(10 * (1.0 - 0.9))` is 0.
    """
    n = int(m * (1.0 - keep))
    if n == 0:
        raise NoMeasurementError(
            f"width {m} at keep {keep:g} leaves n = int({m} · (1 − {keep:g})) = 0 measurements; "
            "stop at a larger width or lower keep"
        )
    return n


def gaussian_phi(m: int, f: float, generator: np.random.Generator) -> Array:
    """Φ [n, m] with n = max(1, round(f · m)), from the cell's own generator."""
    return generator.normal(size=(max(1, round(f * m)), m))
