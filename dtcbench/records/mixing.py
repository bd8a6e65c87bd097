"""Cells of one key are the same cell only if the same data and the same plug-ins stand behind them. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from dtcbench.plan.cell import Cell
from dtcbench.plan.grid import Plan
from dtcbench.record import CellRecord, Outline, Status
from dtcbench.records.store import Contents

_SHOWN = 12
"""Hexadecimal digits of a digest in a message."""


def changed(plan: Plan, contents: Contents[Outline], plugins: Mapping[str, str], data: Mapping[str, str]) -> list[str]:
    """How the data and the plug-ins here now differ from those behind a run's ok cells; empty where they agree.

    Parameters
    ----------
    plugins : SHA-256 of the source of the plug-ins here, by name
    data : SHA-256 of the loaded data sets' content, by `Choice.label`
    """
    if not plugins and not data:
        return []
    found: Counter[tuple[str, str, str]] = Counter()
    for cell in plan.cells:
        record = contents.record(cell.key)
        if record is None or record.status is not Status.OK:
            continue
        for name in _plugins_of(cell, plan):
            if name in plugins and plugins[name] not in record.plugins.values():
                found[f"plug-in {name}", record.plugins.get(name, "unknown"), plugins[name]] += 1
        now = data.get(cell.dataset.label)
        if now is not None and record.dataset_sha256 not in (None, now):
            found[f"data set {cell.dataset.label}", str(record.dataset_sha256), now] += 1
    return [
        f"{count} ok cells were made with another {what} (SHA-256 {before[:_SHOWN]} then, {now[:_SHOWN]} now)"
        for (what, before, now), count in found.items()
    ]


def data_of(plan: Plan, contents: Contents[Outline]) -> dict[str, str]:
    """SHA-256 of the content of the data sets that a run's ok cells were trained on, by `Choice.label`."""
    found: dict[str, str] = {}
    for cell in plan.cells:
        record = contents.record(cell.key)
        if record is not None and record.status is Status.OK and record.dataset_sha256:
            found.setdefault(cell.dataset.label, record.dataset_sha256)
    return found


def sources_of(record: CellRecord) -> Iterator[tuple[str, str]]:
    """The data set and the plug-ins of an ok record, each with the SHA-256 of its content."""
    if record.status is Status.OK and record.provenance is not None:
        yield from sources(record.cell.dataset.label, record.provenance.dataset_sha256, record.provenance.plugins)


def sources(dataset: str, dataset_sha256: str | None, plugins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A data set, by its label, and plug-ins, each with the SHA-256 of its content."""
    if dataset_sha256 is not None:
        yield f"data set {dataset}", dataset_sha256
    yield from ((f"plug-in {name}", digest) for name, digest in plugins.items())


def mixtures(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Every data set or plug-in among some records' `sources` that has more than one content."""
    digests: defaultdict[str, set[str]] = defaultdict(set)
    for what, digest in found:
        digests[what].add(digest)
    for what, contents in digests.items():
        if len(contents) > 1:
            listed = ", ".join(digest[:_SHOWN] for digest in sorted(contents))
            yield f"{what} has {len(contents)} different contents in the records (SHA-256 {listed})"


def _plugins_of(cell: Cell, plan: Plan) -> set[str]:
    """The plug-ins that register what the cell names."""
    found = {plan.names.meaning(noun, choice.name).plugin for noun, choice in cell.choices.items()}
    return {name for name in found if name is not None}
