"""The leaderboard: the cells of one suite, summarised per method and compared with their dense baseline.

A row is one (protocol, dataset, model, sparsity, method, solver). It pairs each of its seeds with the
dense cell of the same protocol, dataset, model and seed. A failed or missing cell lowers the row's
coverage and is named in it. Every row stays, and nothing is imputed.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dtcbench.analysis import energy_columns, stats
from dtcbench.analysis.controls import false_verdicts
from dtcbench.analysis.differences import BOTH, SEEDS, Accuracies, Difference, difference
from dtcbench.analysis.notes import notes
from dtcbench.analysis.pairing import (
    COSTS,
    DENSE,
    IDENTITY,
    POOL,
    Pool,
    Rows,
    distinct,
    groups,
    known,
    of_regression,
    tidy,
    with_baseline,
)
from dtcbench.analysis.power import POINT, POWER
from dtcbench.analysis.summary import summary
from dtcbench.record import Metrics
from dtcbench.text import one_line, percent

ENTROPIES = ["entropy_in_bits", "entropy_out_bits", "entropy_in_normalised", "entropy_out_normalised"]


class Metric(NamedTuple):
    """A number of every cell whose mean over seeds is a column of the leaderboard, in every rendering."""

    name: str
    """The field of the record, and the column of the table `cells`."""
    title: str
    """Heading of the column for readers."""
    form: str
    """Format of the number for readers, such as `.3f`."""
    meaning: str
    """What the mean is, for the data dictionary."""
    is_headline: bool = True
    """Whether the column follows the accuracy, also in the terminal and in LaTeX; else it is one of the last columns of
    the page, the Markdown and the CSV."""

    @property
    def mean(self) -> str:
        """The column of the leaderboard."""
        return f"{self.name}_mean"

    @property
    def is_optional(self) -> bool:
        """Whether the record may lack the number: then the column is shown only if some cell has it."""
        return Metrics.model_fields[self.name].annotation not in (int, float)


METRICS = (
    Metric(
        "bits_per_character",
        "Bits per character",
        ".3f",
        "cross-entropy on the test text in bits, mean over seeds; language models only",
    ),
    Metric("train_s", "Training, s", ".3g", "seconds of training, mean over seeds", is_headline=False),
)
"""To show one more number of the cells, add its field to the record (`Metrics`) and its description here."""
COLUMNS = {
    "protocol": "training recipe: its name, and the options that have no default or differ from it",
    "protocol_sha256": "the recipe with all its options, as the first 12 digits of a SHA-256",
    "dataset": "dataset",
    "model": "network",
    "sparsity": "planned fraction of prunable neurons removed; empty if the protocol's schedule decides",
    "method": "what chose the neurons",
    "solver": "sparse-recovery algorithm; empty if the method uses no solver",
    "ok": "cells that finished",
    "planned": "cells of the row",
    "paired": "ok cells whose dense cell of the same seed is ok too",
    "sparsity_reached": "fraction of prunable neurons removed in the end, mean over seeds",
    "accuracy_mean": "test accuracy at the end, a fraction of 1, mean over seeds",
    "accuracy_low": "lower end of its interval",
    "accuracy_high": "upper end of its interval",
    "difference_mean": "accuracy minus the paired dense accuracy, a fraction of 1, mean over pairs",
    "difference_low": "lower end of its interval",
    "difference_high": "upper end of its interval",
    "difference_sources": f"what the difference's interval and tests take to vary: `{SEEDS}`, or `{BOTH}` if all "
    "pairs kept which test images they got right",
    "difference_p": "p-value of no difference to dense: two-sided paired t-test",
    "difference_p_adjusted": "the same, adjusted for the number of the leaderboard's differences",
    "detectable_difference": "the smallest difference, a fraction of 1, that the row's test finds with a probability "
    f"of {percent(POWER, 'g')}, before the adjustment",
    "seeds_for_1_point": "seeds on which the test would find a difference of 1 percentage point with that probability; "
    "inf if 10,000 are not enough, such as where other test images could differ by as much",
    "equivalence_margin": f"{stats.MARGIN_SHARE} of the error, 1 - accuracy, of the pool's dense cells",
    "equivalence_p": "p-value of a difference of equivalence_margin or more: two one-sided paired t-tests",
    "equivalence_p_adjusted": "the same, adjusted for the number of the leaderboard's differences",
    "equivalent": f"yes if equivalence_p_adjusted is at most {stats.SIGNIFICANCE}: equivalent to dense within "
    "equivalence_margin; no if that is not shown; empty without a test",
    "test_note": "why the row has no test",
    **{metric.mean: metric.meaning for metric in METRICS if metric.is_headline},
    "interval_note": "why an interval is absent",
    "pairing_note": "which seeds have no dense cell to pair with",
    "parameters_ratio": "parameters of the final network over the paired dense ones, mean over pairs",
    "training_flops_ratio": "FLOPs of training over the paired dense ones, mean over pairs",
    "inference_flops_ratio": "FLOPs of one sample's forward pass over the paired dense ones, mean over pairs",
    **energy_columns.COLUMNS,
    "entropy_in_bits": "entropy of the incoming measurement, last cycle with one, mean over layers and seeds",
    "entropy_out_bits": "the same of the outgoing measurement",
    "entropy_in_normalised": "entropy_in_bits over log2 of the number of measurements",
    "entropy_out_normalised": "entropy_out_bits over log2 of the number of measurements",
    **{metric.mean: metric.meaning for metric in METRICS if not metric.is_headline},
    "failures": "statuses and reasons of the cells that are not ok",
}
"""The columns of the leaderboard's rows, in order, and their meanings."""
OF_R2 = {
    "r2_mean": "R2 on the test part at the end, mean over seeds: of a regression, whose difference, detectable and "
    "equivalence columns are of R2 too, and whose error is 1 - R2",
    "r2_low": "lower end of its interval",
    "r2_high": "upper end of its interval",
}
"""Further columns, before the differences, of a leaderboard with a row of a regression."""
_PLACE = list(COLUMNS).index("difference_mean")
ALL_COLUMNS = dict([*list(COLUMNS.items())[:_PLACE], *OF_R2.items(), *list(COLUMNS.items())[_PLACE:]])


@dataclass(frozen=True)
class Leaderboard:
    """One suite's results, and what a reader must know about them."""

    suite: str
    question: str
    """What the suite was run to find out."""
    rows: pd.DataFrame
    """`COLUMNS`, or `ALL_COLUMNS` if a row is of a regression; by protocol, dataset, model, sparsity (dense first),
    then the best score first."""
    summary: pd.DataFrame
    """`summary.COLUMNS`: mean ranks and profiles; empty unless two methods share six (dataset, model) pairs."""
    notes: tuple[str, ...]
    """Sentences that belong under any rendering of the rows."""
    hardware_classes: tuple[str, ...]
    """Distinct hardware classes of the ok cells, sorted."""
    stacks: tuple[str, ...]
    """Distinct sets of versions of the ok cells, sorted."""
    obstacles: tuple[str, ...]
    """Why the leaderboard must not be published; every rendering begins with them."""

    @property
    def is_of_accuracies(self) -> bool:
        """Whether no row is of a regression."""
        return not set(OF_R2) <= set(self.rows)

    @property
    def pools(self) -> list[tuple[Pool, pd.DataFrame]]:
        """The rows of each (protocol, dataset, model): only these compare with one another."""
        return [(Pool(*map(str, names)), rows) for names, rows in self.rows.groupby(POOL, sort=False)]


def build(cells: pd.DataFrame, cycles: pd.DataFrame, *, suite: str, question: str) -> Leaderboard:
    """The leaderboard of `cells` (one row per planned cell) and `cycles` (one row per cell, cycle, layer).

    pandas.errors.MergeError when two dense cells share a protocol, dataset, model and seed.
    """
    planned = with_baseline(energy_columns.with_targets(tidy(cells), cycles)).join(_last_entropies(cycles), on="key")
    rows = [_row(dict(zip(IDENTITY, names, strict=True)), group) for names, group in groups(planned, IDENTITY)]
    rows.sort(key=_rank)
    _test(rows, planned)
    ok = planned[planned["status"] == "ok"]
    table = energy_columns.with_ranks(pd.DataFrame(rows, columns=[*ALL_COLUMNS, "qualifies"]))
    table = table[list(ALL_COLUMNS if of_regression(table).any() else COLUMNS)]
    summed = summary(table)
    return Leaderboard(
        suite=suite,
        question=question,
        rows=table,
        notes=(*notes(planned, ok, table, summed), *filter(None, [false_verdicts(cells)])),
        summary=summed,
        hardware_classes=distinct(ok["hardware_class"]),
        stacks=distinct(ok["stack"]),
        obstacles=tuple(energy_columns.obstacles(ok)),
    )


def series_label(method: str, solver: str) -> str:
    """The name of one competitor: `dtc / lars`, or the method alone."""
    return f"{method} / {solver}" if solver else method


def _last_entropies(cycles: pd.DataFrame) -> pd.DataFrame:
    """Per cell key, the entropies of the last cycle that measured something, mean over layers."""
    measured = cycles[cycles["entropy_in_bits"].notna()]
    last = measured[measured["cycle"] == measured.groupby("key")["cycle"].transform("max")]
    means: pd.DataFrame = last.groupby("key")[ENTROPIES].mean()
    return means


def _row(identity: dict[str, Any], cells: Rows) -> dict[str, Any]:
    """The leaderboard row of the planned `cells` that share `identity`."""
    ok = cells.where(cells["status"] == "ok")
    paired = ok.where(known(ok["key_baseline"]))
    return {
        **identity,
        "ok": len(ok),
        "planned": len(cells),
        "paired": len(paired),
        "sparsity_reached": stats.mean(ok["sparsity_reached"]),
        **_scores(ok),
        **{metric.mean: stats.mean(ok[metric.name]) for metric in METRICS},
        "pairing_note": _pairing_note(ok),
        **{f"{cost}_ratio": _mean_ratio(paired, cost) for cost in COSTS},
        **energy_columns.row(cells, ok, paired),
        **{entropy: stats.mean(ok[entropy]) for entropy in ENTROPIES},
        "failures": _failures(cells),
    }


def _scores(ok: Rows) -> dict[str, Any]:
    """Accuracy, or R2, and its paired difference to dense, which is not compared with itself."""
    accuracy, r2 = stats.mean_estimate(ok["accuracy"]), stats.mean_estimate(ok["r2"])
    score = r2 if known(ok["r2"]).any() else accuracy
    found = difference(*(Accuracies.of(ok, suffix, column="score") for suffix in ("", "_baseline")))
    reasons = [score.reason] if len(ok) else []
    is_dense = DENSE in ok["method"]
    if not is_dense and (len(found.values) < len(ok) or score.reason is None):
        reasons.append(found.estimate.reason and f"{found.estimate.reason} of the difference")
    return {
        "accuracy_mean": accuracy.mean,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        **dict(zip(OF_R2, (r2.mean, r2.low, r2.high), strict=True)),
        "difference_mean": found.estimate.mean,
        "difference_low": found.estimate.low,
        "difference_high": found.estimate.high,
        "difference_sources": found.sources if found.estimate.interval and not is_dense else "",
        "detectable_difference": found.detectable(),
        "seeds_for_1_point": math.nan if score is r2 else _seeds_for_a_point(found),
        "difference": found,
        "interval_note": "; ".join(filter(None, reasons)),
    }


def _seeds_for_a_point(found: Difference) -> float:
    """Infinite where no number of seeds is enough, NaN where the spread is not known."""
    if math.isnan(found.sd):
        return math.nan
    return found.seeds_for(POINT) or math.inf


def _test(rows: list[dict[str, Any]], cells: pd.DataFrame) -> None:
    """Test every row's differences to dense, as one family of comparisons."""
    dense = cells[(cells["method"] == DENSE) & (cells["status"] == "ok")]
    errors = {names: 1 - stats.mean(of_pool["score"]) for names, of_pool in dense.groupby(POOL)}
    found: list[Difference] = [row.pop("difference") for row in rows]
    estimates = [one.estimate for one in found]
    margins = np.array([stats.MARGIN_SHARE * errors.get(tuple(row[name] for name in POOL), math.nan) for row in rows])
    margins[margins <= 0] = np.nan  # a network without an error leaves no margin
    different, equivalent = stats.p_of(estimates), stats.equivalence_p_of(estimates, margins)
    columns = {
        "difference_p": different,
        "difference_p_adjusted": stats.benjamini_hochberg(different),
        "equivalence_margin": margins,
        "equivalence_p": equivalent,
        "equivalence_p_adjusted": stats.benjamini_hochberg(equivalent),
    }
    for place, row in enumerate(rows):
        row |= {name: float(values[place]) for name, values in columns.items()}
        p, is_dense = row["equivalence_p_adjusted"], row["method"] == DENSE
        row["equivalent"] = "" if math.isnan(p) else "yes" if p <= stats.SIGNIFICANCE else "no"
        row["test_note"] = "" if is_dense else stats.untested(found[place].values, of="paired seed") or ""


def _pairing_note(ok: Rows) -> str:
    alone = list(map(str, ok["seed"][~known(ok["key_baseline"])]))
    return f"no ok dense cell for seed{'s' if len(alone) > 1 else ''} {', '.join(alone)}" if alone else ""


def _mean_ratio(paired: Rows, cost: str) -> float:
    return stats.mean(paired[cost] / paired[f"{cost}_baseline"])


def _failures(cells: Rows) -> str:
    """`oom ×2: reason; missing ×1`, sorted; empty when all cells are ok."""
    failed = cells.where(cells["status"] != "ok")
    reasons = [one_line("" if pd.isna(reason) else str(reason)) for reason in failed["reason"]]
    outcomes = sorted(Counter(zip(failed["status"], reasons, strict=True)).items())
    return "; ".join(f"{status} ×{count}" + (f": {reason}" if reason else "") for (status, reason), count in outcomes)


def _rank(row: dict[str, Any]) -> tuple[Any, ...]:
    """Sort key of a row: its pool, dense first, sparsity, the best score first, its label."""
    pool = tuple(row[name] for name in POOL)
    sparsity = math.inf if math.isnan(row["sparsity"]) else row["sparsity"]
    score = next((row[name] for name in ("accuracy_mean", "r2_mean") if not math.isnan(row[name])), -math.inf)
    return (*pool, row["method"] != DENSE, sparsity, -score, row["method"], row["solver"])
