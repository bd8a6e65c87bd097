"""Records as DataFrames: `cells`, one row per planned cell; `cycles`, one per cell, cycle and layer.

The columns are derived from the record's fields: a number that is added to `Metrics`, `Energy`, `Cycle` or `Layer`
becomes a column, described by its docstring. `CELLS`, `CYCLES` and `POWER` say what every column means.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args

import numpy as np
import pandas as pd
from pydantic import BaseModel

from dtcbench.plan import protocol
from dtcbench.plan.cell import Cell
from dtcbench.record import CellRecord, Cycle, Energy, Layer, Metrics, PowerTrace, Provenance, Tabled

MISSING = "missing"
"""The `status` of a planned cell that has no record yet."""


def _numbers(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a record's model that hold a single number, in their order."""
    types = {name: set(get_args(field.annotation) or (field.annotation,)) for name, field in model.model_fields.items()}
    return tuple(name for name, found in types.items() if found <= {int, float, type(None)})


def _meaning(model: type[BaseModel], name: str) -> str:
    return " ".join((model.model_fields[name].description or "").split())


def _meanings(model: type[BaseModel], names: Iterable[str]) -> dict[str, str]:
    return {name: _meaning(model, name) for name in names}


_METRICS, _ENERGY, _CYCLE, _LAYER = (_numbers(model) for model in (Metrics, Energy, Cycle, Layer))
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
    "idle_w": _meaning(PowerTrace, "idle_w"),
    "net_energy_j": "`energy_j` above what the idle GPU would have used in `training_s`.",
}
_OUTCOME = {
    "suite": _meaning(CellRecord, "suite"),
    "status": f"How the cell ended; `{MISSING}` if it has no record.",
    "reason": "What ended the cell; empty if it is ok.",
    **_meanings(CellRecord, ("attempt", "wall_s")),
}
_OF_RESULT = {
    {"sparsity": "sparsity_reached"}.get(name, name): text for name, text in _meanings(Metrics, _METRICS).items()
}
_OF_ENERGY = {
    **_meanings(Energy, _ENERGY),
    "energy_method": _meaning(Energy, "method"),
    "energy_scope": _meaning(Energy, "scope"),
    "energy_reason": "Why `energy_j` is missing.",
    "energy_flags": f"Separated by commas: {_meaning(Energy, 'flags')[0].lower()}{_meaning(Energy, 'flags')[1:]}",
    "cpu_energy_reason": "Why `cpu_energy_j` is missing.",
    **_POWER,
    "gpu": _meaning(PowerTrace, "device"),
    **_meanings(PowerTrace, ("gpu_uuid", "simulated")),
}
_OF_PROVENANCE = {
    "hardware_class": _meaning(Provenance, "hardware_class"),
    "stack": "Versions of Python, dtcbench, the packages that decide numbers, and the cell's plug-ins.",
    "dataset_sha256": _meaning(Provenance, "dataset_sha256"),
}
CELLS = {
    **{name: text for name, (_, text) in _IDENTITY.items()},
    **_OUTCOME,
    **_OF_RESULT,
    **_OF_ENERGY,
    **_OF_PROVENANCE,
}
"""By column of `cells`, in order, its meaning."""
_MEASURED = tuple(CELLS)[1 + len(_IDENTITY) :]
"""The columns of `cells` that come from a record."""
CYCLES = {
    **{{"sparsity": "sparsity_planned"}.get(name, name): CELLS[name] for name in _IDENTITY},
    **_meanings(Cycle, _CYCLE),
    "cumulative_j": "Joules from the beginning of training to the end of this cycle's training.",
    "group": _meaning(Layer, "group"),
    **_meanings(Layer, _LAYER),
}
"""By column of `cycles`, in order, its meaning."""
POWER = {
    "key": CELLS["key"],
    "t_s": "Time since the first sample.",
    "phase": "`train`, `compress` or `evaluate`; empty outside of these.",
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


_NO_SAMPLES = pd.DataFrame({"t_s": [], "phase": [], "training": []})
CHUNK = 2000
"""Records whose cycles become a frame at once: as Python objects they are many times larger."""
_CYCLE_TYPES = (
    dict.fromkeys((*_CYCLE, "cumulative_j", *_LAYER), "float64")
    | {"key": "str", "group": "str"}
    | {name: "int64" for name in _CYCLE if Cycle.model_fields[name].annotation is int}
)
"""A layer's whole numbers are floats: `dense` has none."""


@dataclass(frozen=True)
class Tables:
    """A run's records as DataFrames."""

    cells: pd.DataFrame
    """One row per planned cell in plan order; the numbers of a cell that is not ok are missing values."""
    cycles: pd.DataFrame
    """In plan order, one row per ok cell, cycle and layer; a cycle without layers (dense) has one row."""
    metered: tuple[Tabled, ...]
    """The records behind which there are power samples, in plan order."""


@dataclass(frozen=True)
class Part:
    """What some of the records that count, one of a cell, give to the tables."""

    rows: dict[str, tuple[Any, ...]]
    """By cell key, the `_MEASURED` columns of `cells`."""
    cycles: pd.DataFrame
    metered: tuple[Tabled, ...]


def tables(planned: Collection[Cell], records: Iterable[Tabled], suite: str) -> Tables:
    """The tables of a suite's planned cells and the records that count, which may come one at a time."""
    return assembled(planned, (part(chunk) for chunk in _chunks(iter(records))), suite)


def part(records: Sequence[Tabled]) -> Part:
    """What the records give to the tables, whichever cells are planned."""
    return Part(
        {record.key: _row(record) for record in records},
        _cycles([row for record in records for row in _cycle_rows(record)]),
        tuple(record for record in records if record.energy and record.energy.trace_sha256),
    )


def assembled(planned: Collection[Cell], parts: Iterable[Part], suite: str) -> Tables:
    """The tables of a suite's planned cells, from all parts."""
    identities = _identities(planned)
    places = {key: place for place, key in enumerate(identities["key"])}
    unrun = (MISSING, "not run yet", *(None for _ in _MEASURED[2:]))
    rows, frames, metered = [unrun] * len(places), [_cycles([])], []
    for one in parts:
        for key in one.rows.keys() & places.keys():
            rows[places[key]] = one.rows[key]
        frames.append(one.cycles)
        metered += [record for record in one.metered if record.key in places]
    cells = pd.DataFrame(rows, columns=_MEASURED)
    cells.insert(0, "suite", suite)
    return Tables(
        pd.concat([identities, cells], axis=1),
        _in_plan_order(pd.concat(frames), identities, places),
        tuple(sorted(metered, key=lambda record: places[record.key])),
    )


def _in_plan_order(cycles: pd.DataFrame, identities: pd.DataFrame, places: dict[str, int]) -> pd.DataFrame:
    """The planned cells' cycles, each with what identifies its cell."""
    place = cycles["key"].map(places)
    kept = cycles.assign(place=place)[place.notna()].sort_values("place", kind="stable", ignore_index=True)
    identity = identities.rename(columns={"sparsity": "sparsity_planned"}).take(kept["place"].to_numpy(dtype=np.int64))
    return pd.concat([identity.reset_index(drop=True), kept.drop(columns=["key", "place"])], axis=1)


def _identities(planned: Collection[Cell]) -> pd.DataFrame:
    rows = [tuple(value(cell) for value, _ in _IDENTITY.values()) for cell in planned]
    names = pd.DataFrame(rows, columns=list(_IDENTITY))
    return names.astype(dict.fromkeys(names.columns.drop(["sparsity", "seed"]), "str") | {"sparsity": "float64"})


def _chunks(records: Iterator[Tabled]) -> Iterator[list[Tabled]]:
    while chunk := list(islice(records, CHUNK)):
        yield chunk


def _cycles(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    columns = ["key", *_CYCLE, "cumulative_j", "group", *_LAYER]
    return pd.DataFrame(rows, columns=columns).astype(_CYCLE_TYPES)


def parquet(frame: pd.DataFrame) -> bytes:
    """The table as Parquet; the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def power(energy: Energy) -> dict[str, float | None]:
    """Seconds inside the energy boundary of one training, its watts, and its joules above idle, as in `cells`."""
    energy_j, idle_w = energy.energy_j, energy.trace.idle_w if energy.trace else None
    training_s = energy.window_s / energy.repeats
    mean_w = energy_j / training_s if energy_j is not None and training_s else None
    above_idle_j = energy_j - idle_w * training_s if energy_j is not None and idle_w is not None else None
    return dict(zip(_POWER, (training_s, mean_w, idle_w, above_idle_j), strict=True))


def _row(record: Tabled) -> tuple[Any, ...]:
    """The `_MEASURED` columns of `cells`."""
    result = record.result
    return (
        record.status.value,
        record.reason or None,
        record.attempt,
        record.wall_s,
        *(result and getattr(result, name) for name in _METRICS),
        *_energy(record.energy if result else None).values(),
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
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _cycle_rows(record: Tabled) -> Iterator[tuple[Any, ...]]:
    energy = record.energy
    cumulative_j = (energy.trace.cumulative_j if energy and energy.trace else None) or []
    for cycle in record.result.cycles if record.result else ():
        # From the beginning of training to the end of this cycle's stretch of it.
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
