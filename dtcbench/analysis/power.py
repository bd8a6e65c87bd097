"""Power: what a paired t-test on so many seeds could have shown, and the seeds that a difference takes."""

from __future__ import annotations

import functools
import math

import scipy.optimize
import scipy.special

from dtcbench.analysis.stats import MIN_SEEDS, SIGNIFICANCE

POWER = 0.8
"""A difference that a test could have shown is one that it finds with this probability: Cohen's convention."""
POINT = 0.01
"""One percentage point of accuracy."""
MOST_SEEDS = 10_000
"""More seeds than this are not told apart."""


def detectable(
    sd: float, n: int, *, alpha: float = SIGNIFICANCE, power: float = POWER, images_error: float = 0.0
) -> float:
    """The smallest true mean difference that a two-sided paired t-test on `n` pairs finds with probability `power`.

    `sd` is the standard deviation of the paired differences, and the result has its unit. `images_error` is the
    standard error that the test images alone leave, if they are a source of the test's variance. NaN for fewer than
    three pairs or an unknown `sd`. Equals `statsmodels.stats.power.TTestPower`, which takes a second to import.
    """
    if n < MIN_SEEDS or not math.isfinite(sd):
        return math.nan
    return math.hypot(sd * _detectable_effect(n, alpha, power), _normal_effect(alpha, power) * images_error)


def seeds_to_detect(
    sd: float, difference: float, *, alpha: float = SIGNIFICANCE, power: float = POWER, images_error: float = 0.0
) -> int | None:
    """The fewest pairs, at least three, whose `detectable` is at most `difference`.

    None where up to `MOST_SEEDS` are not enough: also for a `difference` that is not positive, one that the test images
    alone hide from any number of pairs, or an `sd` that is not known.
    """
    normal = _normal_effect(alpha, power)
    if not (difference > normal * images_error and math.isfinite(sd)):
        return None
    by_seeds = math.sqrt(difference**2 - (normal * images_error) ** 2)
    least = (normal * sd / by_seeds) ** 2  # t needs at least as many as the normal law
    if least > MOST_SEEDS:
        return None
    n = max(MIN_SEEDS, math.floor(least))
    while _detectable_effect(n, alpha, power) * sd > by_seeds:
        n += 1
    return n if n <= MOST_SEEDS else None


@functools.lru_cache(maxsize=4096)
def found_errors(dof: float, alpha: float = SIGNIFICANCE, power: float = POWER) -> float:
    """How many of its standard errors a true mean must be from 0 for a two-sided t-test to find it so often.

    By the noncentral t distribution. `dof`, the degrees of freedom, need not be whole.
    """
    bound = float(scipy.special.stdtrit(dof, 1 - alpha / 2))

    def beyond(errors: float) -> float:
        # Significance on the wrong side adds less than 1e-6.
        return 1 - float(scipy.special.nctdtr(dof, errors, bound)) - power

    high = 1.0
    while beyond(high) < 0:
        high *= 1.25
    return float(scipy.optimize.brentq(beyond, 0.0, high, xtol=1e-12))


def _detectable_effect(n: int, alpha: float, power: float) -> float:
    """`detectable` in standard deviations."""
    return found_errors(n - 1, alpha, power) / math.sqrt(n)


def _normal_effect(alpha: float, power: float) -> float:
    """The detectable difference in standard errors, where the error is known."""
    return float(scipy.special.ndtri(1 - alpha / 2) + scipy.special.ndtri(power))
