"""Which cells compare with which: the tidy table that adds to every cell its dense baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtcbench.record import Energy, Metrics, number_fields

DENSE = "dense"
"""The method every other one is paired with."""


class Pool(NamedTuple):
    """What two cells must share to be compared."""

    protocol: str
    """The protocol's label for readers; only the digest is unique."""
    protocol_sha256: str
    dataset: str
    model: str

    @property
    def title(self) -> str:
        """`standard(steps=600) · digits · mlp`."""
        return " · ".join([self.protocol, self.dataset, self.model])


def registered_name(label: str) -> str:
    """The name in the label of an axis value, without its version and options: `dtc` of `dtc@2(lam=0.5)`."""
    return label.partition("(")[0].partition("@")[0]


POOL = list(Pool._fields)
IDENTITY = [*POOL, "sparsity", "method", "solver"]
"""The columns that identify a row of the leaderboard: all but the seed."""
COSTS = ["parameters", "training_flops", "inference_flops"]
HITS = ["hits", "test_samples"]
"""Which test images a cell got right, and how many there are; missing in older records and for text."""
METER = ["quantisation_j", "repeat_spread_j", "repeats"]
"""What tells how far a cell's joules may be off."""
_NUMBERS = {
    "sparsity_reached",
    *number_fields(Metrics),
    *number_fields(Energy),
    *("training_s", "mean_power_w", "idle_w", "net_energy_j"),
} - {"sparsity"}
"""Columns with the numbers of a cell: if no cell is ok, a table may hold them as objects."""
_FROM_DENSE = [
    "key",
    "accuracy",
    "score",
    *HITS,
    *COSTS,
    "energy_j",
    *METER,
    "net_energy_j",
    "cpu_energy_j",
    "mean_power_w",
    "training_s",
    "reached",
    "target_j",
    "energy_method",
    "energy_scope",
    "energy_reason",
    "energy_flags",
    "simulated",
    "gpu_uuid",
    "hardware_class",
]


def tidy(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` sorted by identity and seed. A missing solver is the empty string; `HITS`, `METER`, `energy_scope` and
    `r2` are there, if need be empty. The `score` of a cell is its accuracy, or R2 of a regression: to compare within
    one data set."""
    solver = cells["solver"].astype(object).where(cells["solver"].notna(), "")
    absent = {name: None for name in (*HITS, *METER, "energy_scope", "r2") if name not in cells}
    named = cells.assign(solver=solver, **absent)
    typed = named.astype(dict.fromkeys(_NUMBERS.intersection(named), float))
    typed = typed.assign(score=typed["accuracy"].fillna(typed["r2"]))
    return typed.sort_values([*IDENTITY, "seed"], kind="stable", ignore_index=True)


def with_baseline(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` with the numbers of each cell's ok dense cell in columns `…_baseline`; NaN without such a cell.

    `pool_seeds` is the number of planned seeds in the cell's pool.
    """
    is_baseline = (cells["method"] == DENSE) & (cells["status"] == "ok")
    dense = cells.loc[is_baseline, [*POOL, "seed", *_FROM_DENSE]]
    seeds = cells.groupby(POOL)["seed"].transform("nunique")
    return cells.assign(pool_seeds=seeds).merge(
        dense, on=[*POOL, "seed"], how="left", suffixes=("", "_baseline"), validate="many_to_one"
    )


def of_regression(cells: pd.DataFrame) -> pd.Series[bool]:
    """Which of the tidy `cells`, or of a leaderboard's rows, belong to pools whose ok ones have no accuracy."""
    ok, accuracy = (cells["status"] == "ok", "accuracy") if "status" in cells else (cells["ok"] > 0, "accuracy_mean")
    without = ok & cells[accuracy].isna()
    if not without.any():
        return without
    return without.groupby([cells[name] for name in POOL]).transform("any")


class Rows:
    """Some rows of a table, by column: like a DataFrame, but cheap for a handful of rows."""

    def __init__(self, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> None:
        self._columns = columns
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """The column's values in these rows."""
        return self._columns[column][self._rows]

    def where(self, chosen: NDArray[np.bool_]) -> Rows:
        """The chosen rows."""
        return Rows(self._columns, self._rows[chosen])


def groups(table: pd.DataFrame, by: list[str]) -> Iterator[tuple[tuple[Any, ...], Rows]]:
    """Per combination of values in the columns `by`: the values and the rows, in the order of the first rows."""
    columns = {str(name): table[name].to_numpy() for name in table}
    numbers = table.groupby(by, sort=False, dropna=False).ngroup().to_numpy()
    for rows in np.split(np.argsort(numbers, kind="stable"), np.flatnonzero(np.diff(np.sort(numbers))) + 1):
        if rows.size:
            yield tuple(columns[name][rows[0]] for name in by), Rows(columns, rows)


def known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are not missing."""
    there: NDArray[np.bool_] = ~pd.isna(values)
    return there


def unlike_stacks(stacks: Sequence[str]) -> tuple[str, ...]:
    """The versions in which stacks differ, one text for each, without plug-ins: only some cells use them."""
    parts = [{part for part in stack.split(", ") if not part.startswith("plug-in ")} for stack in stacks]
    shared = {part for part in parts[0] if all(part in one for one in parts)} if parts else set()
    return distinct(", ".join(sorted(one - shared)) for one in parts)


def distinct(values: Iterable[Any]) -> tuple[str, ...]:
    """The distinct known values, as text, sorted."""
    return tuple(sorted({str(value) for value in values if not pd.isna(value)}))
