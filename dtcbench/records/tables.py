"""Records as DataFrames: `cells`, one row per planned cell; `cycles`, one per cell, cycle and layer."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from dtcbench.plan import protocol
from dtcbench.plan.cell import Cell
from dtcbench.record import Cycle, Energy, Layer, Provenance, Tabled

MISSING = "missing"
"""The `status` of a planned cell that has no record yet."""

_RESULT = (
    "accuracy",
    "accuracy_before",
    "accuracy_after",
    "validation_accuracy",
    "bits_per_character",
    "parameters",
    "parameters_dense",
    "training_flops",
    "inference_flops",
    "train_s",
    "compress_s",
    "evaluate_s",
)
_POWER = ("training_s", "mean_power_w", "idle_w", "net_energy_j")
_CYCLE = tuple(f for f in Cycle.model_fields if f not in ("layers", "reasons"))
_LAYER = tuple(f for f in Layer.model_fields if f not in ("reasons", "kept_sha256"))


_NO_SAMPLES = pd.DataFrame({"t_s": [], "phase": [], "training": []})
CHUNK = 2000
"""Records whose cycles become a frame at once: as Python objects they are many times larger."""
_TEXT = ("key", "group")
_WHOLE = ("cycle", "step")
"""Of the columns of `cycles`, those that hold text and those that are never empty; the others are floats."""


@dataclass(frozen=True)
class Tables:
    """A run's records as DataFrames."""

    cells: pd.DataFrame
    """One row per planned cell in plan order; figures of a cell that is not ok are missing values."""
    cycles: pd.DataFrame
    """In plan order, one row per ok cell, cycle and layer; a cycle without layers (dense) has one row."""
    metered: tuple[Tabled, ...]
    """The records behind which there are power samples, in plan order."""


@dataclass(frozen=True)
class Part:
    """What some of the records that count, one of a cell, give to the tables."""

    figures: dict[str, tuple[Any, ...]]
    """By cell key."""
    cycles: pd.DataFrame
    metered: tuple[Tabled, ...]


def tables(planned: Collection[Cell], records: Iterable[Tabled], suite: str) -> Tables:
    """The tables of a suite's planned cells and the records that count, which may come one at a time."""
    return assembled(planned, (part(chunk) for chunk in _chunks(iter(records))), suite)


def part(records: Sequence[Tabled]) -> Part:
    """What the records give to the tables, whichever cells are planned."""
    return Part(
        {record.key: _figures(record) for record in records},
        _cycles([row for record in records for row in _cycle_rows(record)]),
        tuple(record for record in records if record.energy and record.energy.trace_sha256),
    )


def assembled(planned: Collection[Cell], parts: Iterable[Part], suite: str) -> Tables:
    """The tables of a suite's planned cells, from all parts."""
    identities = _identities(planned)
    places = {key: place for place, key in enumerate(identities["key"])}
    figures, frames, metered = [_figures(None)] * len(places), [_cycles([])], []
    for one in parts:
        for key in one.figures.keys() & places.keys():
            figures[places[key]] = one.figures[key]
        frames.append(one.cycles)
        metered += [record for record in one.metered if record.key in places]
    cells = pd.DataFrame(figures, columns=list(_figure_columns()))
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
    rows = [_identity(cell) for cell in planned]
    columns = ["key", "protocol", "protocol_sha256", "model", "dataset", "method", "solver", "sparsity", "seed"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[:7], "str") | {"sparsity": "float64"})


def _chunks(records: Iterator[Tabled]) -> Iterator[list[Tabled]]:
    while chunk := list(islice(records, CHUNK)):
        yield chunk


def _cycles(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    columns = ["key", *_CYCLE, "cumulative_j", *_LAYER]
    types = dict.fromkeys(columns, "float64") | dict.fromkeys(_TEXT, "str") | dict.fromkeys(_WHOLE, "int64")
    return pd.DataFrame(rows, columns=columns).astype(types)


def parquet(frame: pd.DataFrame) -> bytes:
    """The table as Parquet; the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def power(energy: Energy) -> dict[str, float | None]:
    """Seconds inside the energy boundary of one training, its watts, and its joules above idle (`_POWER`)."""
    energy_j, idle_w = energy.energy_j, energy.trace.idle_w if energy.trace else None
    training_s = energy.window_s / energy.repeats
    mean_w = energy_j / training_s if energy_j is not None and training_s else None
    above_idle_j = energy_j - idle_w * training_s if energy_j is not None and idle_w is not None else None
    return dict(zip(_POWER, (training_s, mean_w, idle_w, above_idle_j), strict=True))


def _identity(cell: Cell) -> tuple[Any, ...]:
    return (
        cell.key,
        protocol.label(cell.protocol),
        cell.protocol.digest,
        cell.model.label,
        cell.dataset.label,
        cell.method.label,
        cell.solver.label if cell.solver else None,
        cell.sparsity,
        cell.seed,
    )


def _figure_columns() -> tuple[str, ...]:
    return (
        "status",
        "reason",
        "attempt",
        "wall_s",
        "sparsity_reached",
        *_RESULT,
        *_energy(None),
        *_provenance(None),
    )


def _figures(record: Tabled | None) -> tuple[Any, ...]:
    """What `_figure_columns` names, of a cell's record, or of a cell that has none."""
    result = record.result if record else None
    return (
        record.status.value if record else MISSING,
        (record.reason or None) if record else "not run yet",
        record and record.attempt,
        record and record.wall_s,
        result and result.sparsity,
        *(result and getattr(result, name) for name in _RESULT),
        *_energy(record.energy if record and result else None).values(),
        *_provenance(record.provenance if record else None).values(),
    )


def _energy(energy: Energy | None) -> dict[str, Any]:
    trace = energy and energy.trace
    return {
        "energy_j": energy and energy.energy_j,
        "energy_method": energy and energy.method,
        "energy_reason": energy and energy.reasons.get("energy_j"),
        "energy_flags": energy and ",".join(energy.flags),
        "energy_scope": energy and energy.scope,
        "quantisation_j": energy and energy.quantisation_j,
        "cross_check_pct": energy and energy.cross_check_pct,
        "window_s": energy and energy.window_s,
        "repeats": energy and energy.repeats,
        **(power(energy) if energy else dict.fromkeys(_POWER)),
        "gpu": trace and trace.device,
        "gpu_uuid": trace and trace.gpu_uuid,
        "simulated": trace and trace.simulated,
        "cpu_energy_j": energy and energy.cpu_energy_j,
        "cpu_energy_reason": energy and energy.reasons.get("cpu_energy_j"),
    }


def _provenance(provenance: Provenance | None) -> dict[str, Any]:
    return {
        "hardware_class": provenance and provenance.hardware_class,
        "stack": provenance and _stack(provenance),
        "dataset_sha256": provenance and provenance.dataset_sha256,
    }


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
            yield (*row, *(None for _ in _LAYER))
        for layer in cycle["layers"]:
            yield (*row, *map(layer.get, _LAYER))


def power_table(traces: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """All samples of a run, by the cells' `key`: cells in the order given, columns in that of their appearance."""
    table = pd.concat([_typed(trace).assign(key=key) for key, trace in list(traces) or [("", _NO_SAMPLES)]])
    return table[["key", *table.columns.drop("key")]].astype({"key": "string"}).reset_index(drop=True)


def _typed(trace: pd.DataFrame) -> pd.DataFrame:
    """With the types that the file had: a column of nothing but gaps loses its own when it is read."""
    numbers = dict.fromkeys(trace.columns.drop(["phase", "training"]), np.float64)
    return trace.astype({**numbers, "phase": "string", "training": "Int32"})
