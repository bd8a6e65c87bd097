"""Seeds until decided: how often it errs, and how many seeds it saves.

    python benchmarks/sequential.py

Differences in accuracy are normal, in units of their standard deviation over seeds. A family is three sparsities of
one method against four others, seed by seed: its comparisons share that method and the seeds.
"""

from __future__ import annotations

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import power, stats
from dtcbench.analysis.sequential import Looks

LOOKS = Looks(first=5, step=5, most=40)
EFFECTS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
FAMILIES = 4000
SINGLE = 20_000
IMAGES = 1000
MARGINS = (0.5, 1.0, 1.5)
MOST_POWER = 0.99
"""No fixed number of seeds finds an effect always."""


def family(effects: NDArray[np.float64], draws: int, purpose: str) -> NDArray[np.float64]:
    """Paired differences `[draws, comparisons, seeds]` of one method minus others, with these effects `[comparisons]`.

    The shared method makes any two of them correlated by 1/2.
    """
    rng = stats.generator(purpose)
    shared = rng.normal(size=(draws, 1, LOOKS.most))
    own = rng.normal(size=(draws, len(effects), LOOKS.most))
    return (shared - own) / np.sqrt(2) + effects[:, None]


def nominal(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Student's p at each look, `[…, looks]`, of differences `[…, seeds]`."""
    found = [scipy.stats.ttest_1samp(differences[..., :n], 0.0, axis=-1).pvalue for n in LOOKS.sizes]
    return np.stack(found, axis=-1)


def until_decided(p: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.int_]]:
    """Which comparisons of a family are decided, and the seeds of each, from nominal `p` `[comparisons, looks]`."""
    of_look = [[LOOKS.p_value([np.nan] * look + [value]) for look, value in enumerate(row)] for row in p]
    overall = np.minimum.accumulate(of_look, axis=1)  # [comparisons, looks], of all looks so far
    every = np.arange(len(p))
    last = np.zeros(len(p), dtype=int)
    decided = np.zeros(len(p), dtype=bool)
    for look in range(len(LOOKS.sizes)):
        last[~decided] = look
        decided |= stats.holm(overall[every, last]) <= stats.SIGNIFICANCE
    return decided, np.array(LOOKS.sizes)[last]


def families() -> None:
    """False verdicts, power and seeds of whole families, all without an effect, or some with one."""
    print("a family of 12 comparisons, Holm at 5 %")
    print(f"{'true effects':>34}  false verdict   found  seeds a comparison  fixed 40: false, found")
    for label, effects in {
        "none": np.zeros(12),
        "6 of 1 standard deviation": np.repeat([0.0, 1.0], 6),
        "3 of 2, 3 of 0.5, 6 none": np.repeat([0.0, 0.5, 2.0], [6, 3, 3]),
        "11 of 1, one none": np.repeat([0.0, 1.0], [1, 11]),
    }.items():
        p = nominal(family(effects, FAMILIES, f"sequential benchmark: {label}"))
        outcomes = [until_decided(of_one) for of_one in p]
        decided, seeds = (np.stack(part) for part in zip(*outcomes, strict=True))
        fixed = np.stack([stats.holm(of_one[:, -1]) for of_one in p]) <= stats.SIGNIFICANCE
        is_null = effects == 0
        rates = [
            f"{100 * one[:, is_null].any(axis=1).mean():.1f} %  {_share(one[:, ~is_null])}" for one in (decided, fixed)
        ]
        print(f"{label:>34}  {rates[0]:>20}  {seeds.mean():>18.1f}  {rates[1]:>22}")


def _share(found: NDArray[np.bool_]) -> str:
    return f"{100 * found.mean():.1f} %" if found.size else "-"


def single() -> None:
    """One comparison: power and mean seeds against those of fixed numbers of seeds."""
    print("\none comparison, effects in standard deviations; `equal`: a fixed number of seeds that finds it as often")
    print("effect  decided  seeds  fixed 40  equal  saved against 40, against equal")
    for effect in (0.0, *EFFECTS):
        rng = stats.generator(f"sequential benchmark: effect {effect:g}")
        p = nominal(rng.normal(size=(SINGLE, LOOKS.most)) + effect)
        share, seeds = _first_crossing(p)
        fixed = (p[:, -1] <= stats.SIGNIFICANCE).mean()
        equal = power.seeds_to_detect(1.0, effect, power=min(share, MOST_POWER)) if effect else LOOKS.most
        saved = f"{100 * (1 - seeds / LOOKS.most):.0f} %, {100 * (1 - seeds / equal):.0f} %"
        print(f"{effect:>6g}  {100 * share:>5.1f} %  {seeds:>5.1f}  {100 * fixed:>6.1f} %  {equal:>5}  {saved:>12}")


def equivalence() -> None:
    """One comparison without an effect, by two one-sided tests against a margin."""
    print("\none comparison without an effect, shown to be within a margin of so many standard deviations")
    for margin in MARGINS:
        x = stats.generator(f"sequential benchmark: margin {margin:g}").normal(size=(SINGLE, LOOKS.most))
        one_sided = [
            np.maximum(
                scipy.stats.ttest_1samp(x[:, :n], margin, axis=1, alternative="less").pvalue,
                scipy.stats.ttest_1samp(x[:, :n], -margin, axis=1, alternative="greater").pvalue,
            )
            for n in LOOKS.sizes
        ]
        share, seeds = _first_crossing(2 * np.stack(one_sided, axis=1))
        print(f"{margin:>6g}  {100 * share:>5.1f} %  {seeds:>5.1f}")


def images() -> None:
    """No effect, and test images that favour one side: over all looks, seeds and images crossed."""
    print("\nno effect, but images that favour a side, by the crossed interval at each look: false verdicts")
    for number, by_image, by_seed in ((360, 0.25, 0.005), (360, 0.1, 0.01), (2000, 0.0, 0.01)):
        rng = stats.generator(f"sequential benchmark: images {number} {by_image}")
        false = 0
        for _ in range(IMAGES):
            lean = rng.normal(0, by_image, number) + rng.normal(0, by_seed, (LOOKS.most, 1))  # mean of a difference
            differs = np.minimum(0.05 + np.abs(lean), 1.0)
            ours = rng.random(lean.shape) < (1 + lean / differs) / 2
            table = np.where(rng.random(lean.shape) < differs, np.where(ours, 1.0, -1.0), 0.0)
            false += LOOKS.p_value(stats.p_of([stats.crossed_estimate(table[:n]) for n in LOOKS.sizes])) <= 0.05
        print(f"{number:>6} images, {by_image:g} by image, {by_seed:g} by seed: {100 * false / IMAGES:.1f} %")


def signs() -> None:
    """No effect, and a sign test at each look, as until a target accuracy."""
    ours = stats.generator("sequential benchmark: signs").integers(0, 2, (IMAGES, LOOKS.most)).cumsum(axis=1)
    p = np.array([[scipy.stats.binomtest(int(row[n - 1]), n).pvalue for n in LOOKS.sizes] for row in ours])
    print(f"\nno effect, sign tests: false verdicts {100 * np.mean([LOOKS.p_value(row) <= 0.05 for row in p]):.1f} %")


def _first_crossing(p: NDArray[np.float64]) -> tuple[float, float]:
    """The share of sequences that are decided at some look, and the mean seeds, from nominal `p` `[draws, looks]`."""
    crossed = p <= LOOKS.levels()
    decided = crossed.any(axis=1)
    seeds = np.where(decided, np.array(LOOKS.sizes)[crossed.argmax(axis=1)], LOOKS.most)
    return float(decided.mean()), float(seeds.mean())


if __name__ == "__main__":
    levels = ", ".join(f"{100 * level:.2f}" for level in LOOKS.levels())
    print(f"levels at {LOOKS.sizes} seeds: {levels} %\n")
    families()
    single()
    equivalence()
    images()
    signs()
