"""What moved between two runs, row by row, paired by seed. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from dtcbench.analysis import stats
from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import IDENTITY, distinct, registered_name, tidy

_FIGURES = ["key", "accuracy", "training_s", "energy_j", "hardware_class"]


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
    equal: int
    """Pairs whose accuracy is equal to the last bit."""
    other_cells: int
    """Pairs that are not the same cell: something in their keys differs."""
    accuracy: stats.Estimate
    """The second run's test accuracy minus the first's, a fraction of 1."""
    time: stats.Estimate
    """Seconds inside the energy boundary, the second run's over the first's; NaN unless on one hardware class."""
    energy: stats.Estimate
    """The same of joules, over the pairs measured on both sides."""

    @property
    def verdict(self) -> str:
        """`same`, `moved` where the interval of accuracy leaves 0 out, or why nothing can be told."""
        if not self.pairs:
            return "no seed in both"
        if self.equal == self.pairs:
            return "same"
        if self.accuracy.interval is None:
            return "too few seeds"
        low, high = self.accuracy.interval
        return "not told apart" if low <= 0 <= high else "moved"


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
        "The second run minus the first, and its ratio to it, seed by seed; 95 % bootstrap intervals over seeds. Rows "
        "are not corrected for their number: of twenty that are the same, one may seem to have moved."
    )
    if other := sum(row.other_cells for row in rows):
        yield f"{other} of {sum(row.pairs for row in rows)} pairs are not the same cell: their configurations differ."
    for column, noun in (("hardware_class", "hardware"), ("stack", "versions"), ("dataset_sha256", "data")):
        found = [", ".join(distinct(cells[column])) or "unknown" for cells in (first, second)]
        if found[0] != found[1]:
            yield f"Their {noun} differ: {found[0]} and then {found[1]}."


def _recipes(*sides: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """By a recipe's digest, the protocol's title and the digest that its cells are paired by.

    Recipes with one digest pair. A protocol of which neither run has two recipes goes by its name alone, so that two
    runs of one suite with other steps stand beside one another.
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
    return tidy(titled).query("status == 'ok'")[[*IDENTITY, "seed", *_FIGURES]]


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
        equal=int((pairs["accuracy_a"] == pairs["accuracy_b"]).sum()),
        other_cells=int((pairs["key_a"] != pairs["key_b"]).sum()),
        accuracy=stats.mean_estimate(pairs["accuracy_b"] - pairs["accuracy_a"], of="pair"),
        time=_ratio(one_class, "training_s"),
        energy=_ratio(one_class, "energy_j"),
    )


def _ratio(pairs: pd.DataFrame, quantity: str) -> stats.Estimate:
    before, after = pairs[f"{quantity}_a"].astype(float), pairs[f"{quantity}_b"].astype(float)
    known = (before > 0) & (after > 0)
    if not known.any():
        return stats.Estimate(math.nan, None, "not measured on one hardware class in both")
    return stats.geometric_mean_estimate(after[known] / before[known], of="pair")
