"""Matrices that stay where the network is: what is of the size of Φ or of the weights is not computed on the host.

Vectors, [m] or [m, k], are NumPy arrays wherever they come from. torch is imported when a function runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Array = NDArray[np.float64]
Home = Literal["host", "device"]
"""Where a method or a solver computes: on the host, or where the network is."""


class DeviceMatrix:
    """A float64 matrix [n, m] in a GPU's memory, as a factor: `phi @ a` and `y @ phi` are computed there.

    Their results are arrays. `numpy.asarray` copies the whole matrix to the host.
    """

    __array_ufunc__ = None  # so that NumPy leaves `y @ phi` to this class
    ndim = 2

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        """The matrix itself, as torch has it."""

    @classmethod
    def copied(cls, array: Array, device: torch.device) -> DeviceMatrix:
        """An array [n, m], copied to the device."""
        return cls(_placed(array, device))

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, m)."""
        return tuple(self.tensor.shape)

    @property
    def T(self) -> DeviceMatrix:  # noqa: N802 - as NumPy has it
        """The transpose [m, n], in the same memory."""
        return DeviceMatrix(self.tensor.mT)

    def __len__(self) -> int:
        return len(self.tensor)

    def __matmul__(self, x: Any) -> Array:
        """The product [n, …] with an array [m, …]."""
        if not isinstance(x, np.ndarray):
            return NotImplemented
        return _array(self.tensor @ _placed(x, self.tensor.device))

    def __rmatmul__(self, x: Array) -> Array:
        """The product [m] with an array [n]."""
        return self.T @ x

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return _array(self.tensor).astype(dtype or np.float64, copy=bool(copy))

    def max(self) -> float:
        """The largest entry; NaN if one is NaN."""
        return float(self.tensor.max())

    def min(self) -> float:
        """The smallest entry; NaN if one is NaN."""
        return float(self.tensor.min())

    def dct(self) -> DeviceMatrix:
        """The orthonormal DCT-I of the rows, m ≥ 2: the Fourier transform of each row and its mirror image."""
        import torch

        x, ends = self.tensor.clone(), slice(None, None, self.shape[1] - 1)
        x[:, ends] *= 2**0.5
        y = torch.fft.rfft(torch.cat((x, x[:, 1:-1].flip(1)), dim=1), norm="ortho").real
        y[:, ends] *= 0.5**0.5
        return DeviceMatrix(y.contiguous())


def summed(weights: Tensor, axes: tuple[int, ...]) -> Array:
    """The sum of weights over these axes, in float64."""
    import torch

    return _array(weights.sum(axes, dtype=torch.float64))


def _placed(array: NDArray[Any], device: torch.device) -> Tensor:
    import torch

    return torch.as_tensor(array, dtype=torch.float64, device=device)


def _array(tensor: Tensor) -> Array:
    found: Array = tensor.cpu().numpy()
    return found
