"""Every rule on a run or a bundle, which may come from a stranger: nothing of it is run.

Outside of it only those data sets are read that its kept networks are evaluated on.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dtcbench.energy.calibration import Calibration
from dtcbench.plan.document import SuiteError
from dtcbench.plan.grid import Plan
from dtcbench.plan.names import REGISTERED, Declared, Meaning, Names
from dtcbench.plan.rehearsal import SUFFIX
from dtcbench.plan.suite import Suite, parse
from dtcbench.publish import calibrations, evaluate, rules
from dtcbench.publish.card import bundle_files, licence_of
from dtcbench.publish.findings import Finding, bars, error, warning
from dtcbench.record import CellRecord
from dtcbench.records import mixing
from dtcbench.records.location import StoreError
from dtcbench.records.lookup import names_of, plan_in, up_to_whole_look
from dtcbench.records.run import Run
from dtcbench.records.store import CARD, Store
from dtcbench.records.untrusted import listing, read_parquet
from dtcbench.report import build
from dtcbench.unavailable import Unavailable

MOST_CELLS = 1_000_000
"""A suite that plans more is not expanded."""


def check(store: Store) -> list[Finding]:
    """Every finding on the folder as it is now. The plug-ins that its suite names must be loaded already."""
    findings, run = examine(store)
    evaluated = evaluate.of_networks(store) if run is not None else ()
    return [*findings, *_against_the_records(store, run, findings), *evaluated]


def examine(store: Store) -> tuple[list[Finding], Run | None]:
    """Every finding on the records in the folder, not on what was derived from them; the run, its tables and its
    leaderboard made, or None if the records give none.
    """
    files, unsafe = listing(store.root)
    if unsafe:
        found = [error("folder", name, reason) for name, reason in unsafe.items()]
        return [*found, error("folder", "", "nothing in it was read")], None
    plan, findings = _plan(store)
    unclaimed = {name for name, kind in files.items() if kind in ("trace", "weights")}
    starts: list[str] = []
    calibrated, miscalibrated = _calibrated(store)
    findings += _records(store, plan, unclaimed, starts, calibrated)
    weigh = error if CARD in files else warning
    what = {"trace": "samples", "weights": "weights"}
    findings += [
        weigh("files", name, f"{what[str(files[name])]} that no record speaks of") for name in sorted(unclaimed)
    ]
    findings += [*_rules(store, starts), *miscalibrated, *calibrations.of_run(calibrated, plan)]
    if plan is None or any(one.rule in ("seals", "figures", "traces") and bars([one]) for one in findings):
        return findings, None
    whole = up_to_whole_look(plan, store)
    run, more = _run(whole, store)
    return [*findings, *_in_progress(store, plan, whole), *more], run


def _rules(store: Store, starts: Iterable[str]) -> Iterator[Finding]:
    """What is wrong with the sealed rules; a newer dtcbench may judge by others, and says so with its verdicts."""
    try:
        sealed = store.fixed_rules()
    except StoreError as wrong:
        yield error("rules", store.rules.name, str(wrong).removeprefix(f"{store.rules}: "))
        return
    if sealed is None:
        return
    if sealed.suite_sha256 != hashlib.sha256(store.suite.read_bytes()).hexdigest():
        yield warning("rules", store.rules.name, f"rules fixed as {sealed.seal} for another text of the suite")
    if not sealed.is_before(starts):
        yield warning("rules", store.rules.name, f"rules fixed as {sealed.seal}, after the first cell")


def _calibrated(store: Store) -> tuple[dict[str, Calibration], list[Finding]]:
    """The calibrations of the boards, by UUID; or what is wrong with one of their files."""
    try:
        return store.calibrations(), []
    except StoreError as wrong:
        return {}, [error("calibration", "calibrations", str(wrong).removeprefix(f"{store.root}/"))]


def unclaimed_files(findings: Iterable[Finding]) -> set[str]:
    """The files of samples and weights, by name in the run, that `examine` found to belong to no record: an attempt was
    cut short before its record was written.
    """
    return {found.where for found in findings if found.rule == "files"}


def _plan(store: Store) -> tuple[Plan | None, list[Finding]]:
    name = store.suite.name
    try:
        names = names_of(store)
        suite = parse(store.suite.read_text(encoding="utf-8"), name, names)
        if (cells := _planned(suite)) > MOST_CELLS:
            return None, [error("suite", name, f"it plans {cells} cells, more than {MOST_CELLS}")]
        rehearsed = [error("suite", name, "a rehearsal: its figures mean nothing; run the suite itself")]
        return plan_in(store, suite, names), [*_misnamed(names), *(rehearsed if suite.name.endswith(SUFFIX) else [])]
    except SuiteError as wrong:
        return None, [error("suite", mistake.file, str(mistake)) for mistake in wrong.mistakes]
    except StoreError as wrong:
        return None, [error("suite", store.looks.name, str(wrong).removeprefix(f"{store.looks}: "))]
    except (OSError, ValueError) as wrong:
        return None, [error("suite", name, f"it cannot be read: {wrong}")]


def _in_progress(store: Store, plan: Plan, whole: Plan) -> Iterator[Finding]:
    """The cells of a look that the run has not reached: without them it is judged as it was at the look before."""
    if further := {cell.key for cell in plan.cells} - {cell.key for cell in whole.cells}:
        ended = len(further & store.files().keys())
        yield warning(
            "cells",
            store.looks.name,
            f"{ended} of {len(further)} cells of look {plan.looks} have ended; the run counts up to look {whole.looks}",
        )


def _misnamed(names: Names) -> Iterator[Finding]:
    """Names of this package that a run declares to mean something else: its tables would be labelled wrongly."""
    if not isinstance(names, Declared):
        return
    for noun, meanings in names.meanings.items():
        for name, meaning in meanings.items():
            here = REGISTERED.meaning(noun, name) if name in REGISTERED.known(noun) else None
            is_ours = here.plugin is None if here else meaning.plugin is None
            if is_ours and (here is None or not _plan_alike(meaning, here)):
                yield error("suite", "names.json", f"{noun} {name!r} is not this dtcbench's; use the one that wrote it")


def _plan_alike(then: Meaning, here: Meaning) -> bool:
    """Whether a name plans the same cells as it did in a run: words may change, and an option that came later leaves
    all cells without it as they were."""
    known = {option: value for option, value in here.defaults.items() if option in then.defaults}
    return then == here.model_copy(update={"summary": then.summary, "defaults": known})


def _planned(suite: Suite) -> int:
    """The most cells that a suite may come to, counted without making them."""
    return sum(
        math.prod(len(axis) for axis in (block.models, block.datasets, block.methods, block.solvers))
        * len(block.sparsities or "1")
        * (suite.growing.most if suite.growing else len(block.first_seeds))
        for block in suite.grid
    )


def _records(
    store: Store, plan: Plan | None, unclaimed: set[str], starts: list[str], calibrated: Mapping[str, Calibration]
) -> list[Finding]:
    """What the records say against themselves; the files that they speak of are taken from `unclaimed`,
    when they began is added to `starts`: records are read one at a time, and once."""
    findings: list[Finding] = []
    planned = {cell.key: cell for cell in plan.cells} if plan else None
    origins, measuring = set[tuple[str, str]](), set[str]()
    for where, record in store.examined():
        if isinstance(record, Unavailable):
            findings.append(error("seals", where, record.reason.removeprefix(f"{where}: ")))
            continue
        starts.append(record.started_at)
        measuring.update(calibrations.boards(record))
        findings += rules.of_record(record, where, calibrations.windows_s(record, calibrated))
        findings += calibrations.of_record(record, where, calibrated)
        findings += _trace(store, record)
        findings += evaluate.of_file(store, record)
        unclaimed.discard(store.trace_name(record))
        if record.weights_sha256 is not None:
            unclaimed.discard(store.network_name(record))
        if plan is not None and record.suite != plan.suite.name:
            findings.append(error("suite", where, f"a record of suite {record.suite}, not {plan.suite.name}"))
        if planned is not None and record.key not in planned:
            findings.append(warning("cells", where, "of a cell that the suite does not plan: it is in no table"))
        elif planned is not None:
            findings += rules.of_plan(record.cell, planned[record.key], where)
        origins.update(mixing.sources_of(record))
    findings += calibrations.unused(calibrated, measuring)
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
        yield from rules.of_trace(energy, trace, where)


def _run(plan: Plan, store: Store) -> tuple[Run | None, list[Finding]]:
    """The run with its tables and its leaderboard, which are made once, and what they say."""
    run = Run.of(plan, store, anew=True)
    try:
        findings = list(rules.of_tables(run.cells, run.cycles, plan.excluded))
        findings += rules.of_budgets(run.cells, plan.cells)
        obstacles = run.leaderboard().obstacles
    except Exception as wrong:  # records from elsewhere may hold anything that the schema lets through
        return None, [error("figures", "", f"no table can be made of the records: {type(wrong).__name__}: {wrong}")]
    return run, [*findings, *(error("meter", "", obstacle) for obstacle in obstacles)]


def _against_the_records(store: Store, run: Run | None, findings: Sequence[Finding]) -> Iterator[Finding]:
    """What was derived against what the records give, and files that no run has."""
    if run is None:
        if not any(found.rule == "folder" for found in findings):
            yield warning("derived", "", "tables and reports were not compared: mend the errors first")
        return
    files, _ = listing(store.root)
    try:
        made = build.files(run)
        page = {build.PAGE: build.page(run)} if build.PAGE in files else {}
        figures = build.figures(run).keys()
    except Exception as wrong:  # as above
        yield error("derived", "", f"no report can be made of the records: {type(wrong).__name__}: {wrong}")
        return
    is_bundle = CARD in files
    given = {name: content.encode() if isinstance(content, str) else content for name, content in (made | page).items()}
    root, remedy = store.root, "`dtcbench report` builds it"
    if is_bundle:
        present = (root / CARD).read_text(encoding="utf-8", errors="replace")
        published = bundle_files(run.leaderboard(), made, licence_of(present))
        given, remedy = given | published, "`dtcbench publish` builds it"
        for name in sorted(published.keys() - files):
            yield error("derived", name, f"it is missing; {remedy}")
    for name, kind in files.items():
        if name in given:
            if not _same(name, (root / name).read_bytes(), given[name]):
                yield error("derived", name, f"it is not what the records give; {remedy} again")
        elif name in figures:
            continue  # nothing of them is published, and another version of vl-convert draws other bytes
        elif kind is None or (kind == "own" and is_bundle):
            yield error("files", name, "no file of a run; remove it")


def _same(name: str, present: bytes, given: bytes) -> bool:
    """Whether a derived file is what it should be; a table may be written by another version of Parquet's library."""
    if present == given or not name.endswith(".parquet"):
        return present == given
    try:
        return read_parquet(present).equals(read_parquet(given))
    except ValueError:
        return False
