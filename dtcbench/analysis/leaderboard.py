"""The leaderboard: the cells of one suite, summed up per method and set against their dense baseline.

A row is one (protocol, dataset, model, sparsity, method, solver). It pairs each of its seeds with the
dense cell of the same protocol, dataset, model and seed. A failed or missing cell lowers the row's
coverage and is named in it; no row vanishes, and nothing is imputed.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dtcbench.analysis import stats

DENSE = "dense"
"""The method every other one is paired with."""
POOL = ["protocol", "dataset", "model"]
"""What two cells must share to be compared."""
IDENTITY = [*POOL, "sparsity", "method", "solver"]
"""What makes a row, apart from its seeds."""
ENTROPIES = ["entropy_in_bits", "entropy_out_bits", "entropy_in_normalised", "entropy_out_normalised"]
_COSTS = ["parameters", "training_flops", "inference_flops"]
_RESULTS = ["accuracy", "bits_per_character", "sparsity_reached", *_COSTS, "energy_j", "train_s"]
"""Columns of numbers: without an ok cell a table may hold them as objects."""
_FROM_DENSE = [
    "accuracy",
    *_COSTS,
    "energy_j",
    "energy_method",
    "energy_reason",
    "energy_flags",
    "hardware_class",
]

COLUMNS = {
    "protocol": "training recipe",
    "dataset": "dataset",
    "model": "network",
    "sparsity": "planned fraction of prunable neurons removed; empty where the protocol's schedule decides",
    "method": "what chose the neurons",
    "solver": "sparse-recovery algorithm; empty where the method solves nothing",
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
    "bits_per_character_mean": "cross-entropy on the test text in bits, mean over seeds; language models only",
    "interval_note": "why an interval is absent",
    "pairing_note": "which seeds have no dense cell to pair with",
    "parameters_ratio": "parameters of the final network over the paired dense ones, mean over pairs",
    "training_flops_ratio": "FLOPs of training over the paired dense ones, mean over pairs",
    "inference_flops_ratio": "FLOPs of one sample's forward pass over the paired dense ones, mean over pairs",
    "energy_measured": "ok cells whose energy was measured",
    "energy_ratio": "joules over the paired dense joules, geometric mean over pairs of one hardware class",
    "energy_low": "lower end of its interval",
    "energy_high": "upper end of its interval",
    "energy_note": "why there is no energy figure, or what to know before using it",
    "entropy_in_bits": "entropy of the incoming measurement, last cycle with one, mean over layers and seeds",
    "entropy_out_bits": "the same of the outgoing measurement",
    "entropy_in_normalised": "entropy_in_bits over log2 of the number of measurements",
    "entropy_out_normalised": "entropy_out_bits over log2 of the number of measurements",
    "train_s_mean": "seconds of training, mean over seeds",
    "failures": "statuses and reasons of the cells that are not ok",
}
"""The columns of the leaderboard's rows, in order, and what each one holds."""


@dataclass(frozen=True)
class Leaderboard:
    """One suite's results and what must be known to read them."""

    suite: str
    question: str
    """What the suite was run to find out."""
    rows: pd.DataFrame
    """`COLUMNS`; by protocol, dataset, model, sparsity (dense first), then the most accurate first."""
    notes: tuple[str, ...]
    """Sentences that belong under any rendering of the rows."""
    hardware_classes: tuple[str, ...]
    """Distinct hardware classes of the ok cells, sorted."""
    stacks: tuple[str, ...]
    """Distinct sets of versions of the ok cells, sorted."""

    @property
    def pools(self) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
        """The rows of each (protocol, dataset, model): only these compare with one another."""
        return [
            ((str(protocol), str(dataset), str(model)), rows)
            for (protocol, dataset, model), rows in self.rows.groupby(POOL, sort=False)
        ]


def build(cells: pd.DataFrame, cycles: pd.DataFrame, *, suite: str, question: str) -> Leaderboard:
    """The leaderboard of `cells` (one row per planned cell) and `cycles` (one row per cell, cycle, layer).

    pandas.errors.MergeError when two dense cells share a protocol, dataset, model and seed.
    """
    planned = _with_dense(tidy(cells)).join(_last_entropies(cycles), on="key")
    groups = planned.groupby(IDENTITY, sort=False, dropna=False)
    rows = sorted((_row(dict(zip(IDENTITY, names, strict=True)), group) for names, group in groups), key=_rank)
    ok = cells[cells["status"] == "ok"]
    return Leaderboard(
        suite=suite,
        question=question,
        rows=pd.DataFrame(rows, columns=list(COLUMNS)),
        notes=_notes(cells, ok),
        hardware_classes=_distinct(ok["hardware_class"]),
        stacks=_distinct(ok["stack"]),
    )


def tidy(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` by identity and seed, whatever order they came in; no solver is the empty string."""
    solver = cells["solver"].astype(object).where(cells["solver"].notna(), "")
    typed = cells.assign(solver=solver).astype(dict.fromkeys(_RESULTS, float))
    return typed.sort_values([*IDENTITY, "seed"], kind="stable", ignore_index=True)


def series_label(method: str, solver: str) -> str:
    """The name of one competitor: `dtc / lars`, or the method alone."""
    return f"{method} / {solver}" if solver else method


def _with_dense(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` with the figures of its ok dense cell in columns `…_baseline`; NaN where there is none."""
    is_baseline = (cells["method"] == DENSE) & (cells["status"] == "ok")
    dense = cells.loc[is_baseline, [*POOL, "seed", *_FROM_DENSE]]
    return cells.merge(dense, on=[*POOL, "seed"], how="left", suffixes=("", "_baseline"), validate="many_to_one")


def _last_entropies(cycles: pd.DataFrame) -> pd.DataFrame:
    """Per cell key, the entropies of the last cycle that measured something, mean over layers."""
    measured = cycles[cycles["entropy_in_bits"].notna()]
    last = measured[measured["cycle"] == measured.groupby("key")["cycle"].transform("max")]
    return pd.DataFrame({column: last.groupby("key")[column].agg(_mean_of_known) for column in ENTROPIES}, dtype=float)


def _mean_of_known(values: pd.Series) -> float:
    return stats.mean(values.dropna()) if values.notna().any() else math.nan


def _row(identity: dict[str, Any], cells: pd.DataFrame) -> dict[str, Any]:
    """The leaderboard row of the planned `cells` that share `identity`."""
    ok = cells[cells["status"] == "ok"].set_index("seed")
    paired = ok[ok["accuracy_baseline"].notna()]
    return {
        **identity,
        "ok": len(ok),
        "planned": len(cells),
        "paired": len(paired),
        "sparsity_reached": stats.mean(ok["sparsity_reached"]),
        **_accuracy(ok),
        "bits_per_character_mean": stats.mean(ok["bits_per_character"]),
        "pairing_note": _pairing_note(ok),
        **{f"{cost}_ratio": _mean_ratio(paired, cost) for cost in _COSTS},
        **_energy(ok, paired),
        **{entropy: stats.mean(ok[entropy]) for entropy in ENTROPIES},
        "train_s_mean": stats.mean(ok["train_s"]),
        "failures": _failures(cells),
    }


def _accuracy(ok: pd.DataFrame) -> dict[str, Any]:
    """Accuracy and its paired difference to dense."""
    accuracy = stats.mean_estimate(ok["accuracy"])
    differences = stats.paired_differences(ok["accuracy"], ok["accuracy_baseline"])
    difference = stats.mean_estimate(differences, of="paired seed")
    reasons = [accuracy.reason] if len(ok) else []
    if len(differences) < len(ok):
        reasons.append(difference.reason and f"{difference.reason} of the difference")
    return {
        "accuracy_mean": accuracy.mean,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "difference_mean": difference.mean,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "interval_note": "; ".join(filter(None, reasons)),
    }


def _pairing_note(ok: pd.DataFrame) -> str:
    alone = [str(seed) for seed in ok.index[ok["accuracy_baseline"].isna()]]
    return f"no ok dense cell for seed{'s' if len(alone) > 1 else ''} {', '.join(alone)}" if alone else ""


def _mean_ratio(paired: pd.DataFrame, cost: str) -> float:
    return stats.mean(stats.paired_ratios(paired[cost], paired[f"{cost}_baseline"]))


def _energy(ok: pd.DataFrame, paired: pd.DataFrame) -> dict[str, Any]:
    """The paired energy ratio, if one hardware class and a meter on both sides allow one, and its caveats."""
    metered = paired[paired["energy_j"].notna()]
    # A reading of 0 J is a window too short for the meter, not a ratio.
    pairs = metered[(metered["energy_j"] > 0) & (metered["energy_j_baseline"] > 0)]
    classes = pd.concat([pairs["hardware_class"], pairs["hardware_class_baseline"]])
    comparable = classes.notna().all() and classes.nunique() == 1
    ratios = stats.paired_ratios(pairs["energy_j"], pairs["energy_j_baseline"])
    estimate = stats.geometric_mean_estimate(ratios if comparable else [], of="energy pair")
    # Where every ok cell has a pair, `interval_note` has said it.
    too_few = estimate.reason if len(pairs) < len(ok) else None
    obstacle = too_few if comparable else "pairs span hardware classes"
    caveats = [
        _unmeasured("not measured", ok["energy_j"], ok["energy_reason"]),
        _unmeasured("dense not measured", metered["energy_j_baseline"], metered["energy_reason_baseline"]),
        "0 J read" if (metered[["energy_j", "energy_j_baseline"]] == 0).any(axis=None) else None,
        obstacle if len(pairs) else None,
        _mixed_methods(pairs),
        _flags(pairs),
    ]
    return {
        "energy_measured": int(ok["energy_j"].notna().sum()),
        "energy_ratio": estimate.mean,
        "energy_low": estimate.low,
        "energy_high": estimate.high,
        "energy_note": "; ".join(filter(None, caveats)),
    }


def _unmeasured(what: str, energy_j: pd.Series, reason: pd.Series) -> str | None:
    """`what`, in how many cells unless in all, and the distinct reasons; None if all were measured."""
    absent = energy_j.isna()
    if not absent.any():
        return None
    count = "" if absent.all() else f" in {absent.sum()} of {len(energy_j)} cells"
    return f"{what}{count}: {', '.join(map(one_line, _distinct(reason[absent]))) or 'no reason recorded'}"


def _mixed_methods(pairs: pd.DataFrame) -> str | None:
    methods = _distinct(pd.concat([pairs["energy_method"], pairs["energy_method_baseline"]]))
    return f"measured by {' and '.join(methods)}" if len(methods) > 1 else None


def _flags(pairs: pd.DataFrame) -> str | None:
    cells = _distinct(pd.concat([pairs["energy_flags"], pairs["energy_flags_baseline"]]))
    flags = sorted({flag.strip() for flags in cells for flag in flags.split(",")} - {""})
    return f"flags: {', '.join(flags)}" if flags else None


def _failures(cells: pd.DataFrame) -> str:
    """`oom ×2: reason; missing ×1`, sorted; empty when all cells are ok."""
    failed = cells[cells["status"] != "ok"]
    reasons = [one_line(str(reason)) for reason in failed["reason"].astype(object).fillna("")]
    outcomes = sorted(Counter(zip(failed["status"], reasons, strict=True)).items())
    return "; ".join(f"{status} ×{count}" + (f": {reason}" if reason else "") for (status, reason), count in outcomes)


def one_line(text: str) -> str:
    """`text` on one line and without control characters: a reason may be any exception's message."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _rank(row: dict[str, Any]) -> tuple[Any, ...]:
    """Sort key of a row: its pool, dense first, sparsity, the most accurate first, its label."""
    pool = tuple(row[name] for name in POOL)
    sparsity = math.inf if math.isnan(row["sparsity"]) else row["sparsity"]
    accuracy = -math.inf if math.isnan(row["accuracy_mean"]) else row["accuracy_mean"]
    return (*pool, row["method"] != DENSE, sparsity, -accuracy, row["method"], row["solver"])


def _notes(cells: pd.DataFrame, ok: pd.DataFrame) -> tuple[str, ...]:
    """What must be said under the rows, whatever they are rendered as."""
    notes = [
        f"{len(ok)} of {len(cells)} planned cells are ok.",
        "Intervals are 95 % percentile bootstrap intervals over seeds. With three seeds such an interval can "
        "be no wider than the range of the seeds: read it as a range. Fewer than three seeds have none.",
        "Differences and ratios pair each seed with the dense cell of the same protocol, dataset, model and "
        "seed; a seed without an ok dense cell is left out of them.",
        "FLOPs count arithmetic; they are not energy. Energy is what a meter read while the cell trained "
        "and compressed, compared within one hardware class; it is a geometric mean of paired ratios.",
    ]
    if (absent := _unmeasured("Energy was not measured", ok["energy_j"], ok["energy_reason"])) is not None:
        notes.append(f"{absent}.")
    for column, noun in (("hardware_class", "hardware classes"), ("stack", "stacks of package versions")):
        if len(found := _distinct(ok[column])) > 1:
            notes.append(f"The ok cells span {len(found)} {noun}: {', '.join(found)}.")
    return tuple(notes)


def _distinct(values: pd.Series) -> tuple[str, ...]:
    """The distinct known values, as text, sorted."""
    return tuple(sorted({str(value) for value in values.dropna()}))
