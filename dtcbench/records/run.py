"""A run's records, to read: as DataFrames, one by one, as a leaderboard, as what its cells say of claims."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import TYPE_CHECKING, Self

import pandas as pd

from dtcbench import published, registry
from dtcbench.analysis import leaderboard
from dtcbench.analysis.claims import conclusions
from dtcbench.analysis.pairing import distinct
from dtcbench.analysis.reproduction import read_reference
from dtcbench.analysis.sequential import Looks
from dtcbench.errors import UserError
from dtcbench.plan.claim import Claim, ClaimFile
from dtcbench.plan.claim import load as load_claims
from dtcbench.plan.grid import Plan
from dtcbench.record import CellRecord
from dtcbench.records import contributions, mixing, tables
from dtcbench.records.contributions import Contribution
from dtcbench.records.fixed_rules import NOT_SEALED, FixedRules, fixed_rules, judged_claims
from dtcbench.records.location import AnyPath
from dtcbench.records.lookup import plan_of, run_named
from dtcbench.records.store import Store, uncollected

if TYPE_CHECKING:
    from dtcbench.analysis.leaderboard import Leaderboard
    from dtcbench.analysis.verdicts import Conclusion


class Run:
    """The records of a run or a published bundle, or of several together; nothing is written.

    What is asked for is read once, as the records are then; the DataFrames are copies. A cell that is not ok keeps
    its row: its numbers are missing values, and `status` and `reason` say why. docs/columns.md says what every column
    means.

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
        UserError : the folder holds no run, or its suite cannot be read; the message says what to do
        """
        if not isinstance(folder, str | PathLike):
            raise UserError(f"{folder!r} is not a folder: give a path, a name under runs/, or an address")
        store = run_named(fspath(folder) if isinstance(folder, PathLike) else folder)
        self._set(((plan_of(store), store),))

    @classmethod
    def of(cls, plan: Plan, store: Store, *, anew: bool = False) -> Self:
        """The run in `store`, with the cells of `plan`; its folder may be new. With `anew` its records themselves are
        read, whatever its index says."""
        run = cls.__new__(cls)
        run._set(((plan, store),))
        run._is_anew = anew
        return run

    @classmethod
    def pool(cls, runs: Sequence[Run | str | PathLike[str]]) -> Self:
        """Several runs, or their folders, as one, each cell once: the first ok record of a cell counts, else the last.

        Raises
        ------
        UserError : no run is given; or, once it is read, one data set or plug-in has different contents in the runs
        """
        if isinstance(runs, Run | str | PathLike):
            raise UserError(f"a pool takes a list of runs, and {runs!r} is one: write [{runs!r}]")
        given = [run if isinstance(run, Run) else Run(run) for run in runs]
        if not given:
            raise UserError("a pool of no runs: give at least one")
        pooled = cls.__new__(cls)
        pooled._set(tuple(part for run in given for part in run._runs))
        pooled._fixed = tuple(part for run in given for part in run._fixed)
        return pooled

    _is_anew = False

    def _set(self, runs: tuple[tuple[Plan, Store], ...]) -> None:
        self._runs = runs
        self._fixed = tuple((store.fixed(), store.suite.is_file()) for _, store in runs)
        """The same stores by absolute paths, and whether the run existed: a later chdir changes nothing."""

    @property
    def plan(self) -> Plan:
        """The plan of its suite."""
        return self._alone[0]

    @property
    def store(self) -> Store:
        """Its files."""
        return self._alone[1]

    @property
    def folder(self) -> AnyPath:
        """Its folder."""
        return self.store.root

    @property
    def suite(self) -> str:
        """The suite's name; of several suites, their names with commas."""
        return ", ".join(dict.fromkeys(plan.suite.name for plan, _ in self._runs))

    @property
    def cells(self) -> pd.DataFrame:
        """One row per planned cell, in plan order: what it is, how it ended, what it measured, where it ran."""
        return tables.typed(self._tables.cells)

    @property
    def cycles(self) -> pd.DataFrame:
        """One row per ok cell, train-compress cycle and prunable group; of dense, one per cycle."""
        return self._tables.cycles.copy()

    @property
    def use(self) -> pd.DataFrame:
        """One row per ok cell and way of using its network, if the suite asks for it; else empty."""
        return self._tables.use.copy()

    @property
    def power(self) -> pd.DataFrame:
        """The samples behind the cells' joules, by the cell's `key`; empty if no GPU was metered."""
        return self._power.copy()

    @property
    def traces(self) -> Mapping[str, pd.DataFrame]:
        """The samples of each metered cell, by its key; read whenever they are asked for."""
        return _Traces(self)

    def trace(self, record: CellRecord) -> pd.DataFrame | None:
        """The samples behind a record's energy; None if nothing was sampled.

        StoreError if the file is missing, or is not the one that the record was made from.
        """
        return self._store_of(record.key).trace(record)

    def _store_of(self, key: str) -> Store:
        """The store with the record that counts for a cell."""
        return self._stores[self._tables.owners[key] if len(self._runs) > 1 else 0]

    @property
    def conflicts(self) -> frozenset[str]:
        """Of a pool, the keys of the cells that a later run has with another accuracy, which does not count."""
        return self._tables.conflicts

    def leaderboard(self) -> Leaderboard:
        """Each method compared with its dense baseline, paired by seed; `.rows` is the table."""
        made = self._leaderboard
        return dataclasses.replace(made, rows=made.rows.copy(), summary=made.summary.copy())

    def claims(
        self,
        reference: pd.DataFrame | str | PathLike[str] | None = None,
        claims: Sequence[str | PathLike[str] | Claim] | None = None,
    ) -> tuple[Conclusion, ...]:
        """What these cells say of claims: those of the paper, or others.

        Parameters
        ----------
        reference : published accuracies in place of the paper's, for the first claim: a CSV file's path or a
            DataFrame, with the columns `cycle`, `width`, and one per method, named `magnitude-published` or
            `magnitude_accuracy`
        claims : YAML files of claims, names of the package's own, or claims that `plan.claim.load` gave; if there
            are none, those that were sealed with the runs, and the package's if one of the runs is not sealed

        Raises
        ------
        UserError : the reference or a claim's file cannot be read; the message says what is wrong
        """
        given = [load_claims([one])[0].claim if not isinstance(one, Claim) else one for one in claims or ()]
        return conclusions(
            given or [one.claim for one in judged_claims(self._fixed_rules)],
            self.cells.assign(suite=self._suites),
            self.cycles,
            looks={
                plan.suite.name: Looks(growing.first, growing.step, growing.most)
                for plan, _ in self._runs
                if (growing := plan.suite.growing)
            },
            use=self.use,
            reference=published.accuracies() if reference is None else read_reference(reference),
            measurements=published.measurements(),
        )

    def rules(self, claims: Sequence[str | PathLike[str]] | None = None) -> tuple[str, ...]:
        """Of each run, whether the rules of these claims were sealed before its first cell.

        Without claims they are those that `claims` judges then; of these, a sealed run answers for its own.
        UserError for a claim's file, or sealed rules, that cannot be read.
        """
        judged = load_claims(claims) if claims else judged_claims(self._fixed_rules)
        at, are_named = datetime.now(UTC), bool(claims)
        return tuple(
            dict.fromkeys(
                self._rules_of(plan, store, sealed, judged, at, are_named)
                for (plan, store), sealed in zip(self._runs, self._fixed_rules, strict=True)
            )
        )

    @property
    def _fixed_rules(self) -> list[FixedRules | None]:
        """Of each run, the sealed rules."""
        return [store.fixed_rules() for _, store in self._runs]

    @staticmethod
    def _rules_of(
        plan: Plan, store: Store, sealed: FixedRules | None, judged: tuple[ClaimFile, ...], at: datetime, named: bool
    ) -> str:
        if sealed is None:
            return f"{plan.suite.name}: {NOT_SEALED}"
        starts = [one.started_at for attempts in store.outlines().attempts.values() for one in attempts]
        answered = [one for one in judged if named or one.claim.id in sealed.claims]
        now = fixed_rules(answered, store.suite.read_text(encoding="utf-8"), at)
        return f"{plan.suite.name}: {sealed.state(now, starts)}"

    @property
    def _suites(self) -> list[str]:
        """Per row of `cells`, the names of all suites that plan it, with commas."""
        planned: dict[str, dict[str, None]] = {}
        for plan, _ in self._runs:
            for cell in plan.cells:
                planned.setdefault(cell.key, {})[plan.suite.name] = None
        return [", ".join(planned[key]) for key in self._tables.cells["key"]]

    def records(self) -> Iterator[CellRecord]:
        """The record that counts of each planned cell, one at a time: all that was measured, and where."""
        owners = self._tables.owners
        for number, store in enumerate(self._stores):
            files = (names for key, names in store.files().items() if owners.get(key) == number)
            yield from store.decisive(files, CellRecord)

    def status(self) -> dict[str, int]:
        """How many cells have each status; `missing` are those without a record."""
        return {str(status): int(count) for status, count in self.cells["status"].value_counts().items()}

    @property
    def _alone(self) -> tuple[Plan, Store]:
        self._refuse_pool()
        return self._runs[0]

    def _refuse_pool(self) -> None:
        if len(self._runs) > 1:
            raise UserError(f"{self!r} is a pool: ask each of its runs for its folder and its plan")

    @property
    def _stores(self) -> list[Store]:
        """The stores to read from; StoreError if one of them is gone."""
        read = []
        for (_, named), (fixed, existed) in zip(self._runs, self._fixed, strict=True):
            # Messages name a file as the user named the folder, as long as that leads there.
            store = named if named.fixed().root == fixed.root else fixed
            read.append(store.existing() if existed else store)
        return read

    @functools.cached_property
    def _power(self) -> pd.DataFrame:
        return tables.power_table(self.traces.items())

    @functools.cached_property
    def _tables(self) -> tables.Tables:
        planned = {cell.key: cell for plan, _ in self._runs for cell in plan.cells}
        with uncollected():
            made = tables.assembled(planned.values(), [self._part(store) for store in self._stores], self.suite)
        if len(suites := [plan.suite.name for plan, _ in self._runs]) > 1:
            of_cell = {cell.key: plan.suite.name for plan, _ in reversed(self._runs) for cell in plan.cells}
            of_cell |= {key: suites[number] for key, number in made.owners.items()}
            made.cells["suite"] = [of_cell[key] for key in made.cells["key"]]
        if found := list(mixing.mixtures(sorted(made.sources))) if len(self._runs) > 1 else []:
            raise UserError(f"{'; '.join(found)}; name runs that were made with the same")
        return made

    def _part(self, store: Store) -> Contribution:
        return contributions.read(store, None if self._is_anew else contributions.kept(store))

    @functools.cached_property
    def _leaderboard(self) -> Leaderboard:
        question = self._runs[0][0].suite.question if len({plan.suite.name for plan, _ in self._runs}) == 1 else ""
        cells, cycles = _levelled(self.cells), self.cycles
        with uncollected():
            return leaderboard.build(cells, cycles, suite=self.suite, question=question)

    def __repr__(self) -> str:
        return f"Run({', '.join(str(store.root) for _, store in self._runs)})"


def _levelled(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` whose stacks differ in versions alone: a cell whose network no other package builds is on no stack of
    its own, and gets the first version of each package that builds those of the others."""
    if len(distinct(cells["stack"])) < 2:
        return cells
    from dtcbench.models.packages import building  # torch, which most runs are read without

    optional = {name for model in registry.models.names() for name in building(model)}
    stacks = [
        frozenset(part for part in stack.split(", ") if part.split(" ")[0] in optional)
        for stack in distinct(cells["stack"])
    ]
    if len(set(stacks)) < 2:
        return cells
    first = {part.split(" ")[0]: part for part in sorted(set().union(*stacks), reverse=True)}

    def with_all(stack: str) -> str:
        lacking = [text for name, text in first.items() if f", {name} " not in f", {stack}"]
        return ", ".join(sorted([*stack.split(", "), *lacking]))

    return cells.assign(stack=cells["stack"].map(with_all, na_action="ignore"))


class _Traces(Mapping[str, pd.DataFrame]):
    """A run's `traces`: together they may not fit into memory."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getitem__(self, key: str) -> pd.DataFrame:
        return self._run._store_of(key).samples(key, *self._run._tables.traces[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._run._tables.traces)

    def __len__(self) -> int:
        return len(self._run._tables.traces)
