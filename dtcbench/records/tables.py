"""Records as DataFrames: `cells`, one row per planned cell; `cycles`, one per cell, cycle and layer.

The columns are derived from the record's fields: a number that is added to `Metrics`, `Energy`, `Cycle` or `Layer`
becomes a column, described by its docstring. `CELLS`, `CYCLES` and `POWER` say what every column means.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from pydantic import BaseModel

from dtcbench.plan import protocol
from dtcbench.plan.cell import Cell
from dtcbench.record import (
    MISSING,
    CellRecord,
    Cycle,
    Energy,
    Layer,
    Metrics,
    PowerTrace,
    Provenance,
    Status,
    Tabled,
    meaning,
    number_fields,
)
from dtcbench.records import mixing
from dtcbench.records import use as of_use
from dtcbench.records.store import Store, uncollected


def _meanings(model: type[BaseModel], names: Iterable[str]) -> dict[str, str]:
    return {name: meaning(model, name) for name in names}


_METRICS, _ENERGY, _CYCLE, _LAYER = (number_fields(model) for model in (Metrics, Energy, Cycle, Layer))
_IDENTITY: dict[str, tuple[Callable[[Cell], Any], str]] = {
    "key": (lambda cell: cell.key, "The cell's key: the SHA-256 of all that decides its numbers."),
    "protocol": (
        lambda cell: protocol.label(cell.protocol),
        "Training recipe: its name, and the options that have no default or differ from it.",
    ),
    "protocol_sha256": (
        lambda cell: cell.protocol.digest,
        "The recipe with all its options, as the first 12 digits of a SHA-256.",
    ),
    "model": (lambda cell: cell.model.label, "Network, with the options that differ from their defaults."),
    "dataset": (lambda cell: cell.dataset.label, "Data set, with the options that differ from their defaults."),
    "method": (lambda cell: cell.method.label, "What chose the neurons."),
    "solver": (
        lambda cell: cell.solver.label if cell.solver else None,
        "Sparse-recovery algorithm; empty where the method solves nothing.",
    ),
    "sparsity": (
        lambda cell: cell.sparsity,
        "Planned fraction of the prunable neurons to remove; empty where the protocol's schedule decides.",
    ),
    "seed": (lambda cell: cell.seed, "Seed of all the cell's randomness."),
}
"""By column, its value for a planned cell, and its meaning."""
_POWER = {
    "training_s": "Seconds inside the energy boundary of one training, whether or not anything was measured.",
    "mean_power_w": "`energy_j` over `training_s`.",
    "idle_w": meaning(PowerTrace, "idle_w"),
    "idle_context_w": meaning(PowerTrace, "idle_context_w"),
    "net_energy_j": "`energy_j` above what the GPU, idle with the cell's context, would have used in `training_s`.",
    "net_energy_bare_j": "`energy_j` above what the GPU, idle without a context, would have used in `training_s`.",
}
_OUTCOME = {
    "suite": meaning(CellRecord, "suite"),
    "status": f"How the cell ended; `{MISSING}` if it has no record.",
    "reason": "What ended the cell; empty if it is ok.",
    **_meanings(CellRecord, ("attempt", "wall_s", "place")),
}
_OF_RESULT = {
    {"sparsity": "sparsity_reached"}.get(name, name): text for name, text in _meanings(Metrics, _METRICS).items()
}
_HITS = {"hits": meaning(Metrics, "hits")}
_OF_ENERGY = {
    **_meanings(Energy, _ENERGY),
    "energy_method": meaning(Energy, "method"),
    "energy_scope": meaning(Energy, "scope"),
    "energy_reason": "Why `energy_j` is missing.",
    "energy_flags": f"Separated by commas: {meaning(Energy, 'flags')[0].lower()}{meaning(Energy, 'flags')[1:]}",
    "cpu_energy_reason": "Why `cpu_energy_j` is missing.",
    **_POWER,
    "gpu": meaning(PowerTrace, "device"),
    **_meanings(PowerTrace, ("gpu_uuid", "simulated")),
}
_OF_PROVENANCE = {
    "hardware_class": meaning(Provenance, "hardware_class"),
    "stack": "Versions of Python, dtcbench, the packages that decide numbers, and the cell's plug-ins; and the "
    "processors for which the kernels of torch and of OpenBLAS are made.",
    "dataset_sha256": meaning(Provenance, "dataset_sha256"),
}
CELLS = {
    **{name: text for name, (_, text) in _IDENTITY.items()},
    **_OUTCOME,
    **_OF_RESULT,
    **_HITS,
    **_OF_ENERGY,
    **_OF_PROVENANCE,
}
"""By column of `cells`, in order, its meaning."""
IN_MEMORY_ONLY = tuple(_HITS)
"""The columns of `cells` that its files lack: a bit for each test sample of each cell would be most of them."""
_MEASURED = tuple(CELLS)[1 + len(_IDENTITY) :]
"""The columns of `cells` that come from a record."""
_NUMBERS = ("attempt", "wall_s", "place", *_OF_RESULT, *_ENERGY, *_POWER)
"""The columns of `cells` that are numbers."""
OF_REGRESSION = ("r2",)
"""The columns of `cells` that its files have only where a cell has a value."""
_STATUS, _DATA = map(_MEASURED.index, ("status", "dataset_sha256"))
_SCORES = tuple(map(_MEASURED.index, ("accuracy", *OF_REGRESSION)))
CYCLES = {
    **{{"sparsity": "sparsity_planned"}.get(name, name): CELLS[name] for name in _IDENTITY},
    **_meanings(Cycle, _CYCLE),
    "cumulative_j": "Joules from the beginning of training to the end of this cycle's training.",
    "group": meaning(Layer, "group"),
    **_meanings(Layer, _LAYER),
}
"""By column of `cycles`, in order, its meaning."""
USE = {**{name: CELLS[name] for name in _IDENTITY}, **of_use.MEASURED}
"""By column of `use`, in order, its meaning."""
POWER = {
    "key": CELLS["key"],
    "t_s": "Time since the first sample.",
    "phase": "`train`, `compress`, `evaluate` or `compile`; empty outside of these.",
    "training": "Number of the training the sample fell into, counted from 0; empty outside of all.",
    "instant_w": "Instantaneous power.",
    "average_w": "Power averaged by the driver over the last second.",
    "usage_w": "Power as older drivers report it.",
    "counter_mj": "Total-energy counter of the GPU.",
    "temperature_c": "Temperature of the GPU.",
    "sm_clock_mhz": "Clock of the multiprocessors.",
    "memory_clock_mhz": "Clock of the memory.",
    "power_limit_w": "Enforced power limit.",
    "throttle_reasons": "Why the clocks are throttled: NVML's bits.",
    "utilisation_pct": "Share of the time in which a kernel ran.",
    "processes": "Number of compute processes on the GPU.",
    "rapl0_uj": "Energy counter of the first processor package (RAPL); `rapl1_uj` of the second, and so on.",
}
"""By column of `power`, its meaning; a trace has those that its GPU and its processors offer."""


CHUNK = 2000
"""Records whose cycles become a frame at once: as Python objects they are many times larger."""
FEW = 10
"""So many chunks are read faster than processes for them would start and import what they need."""
_NO_SAMPLES = pd.DataFrame({"t_s": [], "phase": [], "training": []})
_CYCLE_TYPES = (
    dict.fromkeys((*_CYCLE, "cumulative_j", *_LAYER), "float64")
    | {"key": "str", "group": "str"}
    | {name: "int64" for name in _CYCLE if Cycle.model_fields[name].annotation is int}
)
"""A layer's whole numbers are floats: `dense` has none."""
Part: TypeAlias = tuple[dict[str, tuple[Any, ...]], pd.DataFrame, pd.DataFrame, list[Tabled], dict[str, dict[str, str]]]
"""What some records give to the tables: by cell key the `_MEASURED` columns of `cells`; their cycles; the use of
their networks; the records with power samples; by cell key the digests of plug-ins."""


def read(store: Store) -> Iterator[Part]:
    """The records of a run that count, in parts; StoreError as for `Store.read`.

    Several processes read a large run: checking a record takes most of the time.
    """
    files = iter(store.files().values())
    chunks = list(iter(lambda: list(islice(files, CHUNK)), []))
    if len(chunks) <= FEW:
        yield from map(partial(_read, store), chunks)
        return
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        yield from processes.map(partial(_read, store), chunks)


def _read(store: Store, files: list[list[str]]) -> Part:
    with uncollected():  # in a process of its own, too
        return part(list(store.decisive(files, Tabled)))


def part(records: Sequence[Tabled]) -> Part:
    """What the records, one of a cell, give to the tables, planned or not."""
    return (
        {record.key: _row(record) for record in records},
        _cycles([row for record in records for row in _cycle_rows(record)]),
        of_use.frame(records),
        [record for record in records if record.energy and record.energy.trace_sha256],
        {record.key: record.plugins for record in records if record.plugins},
    )


@dataclass(frozen=True)
class Tables:
    """The records of one run, or of several together, as DataFrames."""

    cells: pd.DataFrame
    """One row per planned cell in plan order; the numbers of a cell that is not ok are missing values."""
    cycles: pd.DataFrame
    """In plan order, one row per ok cell, cycle and layer; a cycle without layers (dense) has one row."""
    use: pd.DataFrame
    """In plan order, one row per ok cell and way of using its network."""
    metered: tuple[Tabled, ...]
    """The records with power samples, in plan order."""
    owners: dict[str, int]
    """By cell key, which of the runs has the record that counts; a cell without a record is missing."""
    conflicts: frozenset[str]
    """Keys of the cells that a later run has with another accuracy or R2."""
    sources: frozenset[tuple[str, str]]
    """The data sets and the plug-ins of all ok records, each with the SHA-256 of its content."""


def assembled(planned: Collection[Cell], runs: Iterable[Iterable[Part]], suite: str) -> Tables:
    """The tables of the planned cells from the parts of one run or several.

    Of a cell that several runs have, the first ok record counts, else the last one.
    """
    identities = _identities(planned)
    places = {key: place for place, key in enumerate(identities["key"])}
    rows = [(MISSING, "not run yet", *(None for _ in _MEASURED[2:]))] * len(places)
    frames, used = [_cycles([])], [of_use.frame([])]
    owners, metered = dict[str, int](), dict[str, Tabled]()
    conflicts, sources = set[str](), set[tuple[str, str]]()
    datasets = identities["dataset"].tolist()
    for number, parts in enumerate(runs):
        for measured, cycles, use, with_samples, plugins in parts:
            taken = set()
            for key in measured.keys() & places.keys():
                known, new = rows[places[key]], measured[key]
                if new[_STATUS] == Status.OK:
                    sources.update(mixing.sources(datasets[places[key]], new[_DATA], plugins.get(key, {})))
                if known[_STATUS] != Status.OK:
                    rows[places[key]], owners[key] = new, number
                    taken.add(key)
                elif new[_STATUS] == Status.OK and any(new[score] != known[score] for score in _SCORES):
                    conflicts.add(key)
            frames.append(cycles[cycles["key"].isin(taken)])
            used.append(use[use["key"].isin(taken)])
            for key in taken:
                metered.pop(key, None)
            metered |= {record.key: record for record in with_samples if record.key in taken}
    cells = pd.DataFrame(rows, columns=_MEASURED)
    cells.insert(0, "suite", suite)
    return Tables(
        pd.concat([identities, cells], axis=1),
        _in_plan_order(pd.concat(frames), identities.rename(columns={"sparsity": "sparsity_planned"}), places),
        _in_plan_order(pd.concat(used), identities, places),
        tuple(metered[key] for key in sorted(metered, key=places.__getitem__)),
        owners,
        frozenset(conflicts),
        frozenset(sources),
    )


def _in_plan_order(rows: pd.DataFrame, identities: pd.DataFrame, places: dict[str, int]) -> pd.DataFrame:
    """The rows of the planned cells, each with what identifies its cell."""
    place = rows["key"].map(places)
    kept = rows.assign(place=place)[place.notna()].sort_values("place", kind="stable", ignore_index=True)
    identity = identities.take(kept["place"].to_numpy(dtype=np.int64))
    return pd.concat([identity.reset_index(drop=True), kept.drop(columns=["key", "place"])], axis=1)


def _identities(planned: Collection[Cell]) -> pd.DataFrame:
    rows = [tuple(value(cell) for value, _ in _IDENTITY.values()) for cell in planned]
    names = pd.DataFrame(rows, columns=list(_IDENTITY))
    return names.astype(dict.fromkeys(names.columns.drop(["sparsity", "seed"]), "str") | {"sparsity": "float64"})


def _cycles(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    columns = ["key", *_CYCLE, "cumulative_j", "group", *_LAYER]
    return pd.DataFrame(rows, columns=columns).astype(_CYCLE_TYPES)


def typed(cells: pd.DataFrame) -> pd.DataFrame:
    """A copy of `cells` in which numbers that no cell has are numbers too."""
    return cells.astype({name: "float64" for name in _NUMBERS if name in cells and cells[name].dtype == object})


def filed(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` without the columns that its files lack."""
    return cells.drop(columns=[*IN_MEMORY_ONLY, *(name for name in OF_REGRESSION if cells[name].isna().all())])


def untyped(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` as its file has it: there a number that no cell has is a column without a type."""
    cells = filed(cells)
    empty = [name for name in _NUMBERS if name in cells and cells[name].isna().all()]
    return cells.assign(**{name: pd.Series(None, cells.index, dtype=object) for name in empty})


def parquet(frame: pd.DataFrame) -> bytes:
    """The table as Parquet; the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


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
    return dict(zip(_POWER, (training_s, mean_w, idle_w, with_context_w, net_j, net_bare_j), strict=True))


def _row(record: Tabled) -> tuple[Any, ...]:
    """The `_MEASURED` columns of `cells`."""
    metrics = record.metrics
    return (
        record.status.value,
        record.reason or None,
        record.attempt,
        record.wall_s,
        record.place,
        *(metrics and getattr(metrics, name) for name in (*_METRICS, *_HITS)),
        *_energy(record.energy if metrics else None).values(),
        *_provenance(record.provenance),
    )


def _energy(energy: Energy | None) -> Mapping[str, Any]:
    if energy is None:
        return dict.fromkeys(_OF_ENERGY)
    trace = energy.trace
    return {
        **{name: getattr(energy, name) for name in _ENERGY},
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
        return (None,) * len(_OF_PROVENANCE)
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
        row = (record.key, *map(cycle.get, _CYCLE), joules)
        if not cycle["layers"]:
            yield (*row, *(None for _ in ("group", *_LAYER)))
        for layer in cycle["layers"]:
            yield (*row, *map(layer.get, ("group", *_LAYER)))


def power_table(traces: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """All samples of a run, by the cells' `key`: cells in the order given, columns in that of their appearance."""
    table = pd.concat([_typed(trace).assign(key=key) for key, trace in list(traces) or [("", _NO_SAMPLES)]])
    return table[["key", *table.columns.drop("key")]].astype({"key": "string"}).reset_index(drop=True)


def _typed(trace: pd.DataFrame) -> pd.DataFrame:
    """With the types that the file had: a column of nothing but gaps loses its own when it is read."""
    numbers = dict.fromkeys(trace.columns.drop(["phase", "training"]), np.float64)
    return trace.astype({**numbers, "phase": "string", "training": "Int32"})
