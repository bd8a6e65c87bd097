"""What the verbs of publishing do, in lines to print: `cli` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from rich.console import RenderableType

from dtcbench.errors import UserError
from dtcbench.publish import bundle, compare, results
from dtcbench.publish import merge as merging
from dtcbench.publish import reproduce as reproducing
from dtcbench.publish.check import Examined, examine
from dtcbench.publish.findings import lines
from dtcbench.publish.views import moves_view
from dtcbench.records.location import Place
from dtcbench.records.runs import refuse_missing_code
from dtcbench.records.store import Store
from dtcbench.records.tables import Tables
from dtcbench.registry import Plugin
from dtcbench.report.site.pages import judge
from dtcbench.text import duration

_UNREADABLE = ("folder", "suite", "seals", "figures", "traces")
"""Rules without which records cannot be relied on to be what they say."""


class RefusedError(Exception):
    """What was asked for must not be done; the reasons have been told."""


def publish(run: Store | None, folder: Place) -> Iterator[str]:
    """Check a run, copy it among the results, and rebuild them; without a run, rebuild them only.

    RefusedError where a rule bars it.
    """
    if run is not None:
        examined = examine(run)
        yield from lines(examined.findings)
        if examined.errors:
            raise RefusedError
        place = bundle.place_of(examined, folder)
        yield f"{place}: {bundle.copy(examined, place)} files copied"
    written = results.rebuild(folder)
    yield f"{folder}: {len(results.bundles(folder))} bundles, {len(written)} derived files rebuilt"
    yield f"The site: {folder.parent / results.SITE / 'index.html'}"


def site(runs: Sequence[Store], out: Place, opening: Path | None, reference: pd.DataFrame | None) -> Iterator[str]:
    """The site of runs, whether they keep the rules of publishing or not: what breaks them is on their pages."""
    if opening is not None and not opening.is_file():
        raise UserError(f"--opening {opening}: no such file")
    volumes = list(results.volumes([_readable(run) for run in runs]))
    text = opening.read_text(encoding="utf-8") if opening else "# Results"
    pages = results.write_site(out, volumes, text, judge(volumes, reference))
    yield f"{out / 'index.html'}: the first of {len(pages)} files"


def merge(runs: Sequence[Store], out: Place) -> Iterator[str]:
    """The union of runs of one suite in a folder; RefusedError where a cell stands against itself."""
    if len(runs) < 2:
        raise UserError("one run is its own union; name at least two")
    for run in runs:
        _readable(run)
    pieces = merging.gather(runs)
    cells, sources = list(map(str, merging.conflicts(pieces))), list(merging.mixed(pieces))
    yield from (*cells, *sources)
    if cells:
        yield "`dtcbench show CELL --run RUN` shows either record"
    if sources:
        yield "merge only runs that were made from the same data and the same plug-ins"
    if found := len(cells) + len(sources):
        yield f"{found} conflicts: {out} was not written"
        raise RefusedError
    tables = merging.write_union(pieces, out)
    for hardware_class, folder in merging.folders_of(pieces).items():
        yield f"{out / folder}: {len(pieces[hardware_class])} records of {hardware_class}"
    yield from map(str, tables)


def compared(first: Store, second: Store) -> RenderableType:
    """What moved from one run to the other."""
    before, after = _tables(first), _tables(second)
    rows = compare.moves(before, after)
    return moves_view((str(first.root), str(second.root)), rows, list(compare.notes(before, after, rows)))


def reproduce(run: Store, count: int, seed: int, plugins: tuple[Plugin, ...]) -> Iterator[str]:
    """Run some cells of a run or bundle again, one verdict a line; RefusedError where one was not reproduced."""
    refuse_missing_code(run)
    examined = _readable(run)
    planned = {cell.key for cell in examined.plan.cells} if examined.plan else set()
    records = [record for record in run.records(run.files()) if record.key in planned]
    chosen = reproducing.sample(records, count, seed)
    if not chosen:
        raise UserError(f"{run.root} has no ok cell to run again")
    row = reproducing.row_accuracies(records)
    took = duration(sum(record.wall_s for record in chosen))
    machines = sorted({record.provenance.hardware_class for record in chosen if record.provenance})
    yield f"{len(chosen)} cells, chosen by seed {seed}; about {took}, as recorded on {', '.join(machines)}"
    failures = 0
    for record in chosen:
        verdict = reproducing.judge(record, reproducing.rerun(record, plugins), row(record.cell))
        failures += verdict.is_failure
        yield f"{verdict.word}: {record.cell.label} ({record.key[:12]}): {verdict.reason}"
    yield f"{len(chosen) - failures} of {len(chosen)} cells reproduced"
    if failures:
        raise RefusedError


def _readable(run: Store) -> Examined:
    """The run, examined; UserError where it cannot be relied on to be what it says."""
    examined = examine(run)
    unreadable = [found for found in examined.findings if found.weight == "error" and found.rule in _UNREADABLE]
    if unreadable:
        raise UserError("\n".join([f"{run.root} cannot be used as it is:", *lines(unreadable)]))
    return examined


def _tables(run: Store) -> Tables:
    examined = _readable(run)
    if examined.derived is None:
        raise UserError("\n".join([f"{run.root} gives no tables:", *examined.errors]))
    return examined.derived.tables
