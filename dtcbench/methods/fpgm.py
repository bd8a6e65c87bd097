"""FPGM: a neuron's distance from the others is its score."""

from __future__ import annotations

import numpy as np

from dtcbench.dtc.selection import Group, Method, Scores
from dtcbench.errors import NonFiniteError
from dtcbench.registry import register_method


@register_method("fpgm")
class Fpgm(Method):
    """Drops the neurons nearest to the geometric median, as replaceable (He et al., CVPR 2019, arXiv 1811.00250)."""

    drop = "smallest"

    def scores(self, group: Group) -> Scores:
        """Σ_k ‖w_j − w_k‖₂ per neuron j over the incoming weights of all neurons k."""
        from scipy.spatial.distance import cdist

        weights = group.w_in.reshape(group.width, -1).astype(np.float64)
        if not np.isfinite(weights).all():
            raise NonFiniteError("weights are NaN or infinite; lower the learning rate")
        return Scores(cdist(weights, weights).sum(axis=1))
