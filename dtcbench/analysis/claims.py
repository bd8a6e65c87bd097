"""The paper's claims (arXiv 2505.23869), one by one: verdict, effects, rule, and the cells it rests on.

Every rule is strict. A claim is refuted by the same rule that supports it, applied to the opposite. docs/statistics.md
has them with their sources.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from dtcbench.analysis import reproduction, saving, stats, tracking
from dtcbench.analysis.energy_columns import CLAIMED_SAVING
from dtcbench.analysis.pairing import tidy
from dtcbench.analysis.rivals import Series, all_series, compared, counterparts, of_dtc, unmeasured
from dtcbench.analysis.verdicts import MIN_SEEDS, Comparison, Conclusion, conclude, is_better, is_equivalent
from dtcbench.text import percent

_SEEDS = f"Every comparison needs {MIN_SEEDS} paired seeds, and all that were planned."
_POINT = f"{100 * stats.MARGIN:g} point"
_RIVALS = {
    "magnitude": ("magnitude", "magnitude-published"),
    "random": ("random", "random-published"),
    "shuffled": ("shuffled",),
}
"""By kind of rival, the methods that DTC is compared with."""


def conclusions(
    cells: pd.DataFrame, cycles: pd.DataFrame, reference: pd.DataFrame | None = None
) -> tuple[Conclusion, ...]:
    """All six claims, in the paper's order, from the tables of one or several runs.

    `cells` has one row a key. `reference` holds published accuracies: `cycle`, `width`, one column a method.
    """
    series = all_series(tidy(cells))
    return (
        _reproduction(cells, cycles, reference),
        _energy(cells, cycles),
        _reconstruction(series),
        _random(series),
        _entropy(cells, cycles),
        _lottery_ticket(series),
    )


def _reproduction(cells: pd.DataFrame, cycles: pd.DataFrame, reference: pd.DataFrame | None) -> Conclusion:
    return conclude(
        "reproduction",
        "The published accuracy curves come out again, level by level.",
        "Supported where the largest departure of the published curve over its levels is not among the most unusual "
        "5 % of it and ours, adjusted for the number of curves, on every curve; refuted where it is on every curve. "
        "The paper's own seed does not count, and 19 others are needed.",
        reproduction.comparisons(cells, cycles, reference) if reference is not None else (),
        nothing="no cell of protocol published has a published curve",
    )


def _energy(cells: pd.DataFrame, cycles: pd.DataFrame) -> Conclusion:
    claimed = percent(CLAIMED_SAVING, "g")
    return conclude(
        "energy",
        f"Training with DTC saves {claimed} of dense's energy.",
        f"Supported where at some sparsity the lower bound of the saving reaches {claimed} and that of the accuracy is "
        f"at most {_POINT} below dense; refuted where at every sparsity the upper bound of the saving is below "
        f"{claimed} or that of the accuracy is lower still. The error of 5 % is shared out over the sparsities. "
        f"Saved parameters and FLOPs are shown too and decide nothing. {_SEEDS}",
        saving.comparisons(cells, cycles),
        nothing="no cell of DTC",
        bounds=(CLAIMED_SAVING,),
    )


def _reconstruction(series: list[Series]) -> Conclusion:
    return conclude(
        "reconstruction",
        "Choosing neurons by their reconstruction keeps more accuracy than magnitude, than random choice, and than "
        "DTC's own scores on other neurons.",
        "Supported where the 95 % interval of the difference in accuracy at equal widths is above 0 in every "
        f"comparison; refuted where it is below 0 in every one; either only if all three were measured. {_SEEDS}",
        _against_rivals(series),
        nothing="no cell of DTC",
        kinds=_RIVALS,
    )


def _random(series: list[Series]) -> Conclusion:
    return conclude(
        "random",
        "Random removal is as accurate as DTC.",
        f"Supported where the 95 % interval of the difference in accuracy lies within ±{_POINT} in every comparison "
        f"(two one-sided t-tests at 2.5 %); refuted where it lies outside in every one. {_SEEDS}",
        (
            compared(one, other, is_equivalent, stats.equivalence_p_values)
            for one in of_dtc(series)
            for other in counterparts(one, series, _RIVALS["random"])
        ),
        nothing="no cell of random removal at the place of a DTC cell",
        bounds=(-stats.MARGIN, stats.MARGIN),
    )


def _entropy(cells: pd.DataFrame, cycles: pd.DataFrame) -> Conclusion:
    return conclude(
        "entropy",
        "The entropy of the measurements tracks accuracy over the train-compress cycles.",
        "Supported where the lower bounds of the correlation and of the partial one given log2 n reach "
        f"{tracking.STRONG:g} in both projections of every layer, and the latter is shown to be above that of a "
        f"reshuffled projection; refuted where the upper bound of either is below {tracking.STRONG:g} in all of them. "
        f"Intervals are of 95 % over seeds. {_SEEDS}",
        tracking.comparisons(cells, cycles),
        nothing="no cell of DTC",
        bounds=(tracking.STRONG,),
    )


def _lottery_ticket(series: list[Series]) -> Conclusion:
    return conclude(
        "lottery ticket",
        "A network compressed while it trains is more accurate than the same widths trained from scratch.",
        "Supported where the 95 % interval of the difference in accuracy at equal widths is above 0 in every "
        f"comparison; refuted where it is below 0 in every one. {_SEEDS}",
        (
            compared(one, other, is_better, stats.p_values)
            for one in of_dtc(series)
            for other in counterparts(one, series, ("scratch",))
        ),
        nothing="no cell of scratch at the place of a DTC cell",
    )


def _against_rivals(series: list[Series]) -> Iterator[Comparison]:
    for one in of_dtc(series):
        for kind, names in _RIVALS.items():
            if kind == "shuffled" and one.method != "dtc":
                continue  # `shuffled` permutes the scores of `dtc` only
            others = [
                other
                for other in counterparts(one, series, names)
                if kind != "shuffled" or (other.method, other.solver) == ("shuffled", one.solver)
            ]
            yield from (compared(one, other, is_better, stats.p_values, kind) for other in others)
            if not others:
                yield unmeasured(one, kind)
