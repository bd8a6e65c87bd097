"""Rules on a run as a whole, by its tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.pairing import DENSE, IDENTITY, POOL, Pool, distinct, tidy
from dtcbench.analysis.stats import MIN_SEEDS
from dtcbench.publish.findings import Finding, error, warning
from dtcbench.record import INCONCLUSIVE
from dtcbench.records.tables import MISSING

_NO_END = {MISSING, *(status.value for status in INCONCLUSIVE)}
_COURSE = ["cycle", "step", "loss", "validation_before", "test_after"]
"""What tells one training from another, cycle by cycle: no two seeds share a loss to its last bit."""


def of_tables(cells: pd.DataFrame, cycles: pd.DataFrame) -> Iterator[Finding]:
    """What the cells of a run say together."""
    cells = tidy(cells)
    ok = cells[cells["status"] == "ok"]
    if ok.empty:
        yield error("cells", "", "no cell is ok: there is nothing to publish")
    yield from _ends(cells)
    yield from _pairs(cells, ok)
    yield from _hardware(ok)
    yield from _seeds(ok, cycles)


def _ends(cells: pd.DataFrame) -> Iterator[Finding]:
    for cell in cells[cells["status"] != "ok"].to_dict("records"):
        where, status = f"cell {cell['key'][:12]}", cell["status"]
        if status in _NO_END:
            yield error("cells", where, f"{status}: it is planned and has no end of its own; run the suite again")
        else:
            yield warning("cells", where, f"{status}: it stands in the table as such")


def _pairs(cells: pd.DataFrame, ok: pd.DataFrame) -> Iterator[Finding]:
    places = [*POOL, "seed"]
    dense = cells[cells["method"] == DENSE].drop_duplicates(places).set_index(places)["status"]
    for place, rows in ok[ok["method"] != DENSE].groupby(places, sort=True):
        status = dense.get(place, "absent")
        if status == "ok":
            continue
        of_seed = f"{Pool(*map(str, place[:-1])).title}, seed {place[-1]}"
        reason = f"{len(rows)} cells have no dense cell to compare with: it is {status}"
        yield (error if status in (*_NO_END, "absent") else warning)("pairs", of_seed, reason)


def _hardware(ok: pd.DataFrame) -> Iterator[Finding]:
    for pool, rows in ok.groupby(POOL, sort=True):
        where = Pool(*map(str, pool)).title
        if len(classes := distinct(rows["hardware_class"])) > 1:
            remedy = "run the suite once per class, by resources.accelerator or on one machine"
            yield error("hardware", where, f"{len(classes)} hardware classes: {'; '.join(classes)}; {remedy}")
        if len(stacks := distinct(rows["stack"])) > 1:
            yield warning("hardware", where, f"{len(stacks)} stacks of versions: {'; '.join(stacks)}")


def _seeds(ok: pd.DataFrame, cycles: pd.DataFrame) -> Iterator[Finding]:
    once = cycles.drop_duplicates(["key", "cycle"])
    marks = once.assign(mark=pd.util.hash_pandas_object(once[_COURSE], index=False))
    courses = marks.groupby("key", sort=False)["mark"].agg(tuple).to_dict()
    for names, rows in ok.groupby(IDENTITY, sort=True, dropna=False):
        row = dict(zip(IDENTITY, names, strict=True))
        sparsity = float(rows["sparsity"].iloc[0])
        removed = "by schedule" if math.isnan(sparsity) else f"at sparsity {sparsity:g}"
        where = f"{series_label(str(row['method']), str(row['solver']))} {removed}, {row['model']}"
        seen: dict[object, int] = {}
        for cell in rows.to_dict("records"):
            # Accuracies alone are fractions of few test samples and may well agree; whole courses do not.
            course = cell["accuracy"], courses.get(cell["key"], cell["key"])
            if course in seen:
                first = seen[course]
                reason = f"seeds {first} and {cell['seed']} have the same accuracies and losses to the last bit"
                yield error("seeds", where, f"{reason}: one is a copy of the other")
            seen.setdefault(course, cell["seed"])
        if len(rows) >= MIN_SEEDS and rows["accuracy"].nunique() == 1:
            yield warning("seeds", where, f"{len(rows)} seeds have one and the same accuracy")
