"""Every rule on a run or a bundle, which may come from a stranger: nothing of it is run, nothing outside of it read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dtcbench.plan.document import SuiteError
from dtcbench.plan.grid import Plan, expand
from dtcbench.plan.names import REGISTERED, Declared, Meaning, Names
from dtcbench.plan.rehearsal import SUFFIX
from dtcbench.plan.suite import Suite, parse
from dtcbench.publish import record_rules, table_rules
from dtcbench.publish.card import bundle_files, licence_of
from dtcbench.publish.findings import Finding, bars, error, lines, warning
from dtcbench.record import CellRecord
from dtcbench.records import mixing, samples
from dtcbench.records.listing import Listing, listing
from dtcbench.records.location import StoreError
from dtcbench.records.runs import names_of
from dtcbench.records.store import CARD, Store
from dtcbench.report import build

MOST_CELLS = 1_000_000
"""A suite that plans more is not expanded."""


@dataclass(frozen=True)
class Examined:
    """What is known of a folder, and what was found against it."""

    store: Store
    listing: Listing
    plan: Plan | None
    derived: build.Derived | None
    """Tables and leaderboard as the records give them; None where they give none."""
    findings: tuple[Finding, ...]
    unclaimed: frozenset[str] = frozenset()
    """Files of samples that no record speaks of: an attempt was cut short before its record was written."""

    @property
    def is_bundle(self) -> bool:
        """Whether it was published: then it holds nothing but what is published."""
        return CARD in self.listing.files

    @property
    def errors(self) -> list[str]:
        """What bars publishing, in lines."""
        return lines(found for found in self.findings if found.weight == "error")


def check(store: Store) -> tuple[Finding, ...]:
    """Every finding on the folder as it stands. The plug-ins that its suite names must be loaded already."""
    examined = examine(store)
    return (*examined.findings, *_against_the_records(examined))


def examine(store: Store) -> Examined:
    """Every finding on what the folder's records are; what was derived from them is not looked at."""
    found = listing(store.root)
    if found.unsafe:
        unsafe = tuple(error("folder", one.name, one.reason) for one in found.unsafe)
        return Examined(store, found, None, None, (*unsafe, error("folder", "", "nothing in it was read")))
    plan, findings = _plan(store)
    unclaimed = {name for name, kind in found.files.items() if kind == "trace"}
    findings += _records(store, plan, unclaimed)
    weigh = error if CARD in found.files else warning
    findings += [weigh("files", name, "samples that no record speaks of") for name in sorted(unclaimed)]
    derived = None
    if plan is not None and not any(one.rule in ("seals", "figures", "traces") and bars([one]) for one in findings):
        derived, more = _derived(plan, store)
        findings += more
    return Examined(store, found, plan, derived, tuple(findings), frozenset(unclaimed))


def _plan(store: Store) -> tuple[Plan | None, list[Finding]]:
    name = store.suite.name
    try:
        names = names_of(store)
        suite = parse(store.suite.read_text(encoding="utf-8"), name, names)
        if (cells := _planned(suite)) > MOST_CELLS:
            return None, [error("suite", name, f"it plans {cells} cells, more than {MOST_CELLS}")]
        rehearsed = [error("suite", name, "a rehearsal: its figures mean nothing; run the suite itself")]
        return expand(suite, names), [*_misnamed(names), *(rehearsed if suite.name.endswith(SUFFIX) else [])]
    except SuiteError as wrong:
        return None, [error("suite", mistake.file, str(mistake)) for mistake in wrong.mistakes]
    except (OSError, ValueError) as wrong:
        return None, [error("suite", name, f"it cannot be read: {wrong}")]


def _misnamed(names: Names) -> Iterator[Finding]:
    """Names of this package that a run declares to mean something else: its tables would be labelled wrongly."""
    if not isinstance(names, Declared):
        return
    for noun, meanings in names.meanings.items():
        for name, meaning in meanings.items():
            here = REGISTERED.meaning(noun, name) if name in REGISTERED.known(noun) else None
            is_ours = here.plugin is None if here else meaning.plugin is None
            if is_ours and (here is None or _planned_by(here) != _planned_by(meaning)):
                yield error("suite", "names.json", f"{noun} {name!r} is not this dtcbench's; use the one that wrote it")


def _planned_by(meaning: Meaning) -> Meaning:
    """A meaning without its words, which may change between versions."""
    return meaning.model_copy(update={"summary": ""})


def _planned(suite: Suite) -> int:
    """The most cells that a suite may come to, counted without making them."""
    return sum(
        math.prod(len(axis) for axis in (block.models, block.datasets, block.methods, block.solvers, block.seeds))
        * len(block.sparsities or "1")
        for block in suite.grid
    )


def _records(store: Store, plan: Plan | None, unclaimed: set[str]) -> list[Finding]:
    """What the records say against themselves; the files of samples that they speak of are taken from `unclaimed`."""
    findings: list[Finding] = []
    planned = {cell.key: cell for cell in plan.cells} if plan else None
    origins: set[tuple[str, str]] = set()
    for where, record in store.examined():
        if isinstance(record, ValueError):
            findings.append(error("seals", where, str(record).partition("\n")[0].removeprefix(f"{where}: ")))
            continue
        findings += record_rules.of_record(record, where)
        findings += _trace(store, record)
        unclaimed.discard(store.trace_name(record))
        if plan is not None and record.suite != plan.suite.name:
            findings.append(error("suite", where, f"a record of suite {record.suite}, not {plan.suite.name}"))
        if planned is not None and record.key not in planned:
            findings.append(warning("cells", where, "of a cell that the suite does not plan: it is in no table"))
        elif planned is not None:
            findings += record_rules.of_plan(record.cell, planned[record.key], where)
        origins.update(mixing.sources(record))
    return [*findings, *(error("provenance", "", mixture) for mixture in mixing.mixtures(sorted(origins)))]


def _trace(store: Store, record: CellRecord) -> Iterator[Finding]:
    energy = record.energy
    if energy is None or energy.trace_sha256 is None:
        return
    where = store.trace_name(record)
    try:
        trace = store.trace(record)
    except StoreError as wrong:
        yield error("traces", where, str(wrong).removeprefix(f"{store.root / where}: "))
        return
    if trace is not None:
        yield from record_rules.of_trace(energy, trace, where)


def _derived(plan: Plan, store: Store) -> tuple[build.Derived | None, list[Finding]]:
    try:
        derived = build.derive(plan, store)
        findings = list(table_rules.of_tables(derived.tables))
    except Exception as wrong:  # records from elsewhere may hold anything that the schema lets through
        return None, [error("figures", "", f"no table can be made of the records: {type(wrong).__name__}: {wrong}")]
    return derived, [*findings, *(error("meter", "", obstacle) for obstacle in derived.board.obstacles)]


def _against_the_records(examined: Examined) -> Iterator[Finding]:
    """What was derived against what the records give, and files that no run has."""
    if examined.derived is None:
        if not examined.listing.unsafe:
            yield warning("derived", "", "tables and reports were not compared: mend the errors first")
        return
    try:
        made = build.files(examined.derived, examined.store)
        figures = build.figures(examined.derived, examined.store).keys()
    except Exception as wrong:  # as above
        yield error("derived", "", f"no report can be made of the records: {type(wrong).__name__}: {wrong}")
        return
    given = {name: content.encode() if isinstance(content, str) else content for name, content in made.items()}
    root, remedy = examined.store.root, "`dtcbench report` builds it"
    if examined.is_bundle:
        present = (root / CARD).read_text(encoding="utf-8", errors="replace")
        published = bundle_files(examined.derived, made, licence_of(present))
        given, remedy = given | published, "`dtcbench publish` builds it"
        for name in sorted(published.keys() - examined.listing.files):
            yield error("derived", name, f"it is missing; {remedy}")
    for name, kind in examined.listing.files.items():
        if name in given:
            if not _same(name, (root / name).read_bytes(), given[name]):
                yield error("derived", name, f"it is not what the records give; {remedy} again")
        elif name in figures:
            continue  # nothing of them is published, and another version of matplotlib draws other bytes
        elif kind is None or (kind == "own" and examined.is_bundle):
            yield error("files", name, "no file of a run; remove it")


def _same(name: str, present: bytes, given: bytes) -> bool:
    """Whether a derived file is what it should be; a table may be written by another version of Parquet's library."""
    if present == given or not name.endswith(".parquet"):
        return present == given
    try:
        return samples.frame(present).equals(samples.frame(given))
    except ValueError:
        return False
