"""Records as DataFrames: `cells`, one row per planned cell; `cycles`, one per cell, cycle and layer.

The columns are derived from the record's fields: a number that is added to `Metrics`, `Energy`, `Cycle` or `Layer`
becomes a column, described by its docstring. `CELLS`, `CYCLES` and `POWER` say what every column means.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

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
    meaning,
    number_fields,
)
from dtcbench.records import mixing
from dtcbench.records import use as of_use

if TYPE_CHECKING:
    from dtcbench.records.contributions import Contribution


def _meanings(model: type[BaseModel], names: Iterable[str]) -> dict[str, str]:
    return {name: meaning(model, name) for name in names}


METRICS, ENERGY, CYCLE, LAYER = (number_fields(model) for model in (Metrics, Energy, Cycle, Layer))
IDENTITY: dict[str, tuple[Callable[[Cell], Any], str]] = {
    "key": (lambda cell: cell.key, "The cell's key: the SHA-256 of all that decides its numbers."),
    "protocol": (
        lambda cell: cell.protocol.unversioned_label,
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
OF_POWER = {
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
    {"sparsity": "sparsity_reached"}.get(name, name): text for name, text in _meanings(Metrics, METRICS).items()
}
HITS = {"hits": meaning(Metrics, "hits")}
OF_ENERGY = {
    **_meanings(Energy, ENERGY),
    "energy_method": meaning(Energy, "method"),
    "energy_scope": meaning(Energy, "scope"),
    "energy_reason": "Why `energy_j` is missing.",
    "energy_flags": f"Separated by commas: {meaning(Energy, 'flags')[0].lower()}{meaning(Energy, 'flags')[1:]}",
    "cpu_energy_reason": "Why `cpu_energy_j` is missing.",
    **OF_POWER,
    "gpu": meaning(PowerTrace, "device"),
    **_meanings(PowerTrace, ("gpu_uuid", "simulated")),
}
OF_PROVENANCE = {
    "hardware_class": meaning(Provenance, "hardware_class"),
    "stack": "Versions of Python, dtcbench, the packages that decide numbers, and the cell's plug-ins; and the "
    "processors for which the kernels of torch and of OpenBLAS are made.",
    "dataset_sha256": meaning(Provenance, "dataset_sha256"),
}
CELLS = {
    **{name: text for name, (_, text) in IDENTITY.items()},
    **_OUTCOME,
    **_OF_RESULT,
    **HITS,
    **OF_ENERGY,
    **OF_PROVENANCE,
}
"""By column of `cells`, in order, its meaning."""
IN_MEMORY_ONLY = tuple(HITS)
"""The columns of `cells` that its files lack: a bit for each test sample of each cell would be most of them."""
MEASURED = tuple(CELLS)[1 + len(IDENTITY) :]
"""The columns of `cells` that come from a record."""
NUMBERS = ("attempt", "wall_s", "place", *_OF_RESULT, *ENERGY, *OF_POWER)
"""The columns of `cells` that are numbers."""
OF_REGRESSION = ("r2",)
"""The columns of `cells` that its files have only where a cell has a value."""
_SCORES = ("accuracy", *OF_REGRESSION)
_OF_COUNTING = ("key", "status", "attempt", "dataset_sha256", "trace_sha256", "plugins", *_SCORES)
"""The columns of a part that say whether a record counts, and what is behind it."""
CYCLES = {
    **{{"sparsity": "sparsity_planned"}.get(name, name): CELLS[name] for name in IDENTITY},
    **_meanings(Cycle, CYCLE),
    "cumulative_j": "Joules from the beginning of training to the end of this cycle's training.",
    "group": meaning(Layer, "group"),
    **_meanings(Layer, LAYER),
}
"""By column of `cycles`, in order, its meaning."""
USE = {**{name: CELLS[name] for name in IDENTITY}, **of_use.MEASURED}
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


_NO_SAMPLES = pd.DataFrame({"t_s": [], "phase": [], "training": []})


@dataclass(frozen=True)
class Tables:
    """The records of one run, or of several together, as DataFrames."""

    cells: pd.DataFrame
    """One row per planned cell in plan order; the numbers of a cell that is not ok are missing values."""
    cycles: pd.DataFrame
    """In plan order, one row per ok cell, cycle and layer; a cycle without layers (dense) has one row."""
    use: pd.DataFrame
    """In plan order, one row per ok cell and way of using its network."""
    traces: dict[str, tuple[int, str]]
    """By key of the cells with power samples, in plan order, the attempt and the SHA-256 of their file."""
    owners: dict[str, int]
    """By cell key, which of the runs has the record that counts; a cell without a record is missing."""
    conflicts: frozenset[str]
    """Keys of the cells that a later run has with another accuracy or R2."""
    sources: frozenset[tuple[str, str]]
    """The data sets and the plug-ins of all ok records, each with the SHA-256 of its content."""


def assembled(planned: Collection[Cell], runs: Sequence[Contribution], suite: str) -> Tables:
    """The tables of the planned cells from what one run has, or several.

    Of a cell that several runs have, the first ok record counts, else the last one.
    """
    identities = _identities(planned)
    places = {key: place for place, key in enumerate(identities["key"])}
    lengths = [run.cells.num_rows for run in runs]
    measured = pa.concat_tables([run.cells for run in runs], promote_options="default")
    found = measured.select(_OF_COUNTING).to_pandas()
    found["run"], found["place"] = np.repeat(np.arange(len(runs)), lengths), found["key"].map(places)
    found = found[found["place"].notna()]
    ok = found[found["status"] == Status.OK]
    by_precedence = pd.concat([ok, found[::-1]])
    counting = by_precedence[~by_precedence["place"].duplicated()].sort_values("place")
    metered = counting[counting["trace_sha256"].notna()]
    row = pd.Series(counting.index, counting["place"]).reindex(range(len(places)))
    taken = measured.select(MEASURED).take(pa.array(row, pa.int64(), from_pandas=True))
    cells = pa.table({name: _without_type_if_empty(taken[name]) for name in MEASURED}).to_pandas()
    cells.loc[row.isna(), ["status", "reason"]] = MISSING, "not run yet"
    cells.insert(0, "suite", suite)
    counts = np.zeros(measured.num_rows, dtype=np.bool_)
    counts[counting.index] = True
    counted = [run.only(mask) for run, mask in zip(runs, np.split(counts, np.cumsum(lengths)[:-1]), strict=True)]
    of_cycles = identities.rename(columns={"sparsity": "sparsity_planned"})
    return Tables(
        pd.concat([identities, cells], axis=1),
        _in_plan_order(pd.concat([run.cycles for run in counted]), of_cycles, places),
        _in_plan_order(pd.concat([run.use for run in counted]), identities, places),
        {key: (attempt, sha256) for key, attempt, sha256 in metered[["key", "attempt", "trace_sha256"]].to_numpy()},
        dict(zip(counting["key"], counting["run"].tolist(), strict=True)),
        frozenset(_conflicts(ok, counting)),
        frozenset(_sources(ok, identities["dataset"])),
    )


def _conflicts(ok: pd.DataFrame, counting: pd.DataFrame) -> set[str]:
    """Keys of the ok records with another accuracy or R2 than the one that counts."""
    found = set[str]()
    for score in _SCORES:
        here, counted = ok[score], ok["place"].map(counting.set_index("place")[score])
        found.update(ok.loc[(here != counted) & ~(here.isna() & counted.isna()), "key"])
    return found


def _sources(ok: pd.DataFrame, datasets: pd.Series) -> Iterator[tuple[str, str]]:
    of_cells = ok[["dataset_sha256", "plugins"]].assign(dataset=ok["place"].map(datasets))
    for digest, plugins, dataset in of_cells.drop_duplicates().astype(object).to_numpy():
        yield from mixing.sources(dataset, None if pd.isna(digest) else digest, json.loads(plugins))


def _in_plan_order(rows: pd.DataFrame, identities: pd.DataFrame, places: dict[str, int]) -> pd.DataFrame:
    """The rows of the planned cells, each with what identifies its cell."""
    place = rows["key"].map(places)
    kept = rows.assign(place=place)[place.notna()].sort_values("place", kind="stable", ignore_index=True)
    identity = identities.take(kept["place"].to_numpy(dtype=np.int64))
    return pd.concat([identity.reset_index(drop=True), kept.drop(columns=["key", "place"])], axis=1)


def _identities(planned: Collection[Cell]) -> pd.DataFrame:
    rows = [tuple(value(cell) for value, _ in IDENTITY.values()) for cell in planned]
    names = pd.DataFrame(rows, columns=list(IDENTITY))
    return names.astype(dict.fromkeys(names.columns.drop(["sparsity", "seed"]), "str") | {"sparsity": "float64"})


def _without_type_if_empty(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """A column of gaps alone has no type, whatever the rows that do not count had there."""
    return pa.nulls(len(column)) if column.null_count == len(column) else column


def typed(cells: pd.DataFrame) -> pd.DataFrame:
    """A copy of `cells` in which numbers that no cell has are numbers too."""
    return cells.astype({name: "float64" for name in NUMBERS if name in cells and cells[name].dtype == object})


def filed(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` without the columns that its files lack."""
    return cells.drop(columns=[*IN_MEMORY_ONLY, *(name for name in OF_REGRESSION if cells[name].isna().all())])


def untyped(cells: pd.DataFrame) -> pd.DataFrame:
    """`cells` as its file has it: there a number that no cell has is a column without a type."""
    cells = filed(cells)
    empty = [name for name in NUMBERS if name in cells and cells[name].isna().all()]
    return cells.assign(**{name: pd.Series(None, cells.index, dtype=object) for name in empty})


def parquet(frame: pd.DataFrame) -> bytes:
    """The table as Parquet; the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def power_table(traces: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """All samples of a run, by the cells' `key`: cells in the order given, columns in that of their appearance."""
    table = pd.concat([_typed(trace).assign(key=key) for key, trace in list(traces) or [("", _NO_SAMPLES)]])
    return table[["key", *table.columns.drop("key")]].astype({"key": "string"}).reset_index(drop=True)


def _typed(trace: pd.DataFrame) -> pd.DataFrame:
    """With the types that the file had: a column of nothing but gaps loses its own when it is read."""
    numbers = dict.fromkeys(trace.columns.drop(["phase", "training"]), np.float64)
    return trace.astype({**numbers, "phase": "string", "training": "Int32"})
