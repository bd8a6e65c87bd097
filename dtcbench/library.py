"""What a notebook or a script loads of a run: its records as DataFrames, its leaderboard, the claims by its cells."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Self

import pandas as pd

from dtcbench.analysis import claims, leaderboard
from dtcbench.errors import UserError
from dtcbench.plan.grid import Plan
from dtcbench.record import CellRecord, Status
from dtcbench.records.reading import read
from dtcbench.records.runs import plan_of, run_named
from dtcbench.records.store import Store
from dtcbench.records.tables import Tables, power_table
from dtcbench.report import build

if TYPE_CHECKING:
    from dtcbench.analysis.leaderboard import Leaderboard
    from dtcbench.analysis.verdicts import Finding


class Run:
    """The records of a run or a published bundle, or of several together; nothing is written.

    What is asked for is read once, as the records are then. A cell that is not ok keeps its row: its numbers are
    missing values, and `status` and `reason` say why. docs/columns.md says what every column means.

    Examples
    --------
    >>> run = Run("runs/tiny")
    >>> run.status()
    {'ok': 3}
    >>> float(run.cells.set_index("method").loc["dense", "sparsity_reached"])
    0.0
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        """Find the run in `folder`: a path, a name under runs/, or an address such as `s3://bucket/folder`.

        Raises
        ------
        UserError : there is no run, or its suite cannot be read; the message says what to do
        """
        store = run_named(str(folder))
        self._parts: tuple[tuple[Plan, Store], ...] = ((plan_of(store), store),)

    @classmethod
    def pool(cls, runs: Sequence[Run]) -> Self:
        """Several runs as one, each cell once: as in the first run that has it ok.

        Raises
        ------
        UserError : no run is given; or, once it is read, one data set or plug-in has different contents in the runs
        """
        if not runs:
            raise UserError("a pool of no runs: give at least one")
        pooled = cls.__new__(cls)
        pooled._parts = tuple(part for run in runs for part in run._parts)
        return pooled

    @property
    def cells(self) -> pd.DataFrame:
        """One row per planned cell, in plan order: what it is, how it ended, its figures, where it was made."""
        return self._tables.cells

    @property
    def cycles(self) -> pd.DataFrame:
        """One row per ok cell, train-compress cycle and prunable group; of dense, per cycle."""
        return self._tables.cycles

    @functools.cached_property
    def power(self) -> pd.DataFrame:
        """The samples behind the ok cells' joules, by the cell's `key`; empty where no GPU was metered."""
        traces: dict[str, pd.DataFrame] = {}
        for _, store in self._parts:
            for record in store.tabled(store.files()):
                if (
                    record.status is Status.OK
                    and record.key not in traces
                    and (trace := store.trace(record)) is not None
                ):
                    traces[record.key] = trace
        return power_table(traces.items())

    def leaderboard(self) -> Leaderboard:
        """Each method beside its dense baseline, paired by seed; `.rows` is the table."""
        suites = list(dict.fromkeys(plan.suite.name for plan, _ in self._parts))
        question = self._parts[0][0].suite.question if len(suites) == 1 else ""
        return leaderboard.build(self.cells, self.cycles, suite=", ".join(suites), question=question)

    def claims(self, reference: pd.DataFrame | None = None) -> tuple[Finding, ...]:
        """The paper's claims by these cells.

        Parameters
        ----------
        reference : the published accuracies, for the first claim: `cycle`, `width`, and one column a method
        """
        return claims.findings(self.cells, self.cycles, reference)

    def records(self) -> Iterator[CellRecord]:
        """The record that counts of each cell, one at a time: all that was measured, and where."""
        ok: set[str] = set()
        others: dict[str, CellRecord] = {}
        for _, store in self._parts:
            for record in store.records(store.files()):
                if record.status is not Status.OK:
                    others[record.key] = record
                elif record.key not in ok:
                    ok.add(record.key)
                    yield record
        yield from (record for key, record in others.items() if key not in ok)

    def status(self) -> dict[str, int]:
        """How many cells have each status; `missing` are those without a record."""
        return {str(status): int(count) for status, count in self.cells["status"].value_counts().items()}

    @functools.cached_property
    def _tables(self) -> Tables:
        return read(*self._parts[0]) if len(self._parts) == 1 else build.pool(self._parts).tables

    def __repr__(self) -> str:
        return f"Run({', '.join(str(store.root) for _, store in self._parts)})"
