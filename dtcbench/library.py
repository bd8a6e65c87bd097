"""What a notebook or a script loads of a run: its records as DataFrames, its leaderboard, the claims by its cells."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from dtcbench.analysis import claims, leaderboard
from dtcbench.errors import UserError
from dtcbench.execution.driver import Watcher
from dtcbench.execution.suite_run import executed, read_suite
from dtcbench.plan.grid import Plan
from dtcbench.record import CellRecord, Status
from dtcbench.records.reading import read
from dtcbench.records.runs import one_cell, plan_of, run_named, run_of
from dtcbench.records.store import Store
from dtcbench.records.tables import Tables, power_table
from dtcbench.registry import load_plugins
from dtcbench.report import build

if TYPE_CHECKING:
    from dtcbench.analysis.leaderboard import Leaderboard
    from dtcbench.analysis.verdicts import Conclusion


def run(
    suite: str | PathLike[str] | Mapping[str, Any],
    out: str | PathLike[str] | None = None,
    *,
    workers: int | None = None,
    inline: bool = False,
    smoke: bool = False,
    cell: str | None = None,
    retry_failed: bool = False,
    fail_over: float | None = None,
    address: str | None = None,
    plugins: Sequence[str | PathLike[str]] = (),
    progress: bool | Watcher = True,
) -> Run:
    """Run the missing cells of a suite, and rebuild its tables. The same call resumes.

    It may be called in any thread. In the main thread the first Ctrl-C finishes the running cells, and a second one
    stops at once; either way the records stay.

    Parameters
    ----------
    suite : a suite's YAML file, a shipped suite's name such as `quick`, YAML text, or a mapping
    out : the run's folder, also `s3://…`; runs/NAME-OF-THE-SUITE if None
    workers : number of cells at once; by the number of cores, or by the cluster's nodes, if None
    inline : run the cells in this process, one after another, without Ray
    smoke : run a rehearsal instead: one seed, a few steps; its run is called NAME-smoke
    cell : run only the cell whose key begins with these digits
    retry_failed : run failed cells again
    fail_over : start no more cells when a larger share of them has failed, from 0 to 1
    address : HOST:PORT of a Ray cluster, or `auto`; a Ray is started on this machine if None
    plugins : Python files that register models, data sets, methods or solvers
    progress : print the progress; or a `Watcher`, which receives each event

    Raises
    ------
    UserError : the suite, an option, the run's folder or the cluster cannot be used; the message says what to do
    KeyboardInterrupt : at the second Ctrl-C

    Examples
    --------
    >>> suite = '''
    ... name: example
    ... question: Does magnitude keep more accuracy than random removal?
    ... cost: a second
    ... protocol: {name: standard, steps: 20, batch_size: 32, lr: 0.01, cycle_steps: 2, keep: 0.8}
    ... grid:
    ... - models: [{name: mlp, widths: [16]}]
    ...   datasets: [digits]
    ...   methods: [magnitude, random]
    ...   sparsities: [0.5]
    ...   seeds: 1
    ... '''
    >>> example = run(suite, inline=True, progress=False)
    >>> example.status()
    {'ok': 3}
    >>> sorted(example.cells["method"])
    ['dense', 'magnitude', 'random']
    """
    for option, given in (("--workers", workers), ("--address", address)):
        if given is not None and inline:
            raise UserError(f"{option} does nothing with --inline: remove one of them")
    if cell is not None and smoke:
        raise UserError("--cell names a cell of the suite, and a rehearsal has others: remove --cell or --smoke")
    folder = None if out is None else fspath(out)
    loaded = load_plugins(map(Path, plugins))
    text, plan = read_suite(suite, folder, smoke=smoke)
    cells = plan.cells if cell is None else (one_cell(cell, plan.cells),)
    store = run_of(plan.suite.name, folder)
    watcher = progress if isinstance(progress, Watcher) else _printed() if progress else Watcher()
    with executed(
        plan,
        text,
        store,
        watcher,
        cells=cells,
        plugins=loaded,
        retry_failed=retry_failed,
        fail_over=fail_over,
        workers=workers,
        address=address,
        inline=inline,
    ):
        derived = build.derive(plan, store)
        watcher.written(build.write(derived, store))
    return Run._of(plan, store, derived)


def _printed() -> Watcher:
    from rich.console import Console

    from dtcbench.report.progress import RunProgress

    return RunProgress(Console(highlight=False))


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

    @classmethod
    def _of(cls, plan: Plan, store: Store, derived: build.Derived) -> Self:
        """The run in `store`, with its tables as they have just been rebuilt."""
        run = cls.__new__(cls)
        run._parts = ((plan, store),)
        run._tables, run._board = derived.tables, derived.board
        return run

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
        return self._board

    @functools.cached_property
    def _board(self) -> Leaderboard:
        suites = list(dict.fromkeys(plan.suite.name for plan, _ in self._parts))
        question = self._parts[0][0].suite.question if len(suites) == 1 else ""
        return leaderboard.build(self.cells, self.cycles, suite=", ".join(suites), question=question)

    def claims(self, reference: pd.DataFrame | None = None) -> tuple[Conclusion, ...]:
        """The paper's claims by these cells.

        Parameters
        ----------
        reference : the published accuracies, for the first claim: `cycle`, `width`, and one column a method
        """
        return claims.conclusions(self.cells, self.cycles, reference)

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
