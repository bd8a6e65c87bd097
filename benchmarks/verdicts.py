"""How often the statistics of the tables and claims err, and what they find: the figures of docs/statistics.md.

    python benchmarks/verdicts.py

Each line is one simulation from a fixed generator, on worlds whose truth is known: coverage of the intervals,
false discoveries of a table whose rows share their dense cells, false comparisons of a claim, pooling over pairs, seeds
crossed with test images, power. It takes a minute on one core; the errors of the figures are half a point and less.
"""

from __future__ import annotations

import itertools
import math
import platform
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import energy_columns, power, random_effects, saving, stats
from dtcbench.analysis.pairing import METER, Rows
from dtcbench.analysis.verdicts import MIN_SEEDS
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.use import spread as over_windows
from dtcbench.plan.claim import WayOfUse
from dtcbench.plan.metering import Using

DRAWS = 2000
FINISHED_SEEDS = (3, 5, 6)
QUANTISATION = 0.02
"""Bound of the error of joules, relative: repeats are added until it is at most this (docs/energy.md)."""


def share(of: Callable[[np.random.Generator], float], purpose: str, draws: int = DRAWS) -> str:
    """The mean over draws of `of`, in per cent."""
    rng = stats.generator(purpose)
    return f"{100 * np.mean([of(rng) for _ in range(draws)]):5.1f} %"


def holds(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def student(seeds: int) -> Callable[[np.random.Generator], float]:
    return lambda rng: holds(stats.mean_estimate(rng.normal(0, 1, seeds)).interval, 0.0)


def bootstrap(seeds: int) -> Callable[[np.random.Generator], float]:
    """The percentile bootstrap, which tables had before."""

    def covered(rng: np.random.Generator) -> float:
        values = rng.normal(0, 1, seeds)
        means = values[rng.integers(0, seeds, (2000, seeds))].mean(axis=1)
        return holds(tuple(np.quantile(means, [0.025, 0.975])), 0.0)

    return covered


def table(true: NDArray[np.float64], shared: float) -> Callable[[np.random.Generator], NDArray[np.float64]]:
    """P-values over five seeds of rows with `true` differences to dense, whose cells make `shared` of the variance."""

    def drawn(rng: np.random.Generator) -> NDArray[np.float64]:
        own = rng.normal(0, math.sqrt(1 - shared), (len(true), 5))
        return stats.p_values(true[:, None] + own - rng.normal(0, math.sqrt(shared), 5))

    return drawn


def false_discoveries(true: NDArray[np.float64], shared: float) -> Callable[[np.random.Generator], float]:
    """The share of false ones among a table's significant rows."""
    drawn = table(true, shared)

    def of(rng: np.random.Generator) -> float:
        found = stats.benjamini_hochberg(drawn(rng)) <= stats.SIGNIFICANCE
        return (found & (true == 0)).sum() / max(found.sum(), 1)

    return of


def any_false(true: NDArray[np.float64], shared: float) -> Callable[[np.random.Generator], float]:
    """Whether a claim has a false comparison among its significant ones."""
    drawn = table(true, shared)
    return lambda rng: ((stats.holm(drawn(rng)) <= stats.SIGNIFICANCE) & (true == 0)).any()


def pooled_coverage(pairs: int, seeds: int, between: float) -> Callable[[np.random.Generator], float]:
    """Pairs whose spreads over seeds differ tenfold, and whose true effects differ by `between`."""
    spreads = np.geomspace(0.3, 3, pairs)

    def of(rng: np.random.Generator) -> float:
        values = rng.normal(0, between, (pairs, 1)) + rng.normal(0, 1, (pairs, seeds)) * spreads[:, None]
        return holds(random_effects.pooled(values.mean(axis=1), values.var(axis=1, ddof=1) / seeds).interval, 0.0)

    return of


DATA_SETS = {
    "8 pairs on 5 data sets": np.array([0, 1, 1, 1, 2, 2, 3, 4]),
    "13 pairs on 9 data sets": np.array([0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8]),
}
"""The data set of each pair of the suite `claims`: in its first run, and since."""


def shared_data(data_sets: NDArray[np.int_], shared: float, by_data: bool) -> Callable[[np.random.Generator], float]:
    """Pairs of which a share of the variance between them is their data set's: a false difference, by pair or data."""
    count = np.bincount(data_sets)
    pairs = len(data_sets)

    def of(rng: np.random.Generator) -> float:
        of_data = rng.normal(0, math.sqrt(shared), len(count))[data_sets]
        of_pair = rng.normal(0, math.sqrt(1 - shared), pairs)
        values = (of_data + of_pair)[:, None] + rng.normal(0, 1, (pairs, 5))
        means, variances = values.mean(axis=1), values.var(axis=1, ddof=1) / 5
        if by_data:
            means = np.bincount(data_sets, means) / count
            variances = np.bincount(data_sets, variances) / count**2
        return random_effects.pooled(means, variances).p <= stats.SIGNIFICANCE

    return of


def hits(rng: np.random.Generator, seeds: int, images: int, by_seed: float, by_image: float) -> NDArray[np.int8]:
    """Differences of hits of two equally good methods: right if ability + ease of the image + chance is above 0."""
    ease = rng.normal(1.6, 1, images)  # about 87 % right

    def side() -> NDArray[np.bool_]:
        own = rng.normal(0, by_image, images)
        ability = rng.normal(0, by_seed, (seeds, 1))
        return ability + ease + own + rng.normal(0, 0.6, (seeds, images)) > 0

    first, second = side(), side()
    return first.astype(np.int8) - second


def crossed_coverage(
    seeds: int, images: int, by_seed: float, by_image: float, estimate: Callable[[NDArray[np.int8]], stats.Estimate]
) -> Callable[[np.random.Generator], float]:
    """Both methods are equally good over all seeds and images: the true difference is 0."""
    return lambda rng: holds(estimate(hits(rng, seeds, images, by_seed, by_image)).interval, 0.0)


def of_seeds(differences: NDArray[np.int8]) -> stats.Estimate:
    return stats.mean_estimate(differences.mean(axis=1))


def power_at(seeds: int, times: float) -> Callable[[np.random.Generator], float]:
    """Whether a test finds so many times what it is said to detect."""
    true = times * power.detectable(1.0, seeds)
    return lambda rng: bool(stats.p_values([rng.normal(true, 1, seeds)])[0] <= stats.SIGNIFICANCE)


def of_shared_data() -> Iterator[str]:
    yield "Pooled without a difference, seeds as noisy as pairs differ: false differences"
    for name, data_sets in DATA_SETS.items():
        for part in (0.0, 0.5, 1.0):
            of_pairs, of_data = (
                share(shared_data(data_sets, part, by), f"shared data {part} {by}", 1000) for by in (False, True)
            )
            yield f"  {name}, {100 * part:.0f} % of what pairs differ by is their data's: {of_pairs}, by data {of_data}"


def energy(
    seeds: int, spread: float, shared: bool, *, meter: bool = True, saved: float = 0.0
) -> Callable[[np.random.Generator], float]:
    """Whether the interval of the mean log ratio of joules holds "as many as dense", if `saved` is the truth.

    The bound of each side's quantisation is `QUANTISATION`, the sum of two uniform errors, which each pair has by
    itself or all share; `meter` says whether the interval takes it in.
    """

    def covered(rng: np.random.Generator) -> float:
        edges = rng.uniform(-QUANTISATION / 2, QUANTISATION / 2, (2, 2, 1 if shared else seeds)).sum(axis=0)
        found = stats.mean_estimate(math.log(1 - saved) + rng.normal(0, spread, seeds) + edges[0] - edges[1])
        return holds(stats.with_error(found, QUANTISATION / math.sqrt(3) if meter else 0.0).interval, 0.0)

    return covered


ALIKE = {"of each window": (), "alike in a cell's windows": (3,), "alike in all windows": (2, 3)}
"""How edges of windows fall on the refreshes: the axes of [draws, sides, seeds, windows] along which they are equal."""


def in_use(seeds: int, spread: float, noise: float, alike: tuple[int, ...], draws: int = 1000) -> list[stats.Estimate]:
    """Per draw the mean log ratio of joules of use, where none are saved, by the code that judges claims.

    Over seeds the ratio varies by `spread`, over windows joules vary by `noise`, and each window has at its edges the
    sum of two uniform errors of up to half a refresh, equal along the axes `alike`.
    """
    using, way, rng = Using(), WayOfUse(), stats.generator(f"in use {seeds} {spread} {noise} {alike}")
    shape = (draws, 2, seeds, using.windows)
    half, of_edges = REFRESH_S / using.window / 2, [1 if axis in alike else size for axis, size in enumerate(shape)]
    edges = rng.uniform(-half, half, (2, *of_edges)).sum(axis=0)
    networks = np.exp(rng.normal(0, spread / math.sqrt(2), (*shape[:3], 1)))
    windows = (networks * (1 + edges) * (1 + rng.normal(0, noise, shape))).reshape(-1, using.windows)
    found = [over_windows(joules) for joules in windows.tolist()]
    use = pd.DataFrame(dict.fromkeys(saving.OF_USE, ""), index=range(len(found))).assign(
        key=range(len(found)),
        widths="pruned",
        mode=way.mode,
        batch_size=way.batch_size,
        passes=1000,
        throughput=1000 * way.batch_size / using.window,
        energy_j=[one.median for one in found],
        energy_low_j=[one.low for one in found],
        energy_high_j=[one.high for one in found],
    )
    lacking = ["energy_j", "energy_method", "energy_scope", "energy_reason", "energy_flags", *METER]
    cells = saving.as_used(pd.DataFrame({"key": use["key"], **dict.fromkeys(lacking)}), use, way)
    sides = [cells[name].to_numpy().reshape(shape[:3]) for name in ("energy_j", *METER)]
    pairs = {
        f"{name}{end}": values[:, side].ravel()
        for name, values in zip(("energy_j", *METER), sides, strict=True)
        for side, end in enumerate(("", "_baseline"))
    }
    pairs |= dict.fromkeys(("hardware_class", "hardware_class_baseline"), np.full(draws * seeds, "one"))
    return [energy_columns.log_ratio(Rows(pairs, rows)) for rows in np.arange(draws * seeds).reshape(draws, seeds)]


def of_use() -> Iterator[str]:
    using = Using()
    yield (
        f"Ratios of joules of use over {MIN_SEEDS} seeds, {using.windows} windows of {using.window:g} s: coverage, and "
        "savings of 5 % found"
    )
    for spread, noise, (words, alike) in itertools.product((0.0005, 0.01), (0.002, 0.02), ALIKE.items()):
        intervals = [one.interval for one in in_use(MIN_SEEDS, spread, noise, alike)]
        covered = np.mean([holds(one, 0.0) for one in intervals])
        # A saving shifts the logarithms, and changes nothing else.
        found = np.mean([one is not None and one[1] + math.log(0.95) < 0 for one in intervals])
        yield (
            f"  seeds vary by {100 * spread:g} %, windows by {100 * noise:g} %, edges {words}: {100 * covered:5.1f} %; "
            f"found {100 * found:.1f} %"
        )


def lines() -> Iterator[str]:
    yield "Coverage of 95 % intervals of the mean"
    for seeds in FINISHED_SEEDS:
        t, resampled = share(student(seeds), f"t {seeds}"), share(bootstrap(seeds), f"bootstrap {seeds}")
        yield f"  {seeds} seeds: t {t}, percentile bootstrap {resampled}"
    yield "Tables: false share of the significant rows by Benjamini and Hochberg, 18 rows, 5 seeds"
    for effects in (0, 6, 12):
        for common in (0.0, 0.5, 0.9):
            true = np.where(np.arange(18) < effects, 2.5, 0.0)
            found = share(false_discoveries(true, common), f"bh {effects} {common}")
            yield f"  {effects:2d} true differences, {100 * common:.0f} % of the variance dense's: {found}"
    yield "Claims: any false comparison by Holm, 18 comparisons, 5 seeds"
    for effects in (0, 6, 12):
        true = np.where(np.arange(18) < effects, 2.5, 0.0)
        found = share(any_false(true, 0.5), f"holm {effects}")
        yield f"  {effects:2d} true differences, half of the variance dense's: {found}"
    yield "Pooled over 8 pairs: coverage"
    for seeds in (5, 10, 40):
        for between in (0.0, 0.5, 2.0):
            found = share(pooled_coverage(8, seeds, between), f"pooled {seeds} {between}")
            yield f"  {seeds:2d} seeds, true effects vary by {between:g}: {found}"
    yield from of_shared_data()
    yield "Seeds crossed with images: coverage for other seeds and other images"
    for seeds, images, by_seed, by_image in (
        (5, 360, 0.1, 0.3),
        (5, 2000, 0.1, 0.3),
        (5, 2000, 0.1, 0.0),
        (10, 360, 0.1, 0.3),
    ):
        both, alone = (
            share(crossed_coverage(seeds, images, by_seed, by_image, e), f"crossed {seeds} {images} {by_image}", 1000)
            for e in (stats.crossed_estimate, of_seeds)
        )
        kind = "methods err on images of their own" if by_image else "no image favours a method"
        yield f"  {seeds} seeds × {images} images, {kind}: both sources {both}, seeds alone {alone}"
    yield f"Ratios of joules, both sides quantised by {100 * QUANTISATION:g} %: coverage, and savings of 5 % found"
    for seeds in FINISHED_SEEDS:
        for spread in (0.0005, 0.01):
            for shared in (False, True):
                with_meter, alone = (
                    share(energy(seeds, spread, shared, meter=m), f"energy {seeds} {spread} {shared}")
                    for m in (True, False)
                )
                kept = share(energy(seeds, spread, shared, saved=0.05), f"saved {seeds} {spread} {shared}")
                found = f"{100 - float(kept.split()[0]):.1f} %"
                kind = "shared by all pairs" if shared else "of each pair"
                yield (
                    f"  {seeds} seeds that vary by {100 * spread:g} %, errors {kind}: with the meter's {with_meter}, "
                    f"seeds alone {alone}; found {found}"
                )
    yield from of_use()
    yield "Power: tests that find what they are said to detect with 80 %"
    for seeds in FINISHED_SEEDS:
        whole, half = (share(power_at(seeds, times), f"power {seeds} {times}") for times in (1.0, 0.5))
        yield f"  {seeds} seeds: {whole}, half as large a difference {half}"


def main() -> None:
    print(
        f"{platform.machine()}, Python {platform.python_version()}, scipy {scipy.__version__}, {DRAWS} draws a figure"
    )
    for line in lines():
        print(line, flush=True)


if __name__ == "__main__":
    main()
