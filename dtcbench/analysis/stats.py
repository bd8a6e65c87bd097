"""Statistics over seeds: means, intervals, paired tests, corrections for many of them, power, and pooling.

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
import scipy.optimize
import scipy.special
import scipy.stats
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
MIN_SEEDS = 3
"""Fewer seeds than this get no interval and no test."""
SIGNIFICANCE = 0.05
"""A p-value of at most this is significant."""
POWER = 0.8
"""A difference that a test could have shown is one that it finds with this probability: Cohen's convention."""
MARGIN = 0.01
"""Accuracies this close, one percentage point, are called equivalent."""
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
    return _t(centre, _spread(finite, centre) / math.sqrt(finite.size), finite.size - 1, confidence)


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
        return Estimate(centre, None, f"{_count(images, 'image')}: no interval")
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
    return _t(centre, math.sqrt(variance / table.size), dof, confidence)


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


def equivalence_p_of(estimates: Sequence[Estimate], margin: ArrayLike = MARGIN) -> NDArray[np.float64]:
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


def equivalence_p_values(samples: Sequence[Iterable[float]], margin: ArrayLike = MARGIN) -> NDArray[np.float64]:
    """`equivalence_p_of` of samples of paired differences, one per seed."""
    return equivalence_p_of([mean_estimate(sample) for sample in samples], margin)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """The p-values of a claim's comparisons, adjusted for their number; NaN is not a comparison and stays NaN.

    Holm, Scandinavian Journal of Statistics 6, 65-70, 1979: it controls the probability of even one false comparison,
    however they depend on each other. Equals `statsmodels.stats.multitest.multipletests`, which collects garbage at
    every call, a fifth of a second.
    """

    def steps(known: NDArray[np.float64]) -> NDArray[np.float64]:
        order = np.argsort(known, kind="stable")
        raised = np.maximum.accumulate(known[order] * np.arange(known.size, 0, -1))
        return np.minimum(raised, 1.0)[np.argsort(order, kind="stable")]

    return _adjusted(p, steps)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """The p-values of a table's comparisons, adjusted for their number; NaN is not a comparison and stays NaN.

    Benjamini and Hochberg, J. Royal Statistical Society B 57, 289-300, 1995, by `scipy.stats.false_discovery_control`:
    it controls the expected share of false ones among the significant, also for rows that share their dense cells
    (simulated: docs/statistics.md).
    """
    return _adjusted(p, scipy.stats.false_discovery_control)


def detectable(
    sd: float, n: int, *, alpha: float = SIGNIFICANCE, power: float = POWER, images_error: float = 0.0
) -> float:
    """The smallest true mean difference that a two-sided paired t-test on `n` pairs finds with probability `power`.

    `sd` is the standard deviation of the paired differences, and the result has its unit. `images_error` is the
    standard error that the test images alone leave, if they are a source of the test's variance. NaN for fewer than
    three pairs or an unknown `sd`. Source: `statsmodels.stats.power.TTestPower` (noncentral t).
    """
    if n < MIN_SEEDS or not math.isfinite(sd):
        return math.nan
    return math.hypot(sd * _detectable_effect(n, alpha, power), _normal_effect(alpha, power) * images_error)


def seeds_to_detect(
    sd: float, difference: float, *, alpha: float = SIGNIFICANCE, power: float = POWER, images_error: float = 0.0
) -> int:
    """The fewest pairs, at least three, whose `detectable` is at most `difference`.

    ValueError for a `difference` that is not positive, that the test images alone hide from any number of pairs, or an
    `sd` that is not known.
    """
    normal = _normal_effect(alpha, power)
    if not (difference > normal * images_error and math.isfinite(sd)):
        raise ValueError(f"no number of pairs shows a difference of {difference:g} with a spread of {sd:g}")
    by_seeds = math.sqrt(difference**2 - (normal * images_error) ** 2)
    n = max(MIN_SEEDS, math.floor((normal * sd / by_seeds) ** 2))  # t needs at least as many as the normal law
    while _detectable_effect(n, alpha, power) * sd > by_seeds:
        n += 1
    return n


@dataclass(frozen=True)
class Pooled:
    """The mean effect over pairs of network and data, and how much the effect differs between them."""

    mean: float
    """NaN without any pair."""
    interval: tuple[float, float] | None
    """None with `reason`."""
    p: float
    """Of "the mean over all such pairs is `null`"; NaN without an interval."""
    between_sd: float
    """Standard deviation of the true effects between pairs; NaN without an interval."""
    pairs: int
    reason: str | None
    """Why there is no interval; None with one."""


def pooled(means: ArrayLike, variances: ArrayLike, *, null: float = 0.0, confidence: float = CONFIDENCE) -> Pooled:
    """The mean effect over pairs of network and data, from each pair's mean and the variance of that mean, [pairs].

    A random-effects model: the true effect of a pair varies around the mean over all such pairs, and each pair's own
    mean around that. Variance between pairs by Paule and Mandel, J. Res. NBS 87, 377-385, 1982; standard error by
    Hartung and Knapp, Statistics in Medicine 20, 3875-3889, 2001, never less than with the scale 1; both by
    `statsmodels.stats.meta_analysis.combine_effects`. t has one degree of freedom less than the effective number of
    pairs, (Σ w)² / Σ w² of the weights w (Kish, Survey Sampling, 1965), not than the pairs: one with a small spread can
    weigh as much as all others, and then the interval held the mean in 92 of 100 cases. Fewer than three pairs, or a
    pair whose variance is 0 (equal in all seeds), give no interval. ValueError for what are no means and variances.
    """
    table = np.array([np.ravel(means), np.ravel(variances)], dtype=float)  # [2, pairs]; ValueError for two lengths
    if not np.isfinite(table).all() or (table[1] < 0).any():
        raise ValueError("a pair's mean and variance must be finite, and the variance not negative")
    table = table[:, np.lexsort(table[::-1])]
    pairs = table.shape[1]
    centre = mean(table[0])
    if pairs < MIN_SEEDS:
        return Pooled(centre, None, math.nan, math.nan, pairs, f"{_count(pairs, 'pair')}: no pooled interval")
    if (table[1] < ROUNDING**2).any():
        return Pooled(centre, None, math.nan, math.nan, pairs, "a pair is equal in all seeds: no pooled interval")
    from statsmodels.stats.meta_analysis import combine_effects  # takes seconds to import

    fit = combine_effects(table[0], table[1], method_re="pm")
    error = _rounded(fit.sd_eff_w_re * math.sqrt(max(1.0, fit.scale_hksj_re)))
    effective = _rounded(1 / np.square(fit.weights_rel_re).sum())
    centre = _rounded(fit.mean_effect_re)
    estimate = _t(centre, error, max(effective - 1, 1.0), confidence)
    p = float(p_of([estimate], null)[0])
    return Pooled(centre, estimate.interval, p, math.sqrt(_rounded(fit.tau2)), pairs, None)


def geometric_mean(ratios: Iterable[float]) -> float:
    """Geometric mean of the finite `ratios`; NaN without any. ValueError for one that is not positive."""
    return math.exp(mean(_logarithms(ratios)))


def geometric_mean_estimate(ratios: Iterable[float], *, confidence: float = CONFIDENCE, of: str = "seed") -> Estimate:
    """Geometric mean of `ratios`, one per pair, with Student's t interval of the mean log ratio, taken back.

    ValueError for a ratio that is not positive.
    """
    logs = mean_estimate(_logarithms(ratios), confidence=confidence, of=of)
    interval = (math.exp(logs.low), math.exp(logs.high)) if logs.interval else None
    return Estimate(math.exp(logs.mean), interval, logs.reason)


def _count(number: int, of: str) -> str:
    return f"{number} {of}" + ("" if number == 1 else "s")


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
        return _count(values.size, of)
    # If all are equal up to rounding, t would divide by a spread of 0 and call any difference certain.
    return f"equal in all {of}s" if values[-1] - values[0] < ROUNDING else None


def _squares(values: NDArray[np.float64], centre: float) -> float:
    """The sum of squared deviations of sorted `values`, correctly rounded."""
    return math.fsum(np.square(values - centre))


def _spread(values: NDArray[np.float64], centre: float) -> float:
    """The standard deviation of sorted `values`."""
    return math.sqrt(_squares(values, centre) / (values.size - 1))


def _t(centre: float, error: float, dof: float, confidence: float) -> Estimate:
    """Student's t interval."""
    half = _quantile(dof, confidence) * error
    return Estimate(centre, (centre - half, centre + half), None, error, dof)


@functools.lru_cache(maxsize=4096)
def _quantile(dof: float, confidence: float) -> float:
    """Of Student's t: so many standard errors to either side hold `confidence`."""
    return float(scipy.special.stdtrit(dof, (1 + confidence) / 2))


@functools.cache
def _detectable_effect(n: int, alpha: float, power: float) -> float:
    """`detectable` in standard deviations."""
    from statsmodels.stats.power import TTestPower  # takes a second to import

    def beyond(effect: float) -> float:
        # Significance on the wrong side adds less than 1e-6, and is not a number for some effects.
        return float(TTestPower().power(effect, n, alpha / 2, alternative="larger")) - power

    high = 1 / math.sqrt(n)
    while beyond(high) < 0:
        high *= 1.25  # not far past the root, where the noncentral t overflows
    # Its own solver can stop at five digits.
    return float(scipy.optimize.brentq(beyond, 0.0, high, xtol=1e-12))


def _normal_effect(alpha: float, power: float) -> float:
    """The detectable difference in standard errors, where the error is known."""
    return float(scipy.special.ndtri(1 - alpha / 2) + scipy.special.ndtri(power))


def _adjusted(p: ArrayLike, correct: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    values = np.array(p, dtype=float)
    known = np.isfinite(values)
    if known.any():
        values[known] = correct(values[known])
    return values


def _rounded(value: float) -> float:
    """To twelve digits: the sums of a library round as the machine's linear algebra does."""
    return float(f"{value:.12g}")
