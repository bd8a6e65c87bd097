"""Gibbs entropy of measurement vectors: the published estimator, and ours.

The published one (arXiv 2505.23869, supplement code) bins the measurements over ±50, drops what
falls outside, and takes log2 for the incoming but the natural logarithm for the outgoing vector.
Ours is in bits for both and covers every value. Both are bounded by log2 of the number of
measurements, which falls with every cycle: hence the normalised form.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy

BIN = 0.2
"""Width of a bin, in units of y."""
PUBLISHED_EDGES = np.arange(-50, 50, BIN)


def published_entropy(y: NDArray[np.float64], side: Literal["incoming", "outgoing"]) -> float:
    """Entropy of y [n] by the published estimator: bits if incoming, nats if outgoing.

    NaN where no value falls inside ±50, as in the published code.
    """
    counts, _ = np.histogram(y, bins=PUBLISHED_EDGES)
    if counts.sum() == 0:
        return math.nan
    return float(entropy(counts, base=2 if side == "incoming" else None))


def entropy_bits(y: NDArray[np.float64]) -> float:
    """Entropy of y [n] in bits, over bins of 0.2 that cover every value."""
    # Bins are counted, not laid out: one far value must not cost memory.
    _, counts = np.unique(np.floor(y / BIN), return_counts=True)
    return float(entropy(counts, base=2))


def normalised_entropy(y: NDArray[np.float64]) -> float:
    """`entropy_bits(y) / log2(n)`, between 0 and 1; NaN for a single measurement, whose bound is 0."""
    return entropy_bits(y) / math.log2(len(y)) if len(y) > 1 else math.nan
