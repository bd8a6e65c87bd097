"""Tables that others have published: recomputed from their own numbers, and the rows of ours to hold them against.

Numbers keep the digits they were printed with, since those say how far rounding can move a difference.
docs/publishing.md describes the columns.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dtcbench.analysis.pairing import DENSE, POOL, registered_name
from dtcbench.errors import UserError

if TYPE_CHECKING:
    from upath import UPath

NAMES = ("source", "network", "dataset", "method")
"""Columns that every row fills in."""
NUMBERS = (
    *("baseline_accuracy_pct", "accuracy_pct", "difference_points"),
    *("baseline_flops", "flops", "speedup"),
    *("baseline_neurons", "neurons", "sparsity"),
)
"""Columns that may be empty: the two sides of a quantity, and what the source states of it."""


@dataclass(frozen=True)
class Recomputed:
    """One quantity of a published row: from its two sides, and as its source states it."""

    before: Decimal | None
    after: Decimal | None
    value: Decimal | None
    """From the two sides; None if one is missing."""
    stated: Decimal | None
    rounding: Decimal
    """How far `value` and `stated` may be apart because the printed numbers are rounded."""

    @property
    def disagrees(self) -> bool:
        """Whether rounding cannot explain what is stated."""
        return self.value is not None and self.stated is not None and abs(self.value - self.stated) > self.rounding

    @property
    def best(self) -> Decimal | None:
        """The recomputed value, or without it the stated one."""
        return self.stated if self.value is None else self.value


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table."""

    source: str
    network: str
    dataset: str
    method: str
    numbers: Mapping[str, Decimal]
    """By column, those that the row fills in."""

    @property
    def difference(self) -> Recomputed:
        """Accuracy minus the baseline's, in percentage points."""
        before, after, stated = map(self.numbers.get, NUMBERS[:3])
        if before is None or after is None:
            return Recomputed(before, after, None, stated, Decimal(0))
        return Recomputed(
            before, after, after - before, stated, sum(map(_half_unit, (before, after, stated)), Decimal(0))
        )

    @property
    def speedup(self) -> Recomputed:
        """The baseline's FLOPs over the network's."""
        before, after, stated = map(self.numbers.get, NUMBERS[3:6])
        if before is None or after is None:
            return Recomputed(before, after, None, stated, Decimal(0))
        relative = _half_unit(before) / before + _half_unit(after) / after
        return Recomputed(before, after, before / after, stated, before / after * relative + _half_unit(stated))

    @property
    def sparsity(self) -> Recomputed:
        """The removed fraction of the baseline's hidden neurons, which are counted and not rounded."""
        before, after, stated = map(self.numbers.get, NUMBERS[6:])
        if before is None or after is None:
            return Recomputed(before, after, None, stated, Decimal(0))
        return Recomputed(before, after, 1 - after / before, stated, _half_unit(stated))


def read_published(path: Path | UPath) -> list[PublishedRow]:
    """The rows of a CSV of published results, in its order.

    UserError names every line and column that cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns, rows = list(reader.fieldnames or ()), [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"--published {path}: cannot be read as CSV: {reason}; give a table with commas") from None
    if mistakes := list(_mistaken_columns(columns)) or [m for line, row in rows for m in _mistakes(line, row)]:
        raise UserError("\n".join(f"--published {path}: {mistake}" for mistake in mistakes))
    return [PublishedRow(**{name: row[name].strip() for name in NAMES}, numbers=_numbers(row)) for _, row in rows]


def counterparts(row: PublishedRow, board: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of a leaderboard to hold a published one against: per protocol, those of the same network and data at
    the nearest sparsity, or at the nearest speed-up where the published row has no sparsity.

    A published row that removes nothing has dense as its counterpart. Nothing is nearest to a row without either.
    """
    same = board[_names(board["model"], row.network) & _names(board["dataset"], row.dataset) & (board["ok"] > 0)]
    removed, speedup = row.sparsity.best, row.speedup.best
    for _, pool in same.groupby(POOL, sort=False):
        compressed = pool[pool["sparsity_reached"] > 0]
        dense = pool[pool["method"] == DENSE]
        if removed == 0 or (removed is None and speedup == 1):
            if len(dense):
                yield dense
        elif len(compressed) and removed is not None:
            yield _nearest(compressed, compressed["sparsity_reached"] - float(removed))
        elif len(compressed) and speedup is not None:
            yield _nearest(compressed, 1 / compressed["inference_flops_ratio"] - float(speedup))


def _nearest(rows: pd.DataFrame, distances: pd.Series) -> pd.DataFrame:
    """The rows at the planned sparsity of the one with the least distance; the first of two."""
    level = rows["sparsity"].iloc[int(distances.abs().to_numpy().argmin())]
    there: pd.DataFrame = rows[(rows["sparsity"] == level) | (rows["sparsity"].isna() & pd.isna(level))]
    return there


def _names(labels: pd.Series, name: str) -> pd.Series:
    """Which labels have this name: `LeNet-300-100` and `lenet 300 100` are one."""
    plain = [re.sub(r"[\W_]", "", text.casefold()) for text in (name, *map(registered_name, labels))]
    return pd.Series([label == plain[0] for label in plain[1:]], index=labels.index, dtype=bool)


def _half_unit(number: Decimal | None) -> Decimal:
    """Half a unit of the last printed digit."""
    exponent = number.as_tuple().exponent if number is not None else None
    return Decimal(5).scaleb(exponent - 1) if isinstance(exponent, int) else Decimal(0)


def _mistaken_columns(columns: Iterable[str]) -> Iterator[str]:
    known = (*NAMES, *NUMBERS)
    if absent := [name for name in NAMES if name not in columns]:
        yield f"has no column {', '.join(absent)}; the columns are {', '.join(known)}"
    for name in columns:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            yield f"unknown column {name!r}" + (f"; did you mean {near[0]!r}?" if near else "; remove it")


def _mistakes(line: int, row: Mapping[str, str | None]) -> Iterator[str]:
    if None in row or None in row.values():
        yield f"line {line}: has not as many fields as there are columns; put a text with commas in quotes"
        return
    for name in NAMES:
        if not (row[name] or "").strip():
            yield f"line {line}: {name} is empty"
    for name in NUMBERS:
        if (text := (row.get(name) or "").strip()) and _number(text) is None:
            yield f"line {line}: {name}: {text!r} is not a number; write 93.53 or -0.33, a count also as 300 + 100"
    for name in NUMBERS:
        if name.endswith(("flops", "neurons")) and (number := _number(row.get(name) or "")) is not None and number <= 0:
            yield f"line {line}: {name} is {number}; it must be positive"


def _numbers(row: Mapping[str, str]) -> dict[str, Decimal]:
    found = {name: _number(row.get(name) or "") for name in NUMBERS}
    return {name: number for name, number in found.items() if number is not None}


def _number(text: str) -> Decimal | None:
    """A plain number, or a sum of such, in which − may be the minus sign; None if it is neither."""
    parts = text.replace("−", "-").split(" + ")
    try:
        numbers = [Decimal(part.strip()) for part in parts]
    except InvalidOperation:
        return None
    return sum(numbers, Decimal(0)) if all(number.is_finite() for number in numbers) else None
