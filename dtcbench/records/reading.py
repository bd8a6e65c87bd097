"""A run's records as tables: by several processes where there are many, as checking a record takes most of the time."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context

from dtcbench.plan.grid import Plan
from dtcbench.records.store import Files, Store, uncollected
from dtcbench.records.tables import CHUNK, Part, Tables, assembled, part

FEW = 10
"""So many chunks are read faster than processes for them would start and import what they need."""


def read(plan: Plan, store: Store) -> Tables:
    """The tables of a plan's cells as their records are now; StoreError as for `Store.read`."""
    files = iter(store.files().items())
    chunks = list(iter(lambda: dict(islice(files, CHUNK)), {}))
    if len(chunks) <= FEW:
        return _assembled(plan, map(partial(_part, store), chunks))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        return _assembled(plan, processes.map(partial(_part, store), chunks))


def _part(store: Store, files: Files) -> Part:
    with uncollected():  # in a process of its own, too
        return part(list(store.tabled(files)))


def _assembled(plan: Plan, parts: Iterable[Part]) -> Tables:
    return assembled(plan.cells, parts, plan.suite.name)
