"""Compressed sensing of a known vector: projections a, Φ, Ψ, Θ = Φ Ψ, y = Φ a, and the sparse reconstruction.

See docs/design.md, The mathematics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import scipy.fft
import scipy.fftpack
from numpy.typing import NDArray

from dtcbench.dtc.device import DeviceMatrix, summed
from dtcbench.errors import CompressionError, NonFiniteError, SolverError

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED_SEED = 42424242
"""The published code seeds NumPy's global generator with this before every draw."""

WIDEST_DENSE = 256
"""The widest layer whose Ψ is a dense matrix; the product takes half a millisecond there."""

Array = NDArray[np.float64]
Weights = NDArray[np.floating]
Solve = Callable[[Any, Array, float], Array]
"""A recovery solver: (Θ [n, m], y [n, k], λ) → s [m, k], per column argmin ‖Θ s − y‖² + λ ‖s‖₁. Θ is an array or a
DeviceMatrix."""


@dataclass(frozen=True)
class Reconstruction:
    """The sparse reconstructions of one group's two projections, and the measurements they come from."""

    a_in: Weights
    """[m]: per neuron, the sum of its incoming weights, in the weights' precision or in float64."""
    a_out: Weights
    """[m]: per neuron, the sum of its outgoing weights."""
    phi: Array
    """Φ [n, m]."""
    y: Array
    """[n, 2] = Φ a: incoming, outgoing."""
    s: Array
    """s* [m, 2]: the coefficients in the DCT basis."""
    x: Array
    """x* = Ψ s* [m, 2]: the reconstruction, in neuron space."""

    @property
    def coefficient_ray(self) -> Array:
        """s*_in + s*_out [m]; indexed by frequency, which the published code reads as neurons."""
        ray: Array = self.s[:, 0] + self.s[:, 1]
        return ray


class FastDct:
    """Ψ [m, m], the orthonormal DCT-I of any m ≥ 2, as a factor: `phi @ psi`, `psi @ s`.

    Never a dense matrix: a product takes m log m operations a vector, and differs from the dense one by rounding.
    """

    __array_ufunc__ = None  # so that NumPy leaves `phi @ psi` to this class

    @overload
    def __rmatmul__(self, phi: Array) -> Array: ...
    @overload
    def __rmatmul__(self, phi: DeviceMatrix) -> DeviceMatrix: ...
    def __rmatmul__(self, phi: Array | DeviceMatrix) -> Array | DeviceMatrix:
        """Φ Ψ [n, m] of Φ [n, m], computed where Φ is."""
        return phi.dct() if isinstance(phi, DeviceMatrix) else _dct(phi, axis=1)

    def __matmul__(self, s: Array) -> Array:
        """Ψ s [m, k] of s [m, k]."""
        return _dct(s, axis=0)


def reconstruct(
    w_in: Weights | Tensor, w_out: Weights | Tensor, phi: Array, psi: FastDct | Array, solve: Solve, lam: float
) -> Reconstruction:
    """Measure both projections with Φ [n, m] and recover them by one call of the solver.

    Of weights that are tensors, all this is computed on their device: Φ is copied there once, and the solver gets Θ as
    a DeviceMatrix. Only the vectors of a Reconstruction come back.

    Parameters
    ----------
    w_in, w_out : incoming weights [m, fan_in, …] and outgoing weights [fan_out, m, …], arrays or tensors
    psi : the basis; `dct_basis(m)` for the arithmetic of the published code, else `basis(m)`

    Raises
    ------
    NonFiniteError
        The weights are not finite.
    SolverError
        The solution does not have the shape [m, 2] or is not finite.
    """
    a_in, a_out = project(w_in, w_out)
    there = phi if isinstance(w_in, np.ndarray) else DeviceMatrix.copied(phi, w_in.device)
    theta = there @ psi
    y = measure(there, a_in, a_out)
    s = solve(theta, y, lam)
    expected = (len(a_in), 2)
    if np.shape(s) != expected:
        raise SolverError(f"the solver returned {'nothing' if s is None else f'shape {np.shape(s)}'}, not {expected}")
    if not np.isfinite(s).all():
        raise SolverError("the solver returned NaN or infinity")
    return Reconstruction(a_in, a_out, phi, y, s, psi @ s)


def project(w_in: Weights | Tensor, w_out: Weights | Tensor) -> tuple[Weights, Weights]:
    """a_in [m] and a_out [m] of incoming weights [m, fan_in, …] and outgoing weights [fan_out, m, …].

    Kernel axes of convolutions are summed too: arrays in their own precision, tensors in float64 where they are.
    NonFiniteError if the weights are not finite.
    """
    a_in = incoming_projection(w_in)
    a_out = _sum(w_out, (0, *range(2, w_out.ndim)))
    if not (np.isfinite(a_in).all() and np.isfinite(a_out).all()):
        raise NonFiniteError("weights are NaN or infinite; lower the learning rate")
    return a_in, a_out


def incoming_projection(w_in: Weights | Tensor) -> Weights:
    """a_in [m] of incoming weights [m, fan_in, …]."""
    return _sum(w_in, tuple(range(1, w_in.ndim)))


def _sum(weights: Weights | Tensor, axes: tuple[int, ...]) -> Weights:
    found: Weights = weights.sum(axis=axes) if isinstance(weights, np.ndarray) else summed(weights, axes)
    return found


def measure(phi: Array | DeviceMatrix, a_in: Weights, a_out: Weights) -> Array:
    """y [n, 2] = Φ a: the incoming measurement, then the outgoing one."""
    # Two matrix-vector products, not one matrix product, which would round differently.
    return np.column_stack([phi @ a_in, phi @ a_out])


def basis(m: int) -> FastDct | Array:
    """Ψ [m, m] as a factor: dense for a narrow layer, so that the neurons chosen there stay what they were.

    A ray of one or two coefficients is symmetric, |x[j]| = |x[m − 1 − j]|, and rounding decides which of the two goes.
    Wider layers have so many measurements that there are no such pairs.
    """
    return dct_basis(m) if m <= WIDEST_DENSE else FastDct()


def dct_basis(m: int) -> Array:
    """Ψ [m, m]: the orthonormal DCT-I as a dense matrix, computed as the published code does (scipy.fftpack)."""
    if m == 1:  # DCT-I is not defined for one point; its only orthonormal basis is
        return np.ones((1, 1))
    basis: Array = scipy.fftpack.dct(np.eye(m), type=1, norm="ortho", axis=0)
    return basis


def _dct(x: Array, axis: int) -> Array:
    """The orthonormal DCT-I along an axis; it is its own inverse and transpose."""
    transformed: Array = scipy.fft.dct(x, type=1, norm="ortho", axis=axis)
    return transformed


def published_phi(m: int, keep: float, draws: np.random.Generator | None = None) -> Array:
    """Φ [n, m] of the published code: the same draw at every call unless `draws` makes it.

    CompressionError if n is 0.
    """
    source = draws or np.random.RandomState(PUBLISHED_SEED)
    return source.normal(size=[published_measurements(m, keep), m])


def published_measurements(m: int, keep: float) -> int:
    """n = int(m · (1 − keep)), the published code's number of measurements.

    CompressionError if n is 0, which floating point decides: `int(10 * (1.0 - 0.9))` is 0.
    """
    n = int(m * (1.0 - keep))
    if n == 0:
        raise CompressionError(
            f"width {m} at keep {keep:g} leaves n = int({m} · (1 − {keep:g})) = 0 measurements; "
            "stop at a larger width or lower keep"
        )
    return n


def gaussian_phi(m: int, f: float, generator: np.random.Generator) -> Array:
    """Φ [n, m] with n = max(1, round(f · m)), drawn from the cell's own generator."""
    return generator.standard_normal((max(1, round(f * m)), m))  # `normal` gives the same bits in a third more time
