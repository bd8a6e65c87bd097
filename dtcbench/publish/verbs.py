"""What the verbs of publishing do, in lines to print: `cli.py` prints them."""

from __future__ import annotations

from collections.abc import Iterator

from dtcbench.publish import bundle, results
from dtcbench.publish.check import examine
from dtcbench.publish.findings import lines
from dtcbench.records.location import Place
from dtcbench.records.store import Store

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
