"""Error rates and power of the rules for the published curves and for the entropy law, by simulation.

    python benchmarks/reproduction_and_entropy.py

Prints how often 34-level curves are refuted that are ours, and that are shifted; then the verdicts on entropy in worlds
where accuracy follows the norm of the projection, its pattern, or measurements that break the law. About a minute.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.correlation import mean_correlation, partial_correlation
from dtcbench.analysis.entropy_law import MIN_MEASUREMENTS, POWERS, STRONG
from dtcbench.analysis.rank_test import maximal_departures, rank_p_values
from dtcbench.entropy import entropy_bits, expected_entropy

LEVELS, CURVES, DRAWS = 34, 3, 400
WIDTHS = [512]
while len(WIDTHS) < LEVELS:
    WIDTHS.append(math.ceil(0.9 * WIDTHS[-1]) - 1)


def refuted(n: int, shift: float, everywhere: bool) -> float:
    """Share of draws in which the first curve, shifted by so many standard deviations, is refuted among n others."""
    rng, count = stats.generator("rank test of published curves"), 0
    for _ in range(DRAWS):
        curves = rng.normal(size=(CURVES, LEVELS, n + 1))
        curves[0, slice(None) if everywhere else 20, 0] += shift
        p = rank_p_values(np.stack([maximal_departures(curve) for curve in curves]))
        count += bool((p if not shift else p[:1]).min() <= stats.SIGNIFICANCE + stats.ROUNDING)
    return count / DRAWS


def correlations(kind: str, seed: int) -> float:
    """The residual's correlation with accuracy in one network's 34 cycles."""
    rng = np.random.default_rng(seed)
    rows = [_cycle(kind, m, rng) for m in WIDTHS]
    n, residual, accuracy = np.array([row for row in rows if row[0] >= MIN_MEASUREMENTS]).T
    return partial_correlation(residual, accuracy, np.log2(n), POWERS)


def _cycle(kind: str, m: int, rng: np.random.Generator) -> tuple[int, float, float]:
    n, wave = max(1, int(0.1 * m)), rng.normal()
    share = 1 / (1 + math.exp(-wave)) if kind == "pattern" else 0.5
    a: NDArray[np.float64] = rng.normal(size=m) * (rng.random(m) < max(share, 2 / m)) + 1e-9
    a *= 5 * math.exp(0.4 * (wave if kind == "norm" else rng.normal())) / np.linalg.norm(a)
    y = rng.normal(size=(n, m)) @ a
    if kind == "broken law":
        y[rng.random(n) < 1 / (1 + math.exp(2 * wave))] = 0.01
    accuracy = 0.9 + 0.02 * math.log2(m) + 0.01 * wave + rng.normal(0, 0.002)
    return n, entropy_bits(y) - expected_entropy(n, float(np.linalg.norm(a))), accuracy


def main() -> None:
    print("published curves: refuted")
    for n in (19, 39):
        print(f"  {n} other seeds, ours: {refuted(n, 0.0, everywhere=False):.3f}")
        for shift in (4.0, 6.0, 8.0):
            print(f"    one level, {shift:g} sd: {refuted(n, shift, everywhere=False):.2f}")
        for shift in (1.0, 2.0, 3.0):
            print(f"    every level, {shift:g} sd: {refuted(n, shift, everywhere=True):.2f}")
    for kind in ("norm", "pattern", "broken law"):
        drawn = np.array([correlations(kind, seed) for seed in range(1000)])
        for n in (5, 10):
            verdicts: Counter[str] = Counter()
            for sample in drawn.reshape(-1, n):
                found = mean_correlation(sample)
                says = "refuted" if found.high < STRONG else "above 0.5" if found.low >= STRONG else "undecided"
                verdicts[says] += 1
            print(f"entropy, accuracy follows {kind}, {n} seeds: mean r {drawn.mean():+.3f}; {dict(verdicts)}")


if __name__ == "__main__":
    main()
