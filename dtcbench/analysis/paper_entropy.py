"""The entropy law beside the paper's own measurements: one run of one seed, which no rule judges."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from dtcbench.analysis.correlation import correlation, partial_correlation, smoothed
from dtcbench.analysis.entropy_law import MIN_MEASUREMENTS, POWERS
from dtcbench.analysis.verdicts import Comparison, Effect, LawPoint, Verdict
from dtcbench.entropy import DIRECTIONS, expected_published_entropy, published_entropy
from dtcbench.unavailable import Unavailable


def law_of(measurements: pd.DataFrame) -> pd.DataFrame:
    """The law beside measurements, in units of the published estimator: bits if incoming, nats if outgoing.

    Parameters
    ----------
    measurements : `cycle`, `side` and `y`, as `published.measurements` returns them; the norm is √(mean y²)

    Returns
    -------
    `cycle`, `side`, `n`, `norm`, `measured`, `predicted`; `measured` is NaN where no value lies within the bins
    """
    rows = []
    for side in DIRECTIONS:
        for cycle, group in measurements[measurements["side"] == side].groupby("cycle"):
            y = group["y"].to_numpy()
            norm = math.sqrt(math.fsum(y * y) / len(y))
            found = published_entropy(y, side)
            measured = math.nan if isinstance(found, Unavailable) else found
            rows.append((cycle, side, len(y), norm, measured, expected_published_entropy(len(y), norm, side)))
    return pd.DataFrame(rows, columns=["cycle", "side", "n", "norm", "measured", "predicted"])


def comparisons(measurements: pd.DataFrame, reference: pd.DataFrame) -> Iterator[Comparison]:
    """The paper's own measurements beside its accuracies, both as `published` returns them: shown, and not judged."""
    law = law_of(measurements)
    methods = reference.columns.drop(["cycle", "width"])
    for side in DIRECTIONS:
        rows = law[(law["side"] == side) & law["measured"].notna()]
        with_accuracy = rows.merge(reference, on="cycle").sort_values("cycle")
        judged = with_accuracy[with_accuracy["n"] >= MIN_MEASUREMENTS]
        measured, n = with_accuracy["measured"].to_numpy(), np.log2(with_accuracy["n"].to_numpy(dtype=float))
        agreement = correlation(judged["predicted"].to_numpy(), judged["measured"].to_numpy())
        effects = [Effect("predicted from n and the norm: r with the entropy", agreement, unit="r")]
        for method in sorted(methods, key=lambda name: name != "dtc-published"):
            accuracy = with_accuracy[method].to_numpy(dtype=float)
            at = with_accuracy["cycle"].to_numpy(dtype=float)
            effects += [
                Effect(f"entropy: r with the accuracy of {method}", correlation(measured, accuracy), unit="r"),
                Effect("the same smoothed by LOWESS", correlation(measured, smoothed(accuracy, at)), unit="r"),
                Effect(
                    f"the same given log2 n to the power {POWERS}",
                    partial_correlation(measured, accuracy, n, POWERS),
                    unit="r",
                ),
            ]
        where = f"the paper's own measurements: dtc-published, {side}"
        points = tuple(LawPoint(*map(float, row)) for row in judged[["predicted", "measured"]].to_numpy())
        reason = "one run of one seed: shown, and judged by no rule"
        yield Comparison(where, Verdict.NOT_MEASURED, reason, tuple(effects), law=points)
