"""How random a layer is: Gibbs entropy of its measurement vectors, by the published estimator and by ours, and two
measures of complexity that do not depend on the number of measurements.

The published one (arXiv 2505.23869, supplement code) bins the measurements over ±50, drops what
falls outside, and takes log2 for the incoming but the natural logarithm for the outgoing vector.
Ours is in bits for both and covers every value. Both are bounded by log2 of the number of
measurements, which falls with every cycle: hence the normalised form.
"""

from __future__ import annotations

import math
import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from dtcbench.unavailable import Unavailable

BIN = 0.2
"""Width of a bin, in units of y."""
PUBLISHED_EDGES = np.arange(-50, 50, BIN)


def published_entropy(y: NDArray[np.float64], side: Literal["incoming", "outgoing"]) -> float | Unavailable:
    """Entropy of y [n] by the published estimator: bits if incoming, nats if outgoing.

    Unavailable if no value falls inside ±50, for which the published code gives NaN.
    """
    counts, _ = np.histogram(y, bins=PUBLISHED_EDGES)
    if counts.sum() == 0:
        return Unavailable("NaN: no measurement lies within ±50, the published histogram's range")
    return _entropy(counts, base=2 if side == "incoming" else math.e)


def entropy_bits(y: NDArray[np.float64]) -> float:
    """Entropy of y [n] in bits, over bins of 0.2 that cover every value."""
    # Bins are counted, not laid out: one far value must not cost memory.
    _, counts = np.unique(np.floor(y / BIN), return_counts=True)
    return _entropy(counts, base=2)


def _entropy(counts: NDArray[np.int64], base: float) -> float:
    """`scipy.stats.entropy` to the last bit, in a tenth of its time: a cell computes hundreds of them."""
    return float(entr(counts / counts.sum()).sum()) / math.log(base)


def normalised_entropy(y: NDArray[np.float64]) -> float | Unavailable:
    """`entropy_bits(y) / log2(n)`, between 0 and 1; Unavailable for a single measurement."""
    if len(y) < 2:
        return Unavailable("one measurement bounds the entropy by log2 1 = 0")
    return entropy_bits(y) / math.log2(len(y))


_LEVELS = 256
_MOST_WEIGHTS = 2**20
"""Of a larger layer, evenly spread neurons stand for all: zlib takes some 30 ns a weight, seen on an EPYC."""


def compressed_bits(weights: NDArray[np.floating]) -> float:
    """Bits per weight that DEFLATE (zlib, level 9) makes of `weights` [m, …], quantised to 256 equal steps over
    their range: an upper bound, up to a constant, on the algorithmic complexity of the quantised weights.

    Source: Li and Vitányi, An Introduction to Kolmogorov Complexity and Its Applications, 2008, chapter 8.
    """
    stride = max(1, math.ceil(weights.size / _MOST_WEIGHTS))
    chosen = weights[::stride]
    low, high = chosen.min(), chosen.max()
    steps = (chosen - low) / (high - low) * (_LEVELS - 1) if high > low else np.zeros_like(chosen)
    return 8 * len(zlib.compress(np.rint(steps).astype(np.uint8).tobytes(), level=9)) / chosen.size


def lempel_ziv(values: NDArray[np.floating]) -> float | Unavailable:
    """Normalised Lempel-Ziv complexity of `values` [n], read as above or not above their median: c · log2(n) / n.

    c is the number of phrases in the exhaustive history: about 1 for coin tosses, towards 0 for order. Unavailable
    for one value. Source: Lempel and Ziv, IEEE Trans. Inf. Theory 22, 1976, equation 1; counted as by Kaspar and
    Schuster, Phys. Rev. A 36, 1987.
    """
    n = len(values)
    if n < 2:
        return Unavailable("one neuron has no order")
    text = (values > np.median(values)).astype(np.uint8).tobytes()
    phrases, begin = 0, 0
    while begin < n:
        length = 1
        # A phrase is the shortest one that does not stand in what comes before its last symbol.
        while begin + length <= n and text.find(text[begin : begin + length], 0, begin + length - 1) >= 0:
            length += 1
        phrases, begin = phrases + 1, begin + length
    return phrases * math.log2(n) / n
