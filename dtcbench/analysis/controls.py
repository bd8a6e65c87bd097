"""The A/A control: a method against itself under another nuisance stream, and how often that comes out different.

Both sides of such a comparison are the same method with the same weights at the start; only data order and random
choices differ. Any difference that a test finds is false, so their share is the bench's own false-verdict rate.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.differences import Accuracies, difference
from dtcbench.analysis.pairing import IDENTITY, groups, tidy
from dtcbench.text import count_of, percent

_STREAM = re.compile(r"stream=\d+")


def original(method: str) -> str | None:
    """The label of the method that a control repeats: `dtc` of `dtc(stream=1)`; None if `method` is no control."""
    name, _, inner = method.removesuffix(")").partition("(")
    options = inner.split(", ")
    kept = [option for option in options if not _STREAM.fullmatch(option)]
    if len(kept) == len(options):
        return None
    return f"{name}({', '.join(kept)})" if kept else name


def p_of_controls(cells: pd.DataFrame) -> NDArray[np.float64]:
    """The p-value of each control in the table `cells` against the method it repeats, at the same place and solver.

    Pairs are by seed. A comparison without a test is left out.
    """
    ok = tidy(cells[cells["status"] == "ok"])
    controls = ok.assign(control=ok["method"], method=ok["method"].map(original)).dropna(subset="method")
    pairs = controls.merge(ok, on=[*IDENTITY, "seed"], suffixes=("", "_original"), validate="many_to_one")
    p = stats.p_of(
        [
            difference(Accuracies.of(rows), Accuracies.of(rows, "_original")).estimate
            for _, rows in groups(pairs, [*IDENTITY, "control"])
        ]
    )
    return p[np.isfinite(p)]


def false_verdicts(cells: pd.DataFrame) -> str | None:
    """What the A/A controls of the table `cells` say of the bench's false verdicts, as a sentence; None without any."""
    p = p_of_controls(cells)
    if not p.size:
        return None
    raw = _share(p <= stats.SIGNIFICANCE)
    adjusted = _share(stats.benjamini_hochberg(p) <= stats.SIGNIFICANCE)
    return (
        f"A/A control: {count_of(len(p), 'comparison')} of a method with itself under another nuisance "
        f"stream. {adjusted} come out different once adjusted, as in the tables: the bench's own false-verdict rate. "
        f"Before the adjustment, {raw}, where {percent(stats.SIGNIFICANCE, 'g')} are expected."
    )


def _share(is_different: NDArray[np.bool_]) -> str:
    """`1 of 24 (4.2 %, 95 % interval 0.1 to 21.1)`: Clopper and Pearson, Biometrika 26, 404-413, 1934."""
    from statsmodels.stats.proportion import proportion_confint  # takes half a second to import

    count, number = int(is_different.sum()), is_different.size
    low, high = proportion_confint(count, number, alpha=1 - stats.CONFIDENCE, method="beta")
    return f"{count} of {number} ({percent(count / number, '.1f')}, 95 % interval {100 * low:.1f} to {100 * high:.1f})"
