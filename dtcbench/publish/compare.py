"""Two records of one cell, and two runs: in what numbers they differ, row by row, paired by seed."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd

from dtcbench.analysis import stats
from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import IDENTITY, distinct, of_regression, registered_name, tidy
from dtcbench.analysis.stats import Estimate
from dtcbench.record import OLDER, Provenance, Result
from dtcbench.report.blocks import Block, Bullets, Heading, Table, texts
from dtcbench.report.score import ACCURACY, R2, Score
from dtcbench.text import with_interval

_SECONDS = {"train_s", "compress_s", "evaluate_s", "compile_s", "solver_s"}


def numbers(result: Result) -> dict[str, Any]:
    """Everything in a result that the cell's key and the conditions decide, as plain values."""
    untimed: dict[str, Any] = _untimed(result.model_dump(mode="json"))
    if result.hits is not None:  # a difference is to be read by people
        untimed["hits"] = hashlib.sha256(result.hits.encode()).hexdigest()[:12]
    return untimed


def differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every place at which two results' numbers differ, with both values, in the order of the record.

    A number that one of the records is too old to hold is not compared.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        sides = (one, other, one.get("reasons", {}), other.get("reasons", {}))
        unknown = {name for side in sides for name, value in side.items() if value == OLDER}
        for name in [name for name in [*one, *(other.keys() - one.keys())] if name not in unknown]:
            yield from differences(one.get(name), other.get(name), f"{place}.{name}".removeprefix("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{place}[{number}]")
    elif one != other:
        yield place, one, other


def conditions(provenance: Provenance) -> dict[str, Any]:
    """Conditions under which one cell gives equal numbers: versions, processors, threads, data."""
    processor = {"gpu": provenance.gpu, "driver": provenance.driver} if provenance.device == "cuda" else {}
    return {
        "device": provenance.device,
        "processor": provenance.cpu,
        **processor,
        "threads": provenance.threads,
        "python": provenance.python,
        "dtcbench": provenance.dtcbench,
        **provenance.packages,
        **{f"kernels of {name}": kind for name, kind in provenance.kernels.items()},
        **{f"plug-in {name}": digest for name, digest in provenance.plugins.items()},
        **({"data set": provenance.dataset_sha256} if provenance.dataset_sha256 else {}),
    }


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _untimed(inner) for name, inner in value.items() if name not in _SECONDS}
    return [_untimed(inner) for inner in value] if isinstance(value, list) else value


_FIGURES = ["key", "is_regression", "score", "training_s", "energy_j", "hardware_class"]


@dataclass(frozen=True)
class Move:
    """One row of both runs, or of one of them."""

    pool: str
    competitor: str
    sparsity: float
    """NaN where the protocol's schedule decides it."""
    pairs: int
    """Seeds whose cell is ok in both runs."""
    alone: tuple[int, int]
    """Seeds whose cell is ok in the first run only, and in the second only."""
    score: Score
    """What its data set ranks by."""
    equal: int
    """Pairs whose score is equal to the last bit."""
    other_cells: int
    """Pairs that are not the same cell: something in their keys differs."""
    difference: stats.Estimate
    """The second run's test accuracy minus the first's, a fraction of 1; or R2 minus R2."""
    time: stats.Estimate
    """Seconds inside the energy boundary, the second run's over the first's; NaN unless on one hardware class."""
    energy: stats.Estimate
    """The same of joules, over the pairs measured on both sides."""

    @property
    def verdict(self) -> str:
        """`same`, `moved` if the interval of the difference excludes 0, or why that cannot be said."""
        if not self.pairs:
            return "no seed in both"
        if self.equal == self.pairs:
            return "same"
        if self.difference.interval is None:
            return "too few seeds" if self.pairs < stats.MIN_SEEDS else "moved alike in every seed"
        low, high = self.difference.interval
        return "no difference shown" if low <= 0 <= high else "moved"


def moves(first: pd.DataFrame, second: pd.DataFrame) -> list[Move]:
    """Every row of either run's `cells`, dense first as in a leaderboard."""
    recipes = _recipes(first, second)
    sides = [_ok(cells, recipes) for cells in (first, second)]
    both = sides[0].merge(sides[1], on=[*IDENTITY, "seed"], how="outer", suffixes=("_a", "_b"))
    rows = [_move(names, rows) for names, rows in both.groupby(IDENTITY, sort=True, dropna=False)]
    return sorted(rows, key=lambda row: (row.pool, row.sparsity != 0, row.sparsity, row.competitor))


def notes(first: pd.DataFrame, second: pd.DataFrame, rows: Sequence[Move]) -> Iterator[str]:
    """What must be known to read the rows."""
    yield (
        "The second run minus the first, and its ratio to it, seed by seed; 95 % intervals over seeds (Student's t). "
        "Rows are not corrected for their number: of twenty that are the same, one may seem to have moved."
    )
    if other := sum(row.other_cells for row in rows):
        yield f"{other} of {sum(row.pairs for row in rows)} pairs are not the same cell: their configurations differ."
    for column, noun in (("hardware_class", "hardware"), ("stack", "versions"), ("dataset_sha256", "data")):
        found = [", ".join(distinct(cells[column])) or "unknown" for cells in (first, second)]
        if found[0] != found[1]:
            yield f"Their {noun} differ: {found[0]} and then {found[1]}."


def _recipes(*sides: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """By a recipe's digest, the protocol's title and the digest that its cells are paired by.

    Recipes with one digest pair. If neither run has two recipes of a protocol, it goes by its name alone, so that two
    runs of one suite with different steps pair.
    """
    labels = [dict(zip(cells["protocol_sha256"], cells["protocol"], strict=True)) for cells in sides]
    counts = [Counter(map(registered_name, one.values())) for one in labels]
    several = {name for count in counts for name, recipes in count.items() if recipes > 1}
    return {
        sha: (label, sha) if (name := registered_name(label)) in several else (name, "")
        for one in labels
        for sha, label in one.items()
    }


def _ok(cells: pd.DataFrame, recipes: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """The ok cells, by the recipes that they are paired by."""
    paired = [recipes[sha] for sha in cells["protocol_sha256"]]
    titled = cells.assign(protocol=[title for title, _ in paired], protocol_sha256=[digest for _, digest in paired])
    planned = tidy(titled)
    return planned.assign(is_regression=of_regression(planned)).query("status == 'ok'")[[*IDENTITY, "seed", *_FIGURES]]


def _move(names: tuple[object, ...], rows: pd.DataFrame) -> Move:
    row = dict(zip(IDENTITY, names, strict=True))
    pairs = rows[rows["key_a"].notna() & rows["key_b"].notna()]
    one_class = pairs[pairs["hardware_class_a"] == pairs["hardware_class_b"]]
    is_solved = isinstance(row["solver"], str)
    return Move(
        pool=" · ".join(str(row[name]) for name in ("protocol", "dataset", "model")),
        competitor=series_label(str(row["method"]), str(row["solver"]) if is_solved else ""),
        sparsity=float(str(row["sparsity"])),
        pairs=len(pairs),
        alone=(int(rows["key_b"].isna().sum()), int(rows["key_a"].isna().sum())),
        score=R2 if rows[["is_regression_a", "is_regression_b"]].eq(True).any(axis=None) else ACCURACY,
        equal=int((pairs["score_a"] == pairs["score_b"]).sum()),
        other_cells=int((pairs["key_a"] != pairs["key_b"]).sum()),
        difference=stats.mean_estimate(pairs["score_b"] - pairs["score_a"], of="pair"),
        time=_ratio(one_class, "training_s"),
        energy=_ratio(one_class, "energy_j"),
    )


def _ratio(pairs: pd.DataFrame, quantity: str) -> stats.Estimate:
    before, after = pairs[f"{quantity}_a"].astype(float), pairs[f"{quantity}_b"].astype(float)
    known = (before > 0) & (after > 0)
    if not known.any():
        return stats.Estimate(math.nan, None, "not measured on one hardware class in both")
    return stats.geometric_mean_estimate(after[known] / before[known], of="pair")


def moves_view(names: tuple[str, str], rows: Sequence[Move], notes: Sequence[str]) -> Iterator[Block]:
    """A table per (protocol, dataset, model), then the notes."""
    yield Heading(f"from {names[0]} to {names[1]}")
    for pool, of_pool in groupby(rows, key=lambda row: row.pool):
        yield Heading(pool, 3)
        yield _table(list(of_pool))
    yield Bullets(notes)


def _table(rows: Sequence[Move]) -> Table:
    scores = {ACCURACY: "accuracy, points", R2: "R2"}
    score = " or ".join(title for score, title in scores.items() if any(row.score is score for row in rows))
    titles = ("method", "sparsity", "pairs", score, "time", "energy", "verdict")
    lines = [
        (
            row.competitor,
            "schedule" if math.isnan(row.sparsity) else f"{row.sparsity:g}",
            _pairs(row),
            _difference(row),
            *(_shown(ratio, 1, ".3f") for ratio in (row.time, row.energy)),
            row.verdict,
        )
        for row in rows
    ]
    return Table(texts(titles, numbers=titles[1:-1], dropped=("energy", "time")), lines)


def _difference(row: Move) -> str:
    """In points of accuracy, or, said beside it, in R2."""
    shown = _shown(row.difference, row.score.scale, f"+z.{row.score.digits}f")
    return f"{shown} R2" if row.score is R2 else shown


def _pairs(row: Move) -> str:
    alone = [f" +{count} {side}" for count, side in zip(row.alone, ("before", "after"), strict=True) if count]
    return f"{row.pairs}{''.join(alone)}"


def _shown(estimate: Estimate, factor: float, form: str) -> str:
    return with_interval(estimate.mean, estimate.low, estimate.high, form, scale=factor)
