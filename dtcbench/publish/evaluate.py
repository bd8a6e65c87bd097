"""The networks that records keep, evaluated anew and held against the records that they lie beside.

Their files may come from a stranger: each is read only once its digest is the sealed one, and nothing it says of
itself is believed. No data set is downloaded for them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from dtcbench import registry
from dtcbench.datasets.description import sample, would_download
from dtcbench.datasets.splits import Splits
from dtcbench.execution.provenance import collect, with_dataset
from dtcbench.models.packages import building
from dtcbench.plan.cell import Choice
from dtcbench.plan.protocol import from_choice
from dtcbench.publish.findings import Finding, error, note, warning
from dtcbench.publish.reproduce import judge, row_scores
from dtcbench.record import CellRecord, Provenance, Result
from dtcbench.records.location import StoreError
from dtcbench.records.store import Store
from dtcbench.text import error_line, one_line
from dtcbench.training.determinism import deterministic
from dtcbench.training.loop import Stored, stored
from dtcbench.training.network_file import NetworkFile
from dtcbench.training.protocols import tested
from dtcbench.unavailable import Unavailable

RULE = "weights"
_MOST_TO_LOAD = 2**20
"""Numbers in one sample of a data set that is loaded: a stranger's suite may enlarge it at will."""


@dataclass(frozen=True)
class _Data:
    """A data set that is on this machine."""

    splits: Splits
    sha256: str
    test: Stored


def of_file(store: Store, record: CellRecord) -> Iterator[Finding]:
    """What is wrong with the file beside the record, by its digest alone."""
    where = store.network_name(record)
    if record.weights_sha256 is not None and not store.network_path(record).is_file():
        yield warning(RULE, where, "it is missing: the record's network cannot be evaluated anew")
        return
    try:
        store.network(record)
    except StoreError as wrong:
        yield error(RULE, where, str(wrong).removeprefix(f"{store.root / where}: "))


def of_networks(store: Store) -> Iterator[Finding]:
    """What the kept networks of a run say against their records; none of those that `of_file` refuses is read."""
    if not store.weights.is_dir():
        return
    records = [record for _, record in store.examined() if not isinstance(record, Unavailable)]
    kept = [record for record in records if record.weights_sha256 and store.network_path(record).is_file()]
    row = row_scores(records)
    for _, of_dataset in groupby(sorted(kept, key=_dataset), key=_dataset):
        alike = list(of_dataset)
        data = _loaded(alike[0].cell.dataset)
        for record in alike:
            with suppress(StoreError):  # altered, as `of_file` says
                yield from _of_network(store, record, data, row(record.cell))


def _dataset(record: CellRecord) -> str:
    return record.cell.dataset.canonical_json


def _loaded(dataset: Choice) -> _Data | Unavailable:
    """The data set; unavailable if it is not on this machine, or larger than any."""
    if dataset.name not in registry.datasets.names():
        return Unavailable(f"data set {dataset.name} comes from a plug-in, which is not installed")
    try:
        if would_download(dataset.name):
            return Unavailable(f"data set {dataset.name} is not on this machine: `dtcbench fetch {dataset.name}`")
        if math.prod(sample(dataset.name, dataset.values)[0]) > _MOST_TO_LOAD:
            return Unavailable(f"a sample of data set {dataset.label} is larger than {_MOST_TO_LOAD} numbers")
        splits: Splits = registry.datasets.bind(dataset.name, dataset.values)()
        return _Data(splits, splits.sha256, stored(splits, torch.device("cpu"))[1])
    except Exception as wrong:  # its options may be a stranger's, and a plug-in may raise anything
        return Unavailable(f"data set {dataset.name} cannot be loaded: {one_line(str(wrong))}")


def _of_network(store: Store, record: CellRecord, data: _Data | Unavailable, row: Sequence[float]) -> Iterator[Finding]:
    where, result, made = store.network_name(record), record.result, record.provenance
    content = store.network(record)
    if content is None or result is None or made is None:
        return
    if isinstance(data, Unavailable):
        yield warning(RULE, where, f"not evaluated anew: {data}")
    elif record.cell.model.name not in registry.models.names():
        reason = f"model {record.cell.model.name} comes from a plug-in, which is not installed"
        yield warning(RULE, where, f"not evaluated anew: {reason}")
    elif data.sha256 != made.dataset_sha256:
        reason = f"data set {record.cell.dataset.name} has another content on this machine"
        yield warning(RULE, where, f"not evaluated anew: {reason}")
    else:
        yield from _of_evaluation(where, record, result, made, _evaluated(content, record, result, data), row)


def _evaluated(content: bytes, record: CellRecord, result: Result, data: _Data) -> dict[str, Any] | Unavailable:
    """The numbers of the result that the network alone decides, by its file; or why the file cannot be used."""
    try:
        file = NetworkFile.read(content)
        _refuse_another(file, record, result, data.splits)
        network = file.network()
        threads = from_choice(record.cell.protocol).threads
        with deterministic(threads), threadpool_limits(limits=threads, user_api="blas"):
            parameters = sum(parameter.numel() for parameter in network.parameters())
            return {"parameters": parameters, **tested(record.cell, network, data.splits, data.test)}
    except ValueError as wrong:
        return Unavailable(one_line(str(wrong)))
    except Exception as wrong:  # torch and a plug-in's model may raise anything
        return Unavailable(error_line(wrong))


def _refuse_another(file: NetworkFile, record: CellRecord, result: Result, splits: Splits) -> None:
    """ValueError if the file is not of the record's cell, data set and neurons."""
    file.refuse_another(record.cell)
    origin = file.origin
    if (origin.shape, origin.classes) != (splits.input_shape, splits.num_classes):
        wanted = f"{list(splits.input_shape)} and {splits.num_classes} outputs"
        raise ValueError(f"samples {list(origin.shape)} and {origin.classes} outputs found, {wanted} wanted")
    if (widths := {name: len(kept) for name, kept in file.kept.items()}) != result.widths:
        raise ValueError(f"widths {widths} found, {result.widths} wanted")
    sealed = {layer.group: layer.kept_sha256 for cycle in result.cycles for layer in cycle.layers}
    for name, kept in file.kept.items():
        if sealed.get(name, digest := hashlib.sha256(np.asarray(kept, "<i8").tobytes()).hexdigest()) != digest:
            raise ValueError(f"group {name}: other neurons are left than the record seals")


def _of_evaluation(
    where: str,
    record: CellRecord,
    result: Result,
    made: Provenance,
    found: dict[str, Any] | Unavailable,
    row: Sequence[float],
) -> Iterator[Finding]:
    """The numbers found must be the record's: to the bit on the same stack, else within the spread of the seeds."""
    if isinstance(found, Unavailable):
        yield error(RULE, where, str(found))
        return
    if found["parameters"] != result.parameters:
        yield error(RULE, where, f"{found['parameters']} parameters found, {result.parameters} in the record")
        return
    model = record.cell.model.name
    plugins = made.plugins | registry.plugins_of([("model", model)], ())
    here = with_dataset(collect("cpu", made.threads, plugins, building=building(model)), str(made.dataset_sha256))
    again = record.model_copy(update={"result": result.model_copy(update=found), "provenance": here})
    outcome, reason = judge(record, again, row)
    if outcome != "same":
        weigh = {"within the spread": note, "not judged": warning}.get(outcome, error)
        yield weigh(RULE, where, f"evaluated anew, {outcome}: {reason}")
