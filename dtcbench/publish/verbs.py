"""The commands of publishing: each does its work and yields the lines that `cli` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from dtcbench.analysis.literature import read_published
from dtcbench.errors import UserError
from dtcbench.publish import bundle, compare, results
from dtcbench.publish import merge as merging
from dtcbench.publish import reproduce as reproducing
from dtcbench.publish.compare import moves_view
from dtcbench.publish.examine import examine, unclaimed_files
from dtcbench.publish.findings import bars, lines
from dtcbench.records.location import AnyPath
from dtcbench.records.lookup import refuse_missing_code
from dtcbench.records.run import Run
from dtcbench.records.store import Store
from dtcbench.registry import Plugin
from dtcbench.report.blocks import Document
from dtcbench.report.literature import published_view
from dtcbench.report.site.pages import judge
from dtcbench.text import duration

_UNREADABLE = ("folder", "suite", "seals", "figures", "traces")
"""Rules without which records cannot be relied on to be what they say."""


class RefusedError(Exception):
    """The command must not go on; the lines so far give the reasons."""


def publish(run: Store | None, folder: AnyPath) -> Iterator[str]:
    """Check a run, copy it among the results, and rebuild them; without a run, rebuild them only.

    RefusedError where a rule bars it.
    """
    if run is not None:
        findings, examined = examine(run)
        yield from lines(findings)
        if examined is None or bars(findings):
            raise RefusedError
        place = bundle.place_of(examined, folder)
        yield f"{place}: {bundle.copy(examined, place, unclaimed_files(findings))} files copied"
    written, bundles = results.rebuild(folder), len(results.bundles(folder))
    yield f"{folder}: {bundles} bundle{'s' if bundles != 1 else ''}, {len(written)} derived files rebuilt"
    yield f"The site: {folder.parent / results.SITE / 'index.html'}"


def site(runs: Sequence[Store], out: AnyPath, opening: Path | None, reference: pd.DataFrame | None) -> Iterator[str]:
    """The site of runs, whether they keep the rules of publishing or not: what breaks them is on their pages."""
    if opening is not None and not opening.is_file():
        raise UserError(f"--opening {opening}: no such file")
    shown = list(results.on_site([_readable(run) for run in runs]))
    text = opening.read_text(encoding="utf-8") if opening else "# Results"
    pages = results.write_site(out, shown, text, judge(shown, reference))
    yield f"{out / 'index.html'}: the first of {len(pages)} files"


def merge(runs: Sequence[Store], out: AnyPath) -> Iterator[str]:
    """The union of runs of one suite in a folder; RefusedError where a cell stands against itself."""
    if len(runs) < 2:
        raise UserError("one run is its own union; name at least two")
    for run in runs:
        _readable(run)
    origins = merging.gather(runs)
    cells, sources = list(merging.conflicts(origins)), list(merging.mixed(origins))
    boards = list(merging.calibrations(origins))
    yield from (*cells, *sources, *boards)
    if cells:
        yield "`dtcbench show CELL --run RUN` shows either record"
    if sources:
        yield "merge only runs that were made from the same data and the same plug-ins"
    if boards:
        yield "merge only runs that were measured by the same calibration of each board"
    if found := len(cells) + len(sources) + len(boards):
        yield f"{found} conflicts: {out} was not written"
        raise RefusedError
    tables = merging.write_union(origins, out)
    for hardware_class, folder in merging.folders_of(origins).items():
        yield f"{out / folder}: {len(origins[hardware_class])} records of {hardware_class}"
    yield from map(str, tables)


def compared(first: Store, second: Store) -> Document:
    """What moved from one run to the other."""
    before, after = _readable(first).cells, _readable(second).cells
    rows = compare.moves(before, after)
    return moves_view((str(first.root), str(second.root)), rows, list(compare.notes(before, after, rows)))


def held_against(published: Path, runs: Sequence[Store]) -> Document:
    """A CSV of others' published results, recomputed, with our rows of the same network and data next to it."""
    rows = read_published(published)
    board = Run.pool([_readable(run) for run in runs]).leaderboard().rows if runs else None
    return published_view(rows, board)


def reproduce(run: Store, count: int, seed: int, plugins: tuple[Plugin, ...]) -> Iterator[str]:
    """Run some cells of a run or bundle again, one verdict a line; RefusedError where one was not reproduced."""
    refuse_missing_code(run)
    records = list(_readable(run).records())
    chosen = reproducing.sample(records, count, seed)
    if not chosen:
        raise UserError(f"{run.root} has no ok cell to run again")
    row = reproducing.row_scores(records)
    took = duration(sum(record.wall_s for record in chosen))
    machines = sorted({record.provenance.hardware_class for record in chosen if record.provenance})
    yield f"{len(chosen)} cells, chosen by seed {seed}; about {took}, as recorded on {', '.join(machines)}"
    failures = 0
    for record in chosen:
        outcome, reason = reproducing.judge(record, reproducing.rerun(record, plugins), row(record.cell))
        failures += outcome in reproducing.FAILURES
        yield f"{outcome}: {record.cell.label} ({record.key[:12]}): {reason}"
    yield f"{len(chosen) - failures} of {len(chosen)} cells reproduced"
    if failures:
        raise RefusedError


def _readable(store: Store) -> Run:
    """The run; UserError if its records cannot be relied on to be what they say."""
    findings, run = examine(store)
    unreadable = [found for found in findings if found.weight == "error" and found.rule in _UNREADABLE]
    if run is None or unreadable:
        raise UserError("\n".join([f"{store.root} cannot be used as it is:", *lines(unreadable)]))
    return run
