"""HRank: the rank of a channel's feature map is its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dtcbench.dtc.selection import Group, Method, Scores
from dtcbench.errors import CompressionError, NonFiniteError
from dtcbench.registry import register_method


@register_method("hrank")
@dataclass(frozen=True, kw_only=True)
class HRank(Method):
    """Drops the channels whose feature maps have the lowest average rank (Lin et al., CVPR 2020, arXiv 2002.10179).

    Theirs is the mean over samples of Rank(o[j, :, :]). The maps are those that the next layer reads, after
    normalisation, activation and pooling. A neuron without a map has rank 1 where it is not 0. They choose how much of
    each layer goes by hand; here it is the same share of every group.
    """

    drop = "smallest"
    samples: Annotated[int, Field(gt=0)] = 500
    """Number of training samples used in each compression: theirs."""

    @property
    def activation_samples(self) -> int:  # type: ignore[override]
        """The option `samples`."""
        return self.samples

    def observe(self, activations: NDArray[np.floating]) -> NDArray[np.floating]:
        """The rank of each sample's and channel's map [b, m]; of [b, m, T] and [b, m], that of one row."""
        if not np.isfinite(activations).all():
            raise NonFiniteError("activations are NaN or infinite; lower the learning rate")
        samples, width, *grid = activations.shape
        rows, columns = (grid[0], -1) if len(grid) > 1 else (1, -1)
        ranks: NDArray[np.int64] = np.linalg.matrix_rank(activations.reshape(samples, width, rows, columns))
        return ranks.astype(np.float64)

    def scores(self, group: Group) -> Scores:
        """Mean rank over the samples per neuron."""
        if group.activations is None:
            raise CompressionError("no layer reads the group's activations one by one; choose another method")
        return Scores(group.activations.mean(axis=0))
