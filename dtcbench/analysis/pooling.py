"""The mean over pairs of network and data: what `average` claims rest on.

Every pair counts once, whatever number of sparsities it has: per seed the mean over these, then per pair the mean over
seeds, then the mean over pairs by random effects. So the interval speaks of other networks and data of this kind.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.differences import difference
from dtcbench.analysis.evidence import Evidence, scores
from dtcbench.analysis.power import MOST_SEEDS, POINT, found_errors
from dtcbench.analysis.random_effects import MIN_PAIRS, Pooled, pooled
from dtcbench.analysis.rivals import Pair
from dtcbench.analysis.verdicts import MIN_SEEDS, Comparison, Effect, Verdict, lacks_seeds
from dtcbench.plan.claim import TO_TARGET, Claim
from dtcbench.text import count_of

MIN_NETWORKS_OF_SIGNS = 6
"""Of fewer pairs, no sign-flip test can be significant: 2 / 2⁵ is 6 %."""
_MOSTLY = 10
"""If the variance between pairs is so many times that of their seeds, more seeds change nothing."""
_MOST_PAIRS = 1000


def of_all(claim: Claim, pairs: Sequence[Pair]) -> Evidence:
    """What all pairs of arms say together; they are not empty."""
    where = f"mean over {_count(len(_networks(pairs)))}"
    keys = tuple(dict.fromkeys(key for pair in pairs for key in pair.ok().keys))
    seeds = min(len(pair.ok().ours) for pair in pairs)
    bars = dict.fromkeys(why for pair in pairs if (why := pair.obstacle(claim.estimand.equal)))
    if bars:
        needed = MIN_SEEDS - seeds if seeds < MIN_SEEDS and all(map(lacks_seeds, bars)) else None
        return Evidence(
            Comparison(where, Verdict.UNDECIDED, "; ".join(bars), seeds=seeds, cells=keys, seeds_needed=needed)
        )
    if claim.estimand.quantity in TO_TARGET:
        return _of_signs(claim, pairs, Comparison(where, Verdict.UNDECIDED, "", seeds=seeds, cells=keys))
    return _of_accuracies(claim, pairs, Comparison(where, Verdict.UNDECIDED, "", seeds=seeds, cells=keys))


def _networks(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs of arms by their network and data."""
    ordered = sorted(pairs, key=lambda pair: pair.network)
    return [list(same) for _, same in groupby(ordered, key=lambda pair: pair.network)]


def _count(networks: int) -> str:
    return f"{count_of(networks, 'pair')} of network and data"


def _per_seed(networks: Sequence[Sequence[Pair]], scale: Sequence[float]) -> list[NDArray[np.float64]]:
    """Per network, the differences over `scale`, seed by seed, each the mean over the network's places."""
    return [
        np.mean([_on(difference(*pair.ok().accuracies).values, pair, _shared(places)) for pair in places], axis=0) / by
        for places, by in zip(networks, scale, strict=True)
    ]


def _shared(places: Sequence[Pair]) -> NDArray[np.int_]:
    """The seeds that all places have."""
    return reduce(np.intersect1d, [pair.ok().seeds for pair in places])


def _on(values: NDArray[np.float64], pair: Pair, seeds: NDArray[np.int_]) -> NDArray[np.float64]:
    return values[np.isin(pair.ok().seeds, seeds)]


def _of_accuracies(claim: Claim, pairs: Sequence[Pair], empty: Comparison) -> Evidence:
    networks = _networks(pairs)
    if (fewest := min(len(_shared(places)) for places in networks)) < MIN_SEEDS:
        return Evidence(replace(empty, reason=f"{fewest} seeds that all sparsities of a pair share: five are needed"))
    plain = _per_seed(networks, [1.0] * len(networks))
    errors = [stats.mean(pair.dense_error for pair in places) for places in networks]
    found = _pooled(plain, claim.alpha)
    effects = [Effect("difference in accuracy", found.mean, *(found.interval or ()))]
    of_data, seeds = _by_data(networks, plain), min(map(len, plain))
    by_data = of_data and pooled(of_data[0], of_data[1] / seeds, confidence=1 - claim.alpha)
    if of_data and by_data:
        name = f"the same, each of {count_of(len(of_data[0]), 'data set')} counted once"
        effects.append(Effect(name, by_data.mean, *(by_data.interval or ())))
    margin = claim.margin.of(stats.mean(errors)) if claim.margin else math.nan
    shown = replace(empty, effects=tuple(effects), margin=margin, reason=_too_few(len(networks)) or found.reason or "")
    if shown.reason:
        return Evidence(shown)
    smallest = claim.smallest_effect.of(stats.mean(errors)) if claim.smallest_effect else math.nan
    spreads = of_data[1] if of_data else np.array([np.var(values, ddof=1) for values in plain])
    power = _Power(spreads, (by_data or found).between_sd, shown.seeds, claim.alpha)
    size, least = abs(found.mean), 0.0 if math.isnan(smallest) else smallest
    wanted = [size, margin - size] if margin > 0 else [max(size, least), size]
    shown = replace(
        shown,
        reason=power.lacking(wanted),
        detectable=power.detectable(shown.seeds),
        seeds_for_point=power.seeds_for(POINT),
        seeds_for_smallest=power.seeds_for(smallest),
    )
    p = _p(found, by_data)
    p_for, p_against = (p, 1.0) if found.mean > 0 else (1.0, p)
    p_equal = _within(claim, networks, plain, errors)
    return Evidence(shown, p_for, p_against, p_equal, lambda share: power.more_seeds(wanted, share))


def _pooled(per_seed: Sequence[NDArray[np.float64]], alpha: float, null: float = 0.0) -> Pooled:
    means = [stats.mean(values) for values in per_seed]
    variances = [float(np.var(values, ddof=1)) / len(values) for values in per_seed]
    return pooled(means, variances, null=null, confidence=1 - alpha)


def _by_data(
    networks: Sequence[Sequence[Pair]], per_seed: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The mean of each data set over its networks, and the variance of that for one seed, [data sets].

    None where every pair has data of its own, or where fewer than three data sets leave nothing to pool.
    """
    of_network = [places[0].network[0] for places in networks]
    groups = [
        [values for values, its in zip(per_seed, of_network, strict=True) if its == data]
        for data in dict.fromkeys(of_network)
    ]
    if not MIN_PAIRS <= len(groups) < len(networks):
        return None
    means = [stats.mean(map(stats.mean, same)) for same in groups]
    variances = [stats.mean(float(np.var(values, ddof=1)) for values in same) / len(same) for same in groups]
    return np.array(means), np.array(variances)


def _p(found: Pooled, by_data: Pooled | None) -> float:
    """Of both ways to count, the larger p-value: pairs that share their data may be alike."""
    if by_data is None:
        return found.p
    return max(found.p, by_data.p) if found.mean * by_data.mean > 0 else 1.0


def _too_few(networks: int) -> str | None:
    return "three pairs are needed" if networks < MIN_PAIRS else None


def _within(
    claim: Claim, networks: Sequence[Sequence[Pair]], plain: list[NDArray[np.float64]], errors: Sequence[float]
) -> float:
    """p-value of "the pooled difference is the margin or more away from 0"; NaN without a margin.

    Where the margin is a share of dense's error, so are the differences: networks of small and large errors pool alike.
    """
    if claim.margin is None or np.isnan(errors).any():
        return math.nan
    share = claim.margin.share_of_dense_error
    values = plain if share is None else _per_seed(networks, errors)
    margin = claim.margin.of(1.0)
    of_data, seeds = _by_data(networks, values), min(map(len, values))
    ways = [_pooled(values, claim.alpha, null) for null in (margin, -margin)]
    if of_data:
        ways += [pooled(of_data[0], of_data[1] / seeds, null=null) for null in (margin, -margin)]
    return max(one.p for one in ways) if all(abs(one.mean) < margin for one in ways) else 1.0


@dataclass(frozen=True)
class _Power:
    """What a pooled difference finds, by the spreads seen: with the weights and the degrees of freedom of its test."""

    variances: NDArray[np.float64]
    """Of a difference of one seed, [pairs]."""
    between_sd: float
    seeds: int
    alpha: float

    def detectable(self, seeds: float, times: float = 1.0, share: float = 1.0) -> float:
        """The true difference found in 80 % of cases with so many seeds, and so many times these pairs."""
        weights = 1 / (self.between_sd**2 + self.variances / seeds)
        total = times * weights.sum()
        effective = total**2 / (times * np.square(weights).sum())
        return found_errors(max(effective - 1, 1.0), self.alpha * share) / math.sqrt(total)

    def seeds_for(self, wanted: float, share: float = 1.0) -> int | None:
        """Seeds of every pair that find a difference `wanted`; None if `MOST_SEEDS` do not."""
        if not self.detectable(MOST_SEEDS, share=share) <= wanted:
            return None
        return bisect_left(range(MOST_SEEDS), True, MIN_SEEDS, key=lambda n: self.detectable(n, share=share) <= wanted)

    def more_seeds(self, wanted: Sequence[float], share: float = 1.0) -> int | None:
        """How many more show one of the differences `wanted`; None where it is the pairs that differ."""
        needed = [n - self.seeds for by in wanted if (n := self.seeds_for(by, share)) is not None and n > self.seeds]
        is_between = self.between_sd**2 > _MOSTLY * stats.mean(self.variances) / self.seeds
        return min(needed, default=None if is_between else MOST_SEEDS)

    def lacking(self, wanted: Sequence[float]) -> str:
        """The reason of an open verdict: what else than seeds would decide, if seeds would not."""
        if self.more_seeds(wanted) is not None:
            return "not shown either way"
        count = len(self.variances)
        enough = (n for n in range(count + 1, _MOST_PAIRS) if self.detectable(self.seeds, n / count) <= max(wanted))
        more = next((f"{n - count} more would decide" for n in enough), f"not even {_MOST_PAIRS} would decide")
        return (
            f"not shown either way; pairs of network and data differ by {100 * self.between_sd:.2g} points: {more}, "
            "more seeds would not"
        )


def _of_signs(claim: Claim, pairs: Sequence[Pair], empty: Comparison) -> Evidence:
    """An exact sign-flip test over the networks: each has the mean of its seeds' signs.

    Source: Fisher, The Design of Experiments, 1935, section 21; `scipy.stats.permutation_test`.
    """
    networks = _networks(pairs)
    means = np.array(
        [stats.mean(score for pair in places for score in scores(claim, pair.ok())) for places in networks]
    )
    effect = Effect("faster minus slower, share of seeds", stats.mean(means), unit="percent")
    shown = replace(empty, effects=(effect,))
    if np.isnan(means).any():
        return Evidence(replace(shown, reason="not recorded in a pair of network and data"))
    if len(means) < MIN_NETWORKS_OF_SIGNS:
        lacking = MIN_NETWORKS_OF_SIGNS - len(means)
        return Evidence(replace(shown, reason=f"{lacking} more are needed for a test of signs"))
    p = float(scipy.stats.permutation_test((means,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue)
    return Evidence(shown, *((p, 1.0) if shown.effects[0].value > 0 else (1.0, p)))
