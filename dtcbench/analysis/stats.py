"""Statistics over seeds: means, intervals, paired tests, and corrections for many of them.

Nothing here imputes: a value that is not finite is left out. If too few values remain for an interval or
a test, the reason says so. Every result is independent of the order of its input.
docs/statistics.md has every formula with its source.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.special
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from dtcbench.text import count_of

CONFIDENCE = 0.95
MIN_SEEDS = 3
"""Fewer seeds than this get no interval and no test."""
SIGNIFICANCE = 0.05
"""A p-value of at most this is significant."""
MARGIN_SHARE = 0.2
"""A table calls a row equivalent to dense within this share of dense's error: one point is a fifth of the error at
95 % accuracy, and half of it at 98 %."""
ROUNDING = 1e-9
"""Accuracies are fractions of counts: values that differ by less are equal up to rounding."""


Alternative = Literal["two-sided", "less", "greater"]


@dataclass(frozen=True)
class Estimate:
    """A mean and how far its sources of variance, seeds or seeds and test images, leave it open."""

    mean: float
    """NaN without any value."""
    interval: tuple[float, float] | None
    """Lower and upper end of Student's t interval, of 95 % unless asked otherwise."""
    reason: str | None
    """Why the interval is missing; None with an interval."""
    error: float = math.nan
    """The standard error of the mean; NaN without an interval."""
    dof: float = math.nan
    """The degrees of freedom of t; NaN without an interval."""

    @property
    def low(self) -> float:
        """Lower end, NaN without an interval."""
        return self.interval[0] if self.interval else math.nan

    @property
    def high(self) -> float:
        """Upper end, NaN without an interval."""
        return self.interval[1] if self.interval else math.nan


def generator(purpose: str) -> np.random.Generator:
    """The generator of one purpose: the same values always give the same numbers."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big"))


def mean(values: Iterable[float]) -> float:
    """Mean of the finite `values`, correctly rounded; NaN without any."""
    finite = _finite(values)
    if not finite.size:
        return math.nan
    # Dividing can round the mean of equal values just past them.
    return float(np.clip(math.fsum(finite) / finite.size, finite[0], finite[-1]))


def mean_estimate(values: Iterable[float], *, confidence: float = CONFIDENCE, of: str = "seed") -> Estimate:
    """Mean of `values`, one per seed, and Student's t interval: the one of tables, verdicts and tests.

    `of` is what one value stands for, in the reason given when there are fewer than three. Source: Student, Biometrika
    6, 1-25, 1908; equals `scipy.stats.ttest_1samp(…).confidence_interval`.
    """
    finite = _finite(values)
    centre = mean(finite)
    if (why := _undetermined(finite, of)) is not None:
        return Estimate(centre, None, f"{why}: no interval")
    return t_interval(centre, _spread(finite, centre) / math.sqrt(finite.size), finite.size - 1, confidence)


def with_error(estimate: Estimate, error: float, *, confidence: float = CONFIDENCE) -> Estimate:
    """The estimate with a known standard `error` besides its own: one that all values may share, so that no number of
    them averages it out. Without an interval, or for an unknown `error`, it stays.

    The squares add, and the degrees of freedom are Welch and Satterthwaite's (JCGM 100:2008, G.4.1): those of a known
    error are without end.
    """
    if estimate.interval is None or math.isnan(error):
        return estimate
    both = math.hypot(estimate.error, error)
    return t_interval(estimate.mean, both, estimate.dof * (both / estimate.error) ** 4, confidence)


def untested(values: Iterable[float], *, of: str = "seed") -> str | None:
    """Why a t-test cannot take `values`, one per seed: too few, or all equal. None if it can."""
    why = _undetermined(_finite(values), of)
    return None if why is None else f"{why}: no test"


def crossed_estimate(differences: ArrayLike, *, confidence: float = CONFIDENCE, of: str = "seed") -> Estimate:
    """Mean of paired `differences` [seeds, images] between two methods' hits, with both sources of variance.

    The same test images are in every seed, so seeds and images are crossed: d_ij = μ + seed_i + image_j + rest_ij. The
    variance of the mean is (M_seeds + M_images − M_rest) / (seeds · images), of the mean squares of a two-way analysis
    of variance, and never less than that of the seeds or of the images alone; the degrees of freedom are
    Satterthwaite's. So the interval also holds for other images and other seeds. Sources: Miller, arXiv 2411.00640,
    2024 (test questions as a sample, paired differences); Owen, Annals of Applied Statistics 1, 386-411, 2007 (crossed
    effects); Satterthwaite, Biometrics Bulletin 2, 110-114, 1946.

    ValueError for differences that are not a table of numbers.
    """
    table = np.asarray(differences, dtype=float)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError("crossed differences must be a finite table [seeds, images]")
    seeds, images = table.shape
    # Differences of hits are whole numbers: their sums are exact in any order.
    of_seed, of_image = table.sum(axis=1), table.sum(axis=0)
    centre = float(of_seed.sum()) / table.size
    if (why := _undetermined(np.sort(of_seed) / images, of)) is not None:
        return Estimate(centre, None, f"{why}: no interval")
    if images < MIN_SEEDS:
        return Estimate(centre, None, f"{count_of(images, 'image')}: no interval")
    grand = float(of_seed.sum()) ** 2 / table.size
    by_seed = float(np.square(of_seed).sum()) / images - grand
    by_image = float(np.square(of_image).sum()) / seeds - grand
    rest = float(np.square(table).sum()) - grand - by_seed - by_image
    dofs = (seeds - 1, images - 1, (seeds - 1) * (images - 1))
    m_seeds, m_images, m_rest = (max(s, 0.0) / dof for s, dof in zip((by_seed, by_image, rest), dofs, strict=True))
    both = m_seeds + m_images - m_rest
    candidates = (
        (both, both**2 / (m_seeds**2 / dofs[0] + m_images**2 / dofs[1] + m_rest**2 / dofs[2])),
        (m_seeds, dofs[0]),
        (m_images, dofs[1]),
    )
    variance, dof = max(candidates)
    return t_interval(centre, math.sqrt(variance / table.size), dof, confidence)


def p_of(
    estimates: Sequence[Estimate], null: ArrayLike = 0.0, *, alternative: Alternative = "two-sided"
) -> NDArray[np.float64]:
    """Per estimate, the p-value of "its mean is `null`" by Student's t; NaN for one without an interval."""
    means, errors, dofs = (np.array([getattr(e, name) for e in estimates], float) for name in ("mean", "error", "dof"))
    t = (means - np.asarray(null, dtype=float)) / errors
    if alternative == "two-sided":
        found = 2 * scipy.special.stdtr(dofs, -np.abs(t))
    else:
        found = scipy.special.stdtr(dofs, t if alternative == "less" else -t)
    return np.asarray(found, dtype=float)


def equivalence_p_of(estimates: Sequence[Estimate], margin: ArrayLike) -> NDArray[np.float64]:
    """Per estimate of a difference, the p-value of "its mean is `margin` or more away from 0".

    A small one shows equivalence. The larger of two one-sided t-tests: Schuirmann, J. Pharmacokinet. Biopharm. 15,
    657-680, 1987. `margin` is one for all, or one each; NaN is no margin and gives no p-value. ValueError for a margin
    that is not positive.
    """
    margins = np.asarray(margin, dtype=float)
    if (margins <= 0).any() or (margins.ndim == 0 and math.isnan(margins)):
        raise ValueError(f"an equivalence margin must be positive, got {np.min(margins):g}")
    above = p_of(estimates, -margins, alternative="greater")
    below = p_of(estimates, margins, alternative="less")
    return np.maximum(above, below)


def p_values(
    samples: Sequence[Iterable[float]], *, null: float = 0.0, alternative: Alternative = "two-sided"
) -> NDArray[np.float64]:
    """Per sample of paired differences, one per seed, the p-value of "their mean is `null`".

    NaN where `untested` says why. Student's t-test; equals `scipy.stats.ttest_1samp`.
    """
    return p_of([mean_estimate(sample) for sample in samples], null, alternative=alternative)


def holm(p: ArrayLike, units: ArrayLike | None = None) -> NDArray[np.float64]:
    """The p-values of a claim's comparisons, adjusted for their number; NaN is not a comparison and stays NaN.

    Holm, Scandinavian Journal of Statistics 6, 65-70, 1979: it controls the probability of even one false comparison,
    however they depend on each other. Equals `statsmodels.stats.multitest.multipletests`, which collects garbage at
    every call, a fifth of a second. Null hypotheses that share one of `units` exclude each other, such as "no
    difference" and "a difference of the margin or more": of them at most one is true, and they count as one (Shaffer,
    J. American Statistical Association 81, 826-831, 1986).
    """
    known_units = np.arange(np.size(p)) if units is None else np.asarray(units)
    known_units = known_units[np.isfinite(np.asarray(p, dtype=float))]

    def steps(known: NDArray[np.float64]) -> NDArray[np.float64]:
        order = np.argsort(known, kind="stable")
        left = [np.unique(known_units[order[place:]]).size for place in range(known.size)]
        raised = np.maximum.accumulate(known[order] * left)
        return np.minimum(raised, 1.0)[np.argsort(order, kind="stable")]

    return _adjusted(p, steps)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """The p-values of a table's comparisons, adjusted for their number; NaN is not a comparison and stays NaN.

    Benjamini and Hochberg, J. Royal Statistical Society B 57, 289-300, 1995, by `scipy.stats.false_discovery_control`:
    it controls the expected share of false ones among the significant, also for rows that share their dense cells
    (simulated: docs/statistics.md).
    """
    return _adjusted(p, scipy.stats.false_discovery_control)


def geometric_mean(ratios: Iterable[float]) -> float:
    """Geometric mean of the finite `ratios`; NaN without any. ValueError for one that is not positive."""
    return math.exp(mean(_logarithms(ratios)))


def geometric_mean_estimate(ratios: Iterable[float], *, confidence: float = CONFIDENCE, of: str = "seed") -> Estimate:
    """Geometric mean of `ratios`, one per pair, with Student's t interval of the mean log ratio, taken back.

    ValueError for a ratio that is not positive.
    """
    return exponential(mean_estimate(_logarithms(ratios), confidence=confidence, of=of))


def exponential(logs: Estimate) -> Estimate:
    """The estimate of a geometric mean from that of the mean log ratio."""
    interval = (math.exp(logs.low), math.exp(logs.high)) if logs.interval else None
    return Estimate(math.exp(logs.mean), interval, logs.reason)


def _logarithms(ratios: Iterable[float]) -> NDArray[np.float64]:
    finite = _finite(ratios)
    if (finite <= 0).any():
        raise ValueError(f"ratios must be positive, got {finite[0]:g}")
    return np.log(finite)


def _finite(values: Iterable[float]) -> NDArray[np.float64]:
    """The finite values, sorted."""
    array = np.asarray(list(values), dtype=float)
    return np.sort(array[np.isfinite(array)])


def _undetermined(values: NDArray[np.float64], of: str) -> str | None:
    """Why sorted `values` leave their spread open: too few, or all equal."""
    if values.size < MIN_SEEDS:
        return count_of(values.size, of)
    # If all are equal up to rounding, t would divide by a spread of 0 and call any difference certain.
    return f"equal in all {of}s" if values[-1] - values[0] < ROUNDING else None


def _squares(values: NDArray[np.float64], centre: float) -> float:
    """The sum of squared deviations of sorted `values`, correctly rounded."""
    return math.fsum(np.square(values - centre))


def _spread(values: NDArray[np.float64], centre: float) -> float:
    """The standard deviation of sorted `values`."""
    return math.sqrt(_squares(values, centre) / (values.size - 1))


def t_interval(centre: float, error: float, dof: float, confidence: float) -> Estimate:
    """Student's t interval of a mean with this standard error."""
    half = _quantile(dof, confidence) * error
    return Estimate(centre, (centre - half, centre + half), None, error, dof)


@functools.lru_cache(maxsize=4096)
def _quantile(dof: float, confidence: float) -> float:
    """Of Student's t: so many standard errors to either side hold `confidence`."""
    return float(scipy.special.stdtrit(dof, (1 + confidence) / 2))


def _adjusted(p: ArrayLike, correct: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    values = np.array(p, dtype=float)
    known = np.isfinite(values)
    if known.any():
        values[known] = correct(values[known])
    return values
