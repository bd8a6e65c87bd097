"""How random a layer is: Gibbs entropy of its measurement vectors, by the published estimator and by ours, and two
measures of complexity that do not depend on the number of measurements. And what the entropy of a Gaussian Φ's
measurement must be, by the number of measurements and the norm alone.

The published one (arXiv 2505.23869, supplement code) bins the measurements over ±50, drops what
falls outside, and takes log2 for the incoming but the natural logarithm for the outgoing vector.
Ours is in bits for both and covers every value. Both are bounded by log2 of the number of
measurements, which falls with every cycle: hence the normalised form.
"""

from __future__ import annotations

import functools
import math
import zlib
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, gammaln, ndtr, xlog1py, xlogy

from dtcbench.unavailable import Unavailable

Direction = Literal["incoming", "outgoing"]
DIRECTIONS: tuple[Direction, ...] = ("incoming", "outgoing")
BIN = 0.2
"""Width of a bin, in units of y."""
PUBLISHED_EDGES = np.arange(-50, 50, BIN)


def published_entropy(y: NDArray[np.float64], side: Direction) -> float | Unavailable:
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


_WIDEST = 8.5
"""Beyond this many standard deviations lies no draw."""
_CELLS = 4096
"""Of one side of 0, at most: more bins are taken in groups of equal probability."""


@functools.lru_cache(maxsize=2**16)
def expected_entropy(n: int, norm: float) -> float:
    """Expected entropy, in bits, of n draws of N(0, norm²) by `entropy_bits`: bins of 0.2 over all values.

    Exact but for grouping: the count of each bin is binomial, so it is the sum over bins of E[−(k/n) log2(k/n)].
    """
    if norm == 0:
        return 0.0
    bins = math.ceil(_WIDEST * norm / BIN)
    group = math.ceil(bins / _CELLS)
    edges = BIN * group * np.arange(math.ceil(bins / group) + 1)
    p = -np.diff(ndtr(-edges / norm)) / group  # of each bin in a group, on one side of 0
    return 2 * group * float(_summed(n, p)) / math.log(2)


def expected_published_entropy(n: int, norm: float, side: Direction) -> float:
    """Expected entropy of n draws of N(0, norm²) by the published estimator, given that a value lies within its bins.

    Bits if `side` is incoming, nats if outgoing. The number of values within the bins is binomial; given it, so is each
    bin's count.
    """
    p = np.diff(ndtr(PUBLISHED_EDGES / norm))
    inside = float(p.sum())
    within = np.arange(1, n + 1)
    weights = _binomial(within, n, inside)
    expected = sum(weight * _summed(int(k), p / inside) for k, weight in zip(within, weights, strict=True))
    return float(expected / weights.sum()) / (math.log(2) if side == "incoming" else 1.0)


def _summed(n: int, p: NDArray[np.float64]) -> float:
    """Σ over bins of probability p of E[−(k/n) ln(k/n)], k binomial of n draws; nats."""
    expected = 0.0
    for k in range(1, n + 1):
        pmf = _binomial(k, n, p)
        expected -= k / n * math.log(k / n) * float(pmf.sum())
        if k > n * p.max() and pmf.max() < 1e-18:
            break
    return expected


def _binomial(k: ArrayLike, n: int, p: ArrayLike) -> NDArray[np.float64]:
    """Probability of k of n draws."""
    ways = gammaln(n + 1) - gammaln(np.add(k, 1)) - gammaln(np.subtract(n + 1, k))
    found: NDArray[np.float64] = np.exp(ways + xlogy(k, p) + xlog1py(np.subtract(n, k), np.negative(p)))
    return found


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
