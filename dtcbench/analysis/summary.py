"""A leaderboard in a few lines: mean ranks and performance profiles over its (model, dataset) pairs.

A method covers a pair if all its planned cells of the pair are ok. Methods are ranked in pools that cover the
same pairs, and every pool has ranks of its own: a method that misses a pair is in the pools without it, with
its coverage, and changes nothing in the pool with it. Nothing is imputed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from dtcbench.analysis.pairing import DENSE, of_regression
from dtcbench.analysis.ranks import TAU, mean_ranks, performance_profile

MIN_PAIRS = 6
"""Over fewer pairs, ranks say nothing: among equal methods one of two is then often first on every pair."""
COLUMNS = {
    "protocol": "training recipe, as in the leaderboard",
    "protocol_sha256": "its digest, as in the leaderboard",
    "sparsity": "planned fraction of prunable neurons removed; empty if the protocol's schedule decides",
    "pairs": "the (dataset, model) pairs that all methods of the pool cover",
    "method": "what chose the neurons",
    "solver": "sparse-recovery algorithm; empty if the method uses no solver",
    "covered": "pairs in which all the method's cells are ok, among all pairs of this protocol and sparsity",
    "planned": "pairs the method was planned on",
    "mean_rank": "mean over the pool's pairs of the method's rank by mean test accuracy, 1 the most accurate",
    "profile": f"share of the pool's pairs on which its error, 1 - accuracy, is at most {TAU} times the least",
}
"""The summary's columns, in order, and their meanings."""
_SHARED = ["protocol", "protocol_sha256", "sparsity"]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """`COLUMNS` from a leaderboard's `rows`: by protocol, sparsity and pool, the largest pool and best rank first.

    Empty unless two methods cover the same six pairs. A regression has no error to compare with that of classes, and so
    its rows are left out.
    """
    compressed = rows[(rows["method"] != DENSE) & ~of_regression(rows)]
    found = [
        line
        for names, same in compressed.groupby(_SHARED, dropna=False)
        for line in _lines(same, dict(zip(_SHARED, names, strict=True)))
    ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _lines(rows: pd.DataFrame, shared: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines of one protocol and sparsity."""
    pairs = pd.Series(list(zip(rows["dataset"], rows["model"], strict=True)), index=rows.index, dtype=object)
    planned = rows.assign(pair=pairs).set_index(["method", "solver"])
    is_covered = planned["ok"] == planned["planned"]
    planned_on = {name: set(of["pair"]) for name, of in planned.groupby(level=[0, 1])}
    covered = {name: set(of["pair"]) for name, of in planned[is_covered].groupby(level=[0, 1])}
    error = {
        (name, pair): 1 - accuracy
        for name, pair, accuracy in zip(planned.index, planned["pair"], planned["accuracy_mean"], strict=True)
    }
    for pool in _pools(covered):
        methods = [name for name in sorted(covered) if covered[name] >= set(pool)]
        losses = np.array([[error[name, pair] for name in methods] for pair in pool])  # [pairs, methods]
        ranks, profile = mean_ranks(losses), performance_profile(losses)
        for place in np.lexsort((np.arange(len(methods)), ranks)):
            name = methods[place]
            yield {
                **shared,
                "pairs": "; ".join(" · ".join(pair) for pair in pool),
                "method": name[0],
                "solver": name[1],
                "covered": len(covered[name]),
                "planned": len(planned_on[name]),
                "mean_rank": float(ranks[place]),
                "profile": float(profile[place]),
            }


def _pools(covered: dict[Any, set[tuple[str, str]]]) -> list[tuple[tuple[str, str], ...]]:
    """The sets of pairs that some method covers and another one too, the largest first."""
    sets = {tuple(sorted(pairs)) for pairs in covered.values() if len(pairs) >= MIN_PAIRS}
    shared = [pairs for pairs in sets if sum(other >= set(pairs) for other in covered.values()) > 1]
    return sorted(shared, key=lambda pairs: (-len(pairs), pairs))
