"""What a reader of a leaderboard must know: the sentences under its rows."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from dtcbench.analysis import energy_columns, ranks, stats
from dtcbench.analysis.differences import BOTH, SEEDS
from dtcbench.analysis.pairing import distinct, of_regression, unlike_stacks
from dtcbench.analysis.power import POWER
from dtcbench.text import percent


def notes(cells: pd.DataFrame, ok: pd.DataFrame, rows: pd.DataFrame, summed: pd.DataFrame) -> Iterator[str]:
    """The notes under every rendering of the leaderboard's `rows` and its summary, from its `cells`, of which `ok` are.

    `cells` are tidy, with their baselines.
    """
    yield from (
        f"{len(ok)} of {len(cells)} planned cells are ok.",
        "Intervals are Student's t intervals of 95 % over seeds; with fewer than three seeds, or if all are equal, "
        f"there is none. {_sources(rows)}",
        "Differences and ratios pair each seed with the dense cell of the same protocol, dataset, model and "
        "seed; a seed without an ok dense cell is left out.",
        "FLOPs count arithmetic; they are not energy. Energy is what a meter read while the cell trained "
        "and compressed. Energy and time are compared within one hardware class, as geometric means of "
        "paired ratios. Time is wall-clock time: other load on the machine lengthens it.",
        *energy_columns.notes(ok),
    )
    classes, stacks = distinct(ok["hardware_class"]), unlike_stacks(distinct(ok["stack"]))
    for found, noun in ((classes, "hardware classes"), (stacks, "stacks of package versions")):
        if len(found) > 1:
            yield f"The ok cells span {len(found)} {noun}: {'; '.join(found)}."
    yield from _on_tests(rows, summed)
    if of_regression(rows).any():
        yield (
            "R2 is 1 − SSE / SST on the test part, mean over the target's values. Rows of a regression have it in "
            "place of accuracy, and 1 − R2 in place of the error; no mean over pairs and no claim takes them in."
        )


def _sources(rows: pd.DataFrame) -> str:
    """What the intervals of the differences take to vary."""
    counts = rows["difference_sources"].value_counts()
    over_images, over_seeds = counts.get(BOTH, 0), counts.get(SEEDS, 0)
    if not over_images:
        return "They say nothing about other test images, which are the same in every seed."
    which = "every row" if not over_seeds else f"{over_images} of {over_images + over_seeds} rows"
    return f"That of a difference is over seeds and test images in {which}" + (
        ", whose cells kept which images they got right; that of the others is over seeds alone." if over_seeds else "."
    )


def _on_tests(rows: pd.DataFrame, summed: pd.DataFrame) -> Iterator[str]:
    """Notes on tests and ranks, if the leaderboard has any."""
    if rows["difference_p"].notna().any():
        yield (
            "The adjusted p is that of a paired t-test of the difference to dense, adjusted for all differences of the "
            "leaderboard (Benjamini and Hochberg). A large p does not show equality: a row is equivalent only if two "
            f"one-sided t-tests, adjusted in the same way, show it within {percent(stats.MARGIN_SHARE, 'g')} of the "
            "error of the pool's dense cells."
        )
        yield (
            "The detectable difference is the smallest that a row's test would have found with a probability of "
            f"{percent(POWER, 'g')}, not adjusted: a smaller one may be there unseen."
        )
    if len(summed):
        yield (
            "Mean ranks and profiles are over (dataset, model) pairs, among the methods whose cells of those "
            "pairs are all ok; each pool of methods has ranks of its own. The profile is the share of pairs on which a "
            f"method's error is at most {ranks.TAU:g} times the least of its pool."
        )
