"""What a run's records give to its tables: read in parts, and kept, so that only what is new or altered is read again.

A large run keeps it in `tables.index`, as it keeps outlines in `records.index` (`index.py`). It is derived: what a cell
gives holds while the files of its records are like they were when they were read, and while dtcbench's code is. An
altered record whose file looks unaltered is found by `check` and `show`, which read the records themselves.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import dtcbench
from dtcbench.plan.cell import canonical_json
from dtcbench.record import CellRecord, Cycle, Energy, Provenance, Tabled
from dtcbench.records import index
from dtcbench.records import use as of_use
from dtcbench.records.store import Store, uncollected
from dtcbench.records.tables import (
    CYCLE,
    ENERGY,
    HITS,
    IDENTITY,
    IN_MEMORY_ONLY,
    LAYER,
    MEASURED,
    METRICS,
    OF_ENERGY,
    OF_POWER,
    OF_PROVENANCE,
    parquet,
)
from dtcbench.records.writer import Writer

NAME = "tables.index"
CHUNK = 2000
"""Records whose cycles become a frame at once: as Python objects they are many times larger."""
FEW = 10
"""So many chunks are read faster than processes for them would start and import what they need."""
_CYCLE_TYPES = (
    dict.fromkeys((*CYCLE, "cumulative_j", *LAYER), "float64")
    | {"key": "str", "group": "str"}
    | {name: "int64" for name in CYCLE if Cycle.model_fields[name].annotation is int}
)
"""A layer's whole numbers are floats: `dense` has none."""
_COLUMNS = ("key", "files", *MEASURED, "trace_sha256", "plugins")


@dataclass(frozen=True)
class Contribution:
    """What some records, one of a cell, give to the tables, planned or not."""

    cells: pa.Table
    """One row per cell: its key, `MEASURED`, the digest of its samples, and its plug-ins as JSON. `files` says what its
    record files were like when they were read; empty if their alteration would go unseen."""
    cycles: pd.DataFrame
    use: pd.DataFrame

    @classmethod
    def of(cls, records: Sequence[Tabled], files: Mapping[str, str | None] = MappingProxyType({})) -> Contribution:
        """What these records give; `files` by cell key."""
        rows = [
            (record.key, files.get(record.key), *_row(record), _trace(record), canonical_json(record.plugins))
            for record in records
        ]
        columns = zip(*rows, strict=True) if rows else [()] * len(_COLUMNS)
        cells = pa.table(dict(zip(_COLUMNS, map(pa.array, columns), strict=True)))
        return cls(cells, _cycles([row for record in records for row in _cycle_rows(record)]), of_use.frame(records))

    def only(self, is_wanted: NDArray[np.bool_]) -> Contribution:
        """The same without the cells that are not wanted [cells]."""
        if is_wanted.all():
            return self
        cells = self.cells.filter(pa.array(is_wanted))
        keys = set(cells["key"].to_pylist())
        return Contribution(cells, *(rows[rows["key"].isin(keys)] for rows in (self.cycles, self.use)))


def joined(parts: Sequence[Contribution]) -> Contribution:
    """Several contributions as one."""
    if len(parts) == 1:
        return parts[0]
    parts = [Contribution.of([]), *parts]
    return Contribution(
        pa.concat_tables([part.cells for part in parts], promote_options="default"),
        pd.concat([part.cycles for part in parts], ignore_index=True),
        pd.concat([part.use for part in parts], ignore_index=True),
    )


def read(store: Store, known: Contribution | None = None) -> Contribution:
    """The records of a run that count; StoreError as for `Store.read`.

    Several processes read a large run: checking a record takes most of the time.

    Parameters
    ----------
    known : cells of the run whose records need not be read while their files are like they were
    """
    files, states = store.files(), index.states(store.records)
    now = {key: _joined_states(names, states) for key, names in files.items()}
    parts = []
    if known is not None:
        then = zip(known.cells["key"].to_pylist(), known.cells["files"].to_pylist(), strict=True)
        parts = [known.only(np.array([state and now.get(key) == state for key, state in then], dtype=np.bool_))]
        for key in parts[0].cells["key"].to_pylist():
            del files[key]
    rest = iter([(names, now[key]) for key, names in files.items()])
    chunks = list(iter(lambda: list(islice(rest, CHUNK)), []))
    if len(chunks) <= FEW:
        return joined([*parts, *map(partial(_read, store), chunks)])
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        return joined([*parts, *processes.map(partial(_read, store), chunks)])


def kept(store: Store) -> Contribution | None:
    """What the run's index of its tables holds; None if it has none that this dtcbench has written."""
    try:
        with zipfile.ZipFile(io.BytesIO((store.root / NAME).read_bytes())) as file:
            if file.comment != _form():
                return None
            cells, cycles, use = (io.BytesIO(file.read(name)) for name in ("cells", "cycles", "use"))
        return Contribution(pq.read_table(cells), pd.read_parquet(cycles), pd.read_parquet(use))
    except (OSError, zipfile.BadZipFile, KeyError, pa.ArrowException):
        return None


def keep(writer: Writer) -> None:
    """Leave an index of the tables behind, if the records are many and it does not fit them yet."""
    if len(index.states(writer.store.records)) < index.MANY:
        return
    with uncollected():
        known = kept(writer.store)
        part = read(writer.store, known)
        if known is None or not part.cells.equals(known.cells):
            writer.keep(NAME, _content(part))


def _content(part: Contribution) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.comment = _form()
        with file.open("cells", "w") as cells:
            pq.write_table(part.cells, cells)
        for name, rows in (("cycles", part.cycles), ("use", part.use)):
            file.writestr(name, parquet(rows))
    return buffer.getvalue()


@functools.cache
def _form() -> bytes:
    """Digest of dtcbench's code: other code may make other rows of a record."""
    digest = hashlib.sha256()
    for file in sorted(Path(dtcbench.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest().encode()


def _joined_states(names: Sequence[str], states: Mapping[str, str]) -> str | None:
    return " ".join(states[name] for name in names) if all(name in states for name in names) else None


def _read(store: Store, cells: list[tuple[list[str], str | None]]) -> Contribution:
    with uncollected():  # in a process of its own, too
        records = list(store.decisive((names for names, _ in cells), Tabled))
        return Contribution.of(records, {names[0].partition(".")[0]: state for names, state in cells if names})


def _cycles(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    columns = ["key", *CYCLE, "cumulative_j", "group", *LAYER]
    return pd.DataFrame(rows, columns=columns).astype(_CYCLE_TYPES)


def power(energy: Energy) -> dict[str, float | None]:
    """Seconds inside the energy boundary of one training, its watts, and its joules above idle, as in `cells`."""
    energy_j, trace = energy.energy_j, energy.trace
    training_s = energy.window_s / energy.repeats
    mean_w = energy_j / training_s if energy_j is not None and training_s else None
    idle_w, with_context_w = (trace.idle_w, trace.idle_context_w) if trace else (None, None)
    net_j, net_bare_j = (
        energy_j - watts * training_s if energy_j is not None and watts is not None else None
        for watts in (with_context_w, idle_w)
    )
    return dict(zip(OF_POWER, (training_s, mean_w, idle_w, with_context_w, net_j, net_bare_j), strict=True))


def _trace(record: Tabled) -> str | None:
    return record.energy.trace_sha256 if record.energy else None


def row(record: CellRecord) -> dict[str, Any]:
    """The row of `cells` of one record, without what the table's files lack."""
    measured = dict(zip(MEASURED, _row(Tabled.model_validate(record.model_dump(mode="json"))), strict=True))
    identity = {name: value(record.cell) for name, (value, _) in IDENTITY.items()}
    found = {**identity, "suite": record.suite, **measured}
    return {name: value for name, value in found.items() if name not in IN_MEMORY_ONLY}


def _row(record: Tabled) -> tuple[Any, ...]:
    """The `MEASURED` columns of `cells`."""
    metrics = record.metrics
    return (
        record.status.value,
        record.reason or None,
        record.attempt,
        record.wall_s,
        record.place,
        *(metrics and getattr(metrics, name) for name in (*METRICS, *HITS)),
        *_energy(record.energy if metrics else None).values(),
        *_provenance(record.provenance),
    )


def _energy(energy: Energy | None) -> Mapping[str, Any]:
    if energy is None:
        return dict.fromkeys(OF_ENERGY)
    trace = energy.trace
    return {
        **{name: getattr(energy, name) for name in ENERGY},
        "energy_method": energy.method,
        "energy_scope": energy.scope,
        "energy_reason": energy.reasons.get("energy_j"),
        "energy_flags": ",".join(energy.flags),
        "cpu_energy_reason": energy.reasons.get("cpu_energy_j"),
        **power(energy),
        "gpu": trace and trace.device,
        "gpu_uuid": trace and trace.gpu_uuid,
        "simulated": trace and trace.simulated,
    }


def _provenance(provenance: Provenance | None) -> tuple[str | None, ...]:
    if provenance is None:
        return (None,) * len(OF_PROVENANCE)
    return provenance.hardware_class, _stack(provenance), provenance.dataset_sha256


def _stack(provenance: Provenance) -> str:
    versions = {"python": provenance.python, "dtcbench": provenance.code, **provenance.packages}
    versions |= {f"plug-in {name}": digest[:12] for name, digest in provenance.plugins.items()}
    versions |= {f"kernels of {name}": kind.replace(", ", "/") for name, kind in provenance.kernels.items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _cycle_rows(record: Tabled) -> Iterator[tuple[Any, ...]]:
    energy = record.energy
    cumulative_j = (energy.trace.cumulative_j if energy and energy.trace else None) or []
    for cycle in record.cycles:
        # From the beginning of training to the end of this cycle's segment of it.
        joules = cumulative_j[cycle["cycle"]] if cycle["cycle"] < len(cumulative_j) else None
        row = (record.key, *map(cycle.get, CYCLE), joules)
        if not cycle["layers"]:
            yield (*row, *(None for _ in ("group", *LAYER)))
        for layer in cycle["layers"]:
            yield (*row, *map(layer.get, ("group", *LAYER)))
