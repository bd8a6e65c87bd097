"""Neurons whose incoming weights vary least are dropped."""

import numpy as np

from dtcbench.dtc.selection import Method, Scores
from dtcbench.registry import methods


@methods.register("variance")
class Variance(Method):
    """Drops the neurons whose incoming weights have the smallest variance."""

    drop = "smallest"

    def __init__(self, *, power: float = 1.0):
        self.power = power

    def scores(self, group):
        """Variance per neuron over its incoming weights."""
        return Scores(group.w_in.reshape(group.width, -1).astype(np.float64).var(axis=1) ** self.power)
