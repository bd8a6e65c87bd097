"""A layer's tomographic views: per neuron, the sum of its incoming and of its outgoing weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtcbench.dtc.errors import NonFiniteError


@dataclass(frozen=True)
class Projections:
    """Both views of one hidden group of width m (DESIGN §3), in the weights' own precision."""

    incoming: NDArray[np.floating]
    """a_in [m] = Σ_i W_in[j, i]."""
    outgoing: NDArray[np.floating]
    """a_out [m] = Σ_k W_out[k, j]."""


def project(w_in: NDArray[np.floating], w_out: NDArray[np.floating]) -> Projections:
    """Projections of incoming weights [m, fan_in, …] and outgoing weights [fan_out, m, …].

    Kernel axes of convolutions are summed too. NonFiniteError where the weights are not finite.
    """
    incoming = incoming_projection(w_in)
    outgoing = w_out.sum(axis=(0, *range(2, w_out.ndim)))
    if not (np.isfinite(incoming).all() and np.isfinite(outgoing).all()):
        raise NonFiniteError("weights are NaN or infinite; lower the learning rate")
    return Projections(incoming, outgoing)


def incoming_projection(w_in: NDArray[np.floating]) -> NDArray[np.floating]:
    """a_in [m] of incoming weights [m, fan_in, …]."""
    summed: NDArray[np.floating] = w_in.sum(axis=tuple(range(1, w_in.ndim)))
    return summed
