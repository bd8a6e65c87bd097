"""The record of one attempt at a cell. The schema is the documentation.

A value that was not obtained is `None`, and `reasons` holds the reason by the field's name: a model with an
unexplained `None` does not validate.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, AliasPath, BaseModel, ConfigDict, Field, model_validator

from dtcbench.plan.cell import Cell
from dtcbench.plan.metering import Mode
from dtcbench.unavailable import Unavailable

Version = Literal[6]
SCHEMA_VERSION: Version = 6
"""Of the records that this dtcbench reads and writes; `records/migration.py` brings older ones up to it."""


class Status(StrEnum):
    """How an attempt ended. Only `infra` is tried again by itself."""

    OK = "ok"
    DIVERGED = "diverged"
    """Loss or weights became NaN or infinite."""
    OOM = "oom"
    """The host's or the device's memory ran out."""
    TIMEOUT = "timeout"
    """The suite's time limit for one cell passed."""
    ERROR = "error"
    """The cell itself cannot be computed; the reason says why."""
    INFRA = "infra"
    """The node, the worker process or the raylet was lost."""
    CANCELLED = "cancelled"
    """The user stopped the run while the cell was under way."""
    SKIPPED = "skipped"
    """The run ended by its own rule before the cell could start."""


MISSING = "missing"
"""What the tables have as the `status` of a planned cell that has no record yet."""
INCONCLUSIVE = frozenset({Status.INFRA, Status.CANCELLED, Status.SKIPPED})
"""Ends that say nothing about the cell: it still has to be run."""


OLDER = "the record was written before dtcbench kept this"
"""Why a record has no value of a field that its dtcbench did not know."""


class Explained(BaseModel):
    """A model whose every `None` is explained in `reasons`, by field name.

    A field that is added later is `… | None = None`: records that were written before lack it, for the reason `OLDER`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings", use_attribute_docstrings=True)

    reasons: dict[str, str] = {}
    """Why a field is None."""

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """The model of these fields; each that is `Unavailable` becomes `None`, and its reason goes into `reasons`.

        `reasons` among the fields explain those that are None already. TypeError for a field without a value: only a
        record from before the field was added may lack it.
        """
        if absent := [name for name, field in cls.model_fields.items() if field.default is None and name not in fields]:
            raise TypeError(f"{', '.join(absent)}: give a value, or Unavailable with the reason")
        missing = {name: value.reason for name, value in fields.items() if isinstance(value, Unavailable)}
        reasons = {**fields.pop("reasons", {}), **missing}
        return cls.model_validate({**fields, **dict.fromkeys(missing), "reasons": reasons})

    @model_validator(mode="after")
    def _every_null_has_its_reason(self) -> Self:
        if None not in self.__dict__.values():
            return self
        unexplained = [field for field, value in self.__dict__.items() if value is None and field not in self.reasons]
        if written := [field for field in unexplained if field in self.model_fields_set]:
            raise ValueError(f"{', '.join(written)}: null without a reason")
        if unexplained:
            object.__setattr__(self, "reasons", {**self.reasons, **dict.fromkeys(unexplained, OLDER)})
        return self


class PhaseEnergy(Explained):
    """One phase of a training, over all its segments."""

    phase: Literal["train", "compress", "evaluate"]
    stretches: int
    """Number of the phase's segments in the trainings that count."""
    duration_s: float
    """Seconds of the phase in one training, mean over the trainings that count."""
    energy_j: float | None
    """Joules of the phase in one training; None if its segments are too short for the driver's refresh, or the counter
    stood still in one."""


class BoardEnergy(Explained):
    """One of several boards that trained together."""

    gpu_uuid: str
    """Identifier of the physical GPU."""
    energy_j: float | None
    """Joules of this board for one training, by the method that gave those of all."""


class PowerTrace(Explained):
    """The samples of one GPU, summarised, and the joules from them.

    Several GPUs of a cell count as one: energy and power are their sums, the temperature is that of the hottest,
    `device` has their number before their name, and `gpu_uuid` names all of them, with commas.
    """

    device: str
    """The GPU's name by NVML."""
    gpu_uuid: str
    """Identifier of the physical GPU: a cell and its dense baseline pair best on one."""
    simulated: bool
    """Whether the library that answered is a simulation, whose joules must not be ranked or published."""
    interval_s: float
    """Seconds between two polls, as asked for."""
    samples: int
    """Polls inside the window."""
    longest_gap_s: float
    """Longest time inside the window without a sample of the power, or of the counter if power cannot be read."""
    read_errors: dict[str, str]
    """By quantity: how often it could not be read, and the first reason."""
    counter_j: float | None
    """Joules of one training by the total-energy counter."""
    integral_j: float | None
    """Joules of one training by the trapezoidal integral of power."""
    integrated: Literal["instant_w", "average_w", "usage_w"] | None
    """The power that was integrated."""
    idle_w: float | None
    """Power before the cell touched the GPU, while no compute process was on it."""
    idle_context_w: float | None = None
    """Power of the idle GPU with the cell's context on it, before the first training: the driver keeps a GPU awake that
    a process may use at any time."""
    cool_down_s: float
    """Seconds waited before the idle measurement."""
    temperature_before_c: float | None
    """Temperature at the beginning of the window."""
    temperature_after_c: float | None
    """Temperature at the end of the window."""
    sm_clock_mhz: float | None = None
    """Clock of the multiprocessors inside the window, mean of its readings."""
    memory_clock_mhz: float | None = None
    """The same of the memory."""
    throttle_shares: dict[str, float] | None = None
    """By reason that NVML gave for lower clocks, the share of the readings inside the window that gave it."""
    phases: list[PhaseEnergy]
    cumulative_j: list[float] | None
    """Joules from the beginning of a training to the end of each of its segments of phase `train`: one per
    cycle, and one for the remaining steps if any. Mean over the trainings that count."""
    sampler_cpu_pct: float
    """Processor time that the sampler used, in per cent of one core."""
    boards: list[BoardEnergy] = []
    """Each of several GPUs; empty if the cell had one."""


class Energy(Explained):
    """Joules of one training, or the reason why they are missing. Several GPUs of a cell count as one."""

    energy_j: float | None
    """Joules that `scope` used for one training, compression included; evaluation and loading are outside."""
    method: Literal["counter", "integral", "none"]
    """Total-energy counter, integral over power samples, or not measured."""
    scope: Literal["gpu", "module", "none"]
    """What `energy_j` covers: the whole board of a GPU, the module with a processor that the GPU is a part of (GH200,
    GB200), or nothing."""
    window_s: float
    """Seconds inside the energy boundary, whether or not anything was measured: those of `repeats` trainings."""
    repeats: int
    """Trainings inside the window. All joules are those of one training."""
    cross_check_pct: float | None
    """The integral's deviation from the counter, in per cent of the counter."""
    quantisation_j: float | None
    """Uncertainty of `energy_j` from the refresh interval at the edges of the window."""
    repeat_spread_j: float | None = None
    """Standard deviation of the joules of the trainings that were repeated, by the method that gave `energy_j`."""
    cpu_energy_j: float | None
    """Joules of the processor packages (RAPL) for one training: a scope of its own, never added to `energy_j`."""
    cpu_shared_energy_j: float | None = None
    """Joules of the whole processor packages for one training of a cell that was given few of the machine's cores:
    shared with all else that ran on them."""
    trace: PowerTrace | None
    trace_sha256: str | None
    """SHA-256 of the file with the samples; it exists even if the samples gave no joules."""
    flags: list[str]
    """What a reader must know before using the joules, such as `short`. See docs/energy.md."""


Widths = Literal["pruned", "rounded"]


class Spread(BaseModel):
    """A number above 0 that was measured in several windows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    median: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    low: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Lower end of an interval of at least 95 % of the median, free of any distribution (`energy/use.py`)."""
    high: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Upper end."""


class Use(Explained):
    """Energy and time of one way to use the final network, evaluated on test samples that lie on the device."""

    widths: Widths
    """`pruned`: as the method left them; `rounded`: padded with silent neurons to multiples of 8 (docs/use.md)."""
    mode: Mode
    """`eager`: operation by operation; `cuda-graph`: the whole pass captured once, and replayed."""
    batch_size: int
    """Samples in one forward pass."""
    flops: int | None
    """FLOPs of one forward pass of one sample at these widths."""
    passes: int | None
    """Forward passes in one window."""
    latency_s: Spread | None
    """Seconds of one forward pass alone, until its output is there."""
    throughput: Spread | None
    """Samples per second, in passes that follow each other without waiting."""
    energy_j: Spread | None
    """Joules of the GPU per 1,000 samples of those passes, idle power included."""
    energy_method: Literal["counter", "integral", "none"]
    """What gave the joules, as for the energy of training."""
    energy_scope: Literal["gpu", "module", "none"] | None = None
    """What `energy_j` covers, as for the energy of training."""
    cpu_energy_j: Spread | None
    """Joules of the processor packages (RAPL) per 1,000 samples: a scope of its own, never added to `energy_j`."""
    flags: list[str]
    """What a reader must know before using the joules: those of the energy of training, but for `short`."""


def _each_once(uses: list[Use]) -> list[Use]:
    if len({(use.widths, use.mode, use.batch_size) for use in uses}) < len(uses):
        raise ValueError("a way of use stands twice")
    return uses


Uses = Annotated[list[Use], AfterValidator(_each_once)]
"""The ways of use of one network."""


class Layer(Explained):
    """One prunable group in one compression."""

    group: str
    """Name of the producing layer."""
    width_before: int
    """Neurons or channels before this compression."""
    width_after: int
    """Neurons or channels after it."""
    kept_sha256: str
    """SHA-256 of the kept neurons' original indices (int64, little-endian, in their order)."""
    measurements: int | None
    """n, the rows of the sensing matrix."""
    nonzeros: int | None
    """Neurons or coefficients of the weight ray that are not exactly zero."""
    solver_s: float | None
    """Seconds in the recovery solver, incoming and outgoing together."""
    entropy_in_published: float | None
    """Published estimator on the incoming measurement: bins of 0.2 within ±50, bits."""
    entropy_out_published: float | None
    """Published estimator on the outgoing measurement: as above, but in nats, as published."""
    entropy_in_bits: float | None
    """Our estimator on the incoming measurement: bins of 0.2 over all values, bits."""
    entropy_out_bits: float | None
    """Our estimator on the outgoing measurement, bits."""
    entropy_in_normalised: float | None
    """`entropy_in_bits / log2(n)`: n measurements bound the entropy by log2 n."""
    entropy_out_normalised: float | None
    """`entropy_out_bits / log2(n)`."""
    entropy_in_shuffled_bits: float | None
    """Our estimator on the measurement, by the same Φ, of the incoming projection in random order: the null of
    `entropy_in_bits`, in which the order of the neurons counts for nothing."""
    entropy_out_shuffled_bits: float | None
    """The same of the outgoing projection."""
    compressed_bits: float
    """Bits per incoming weight after quantising and compressing, before this compression."""
    lempel_ziv: float | None
    """Normalised Lempel-Ziv complexity of the incoming projection, read as above or below its median, before this
    compression."""
    projection_in_norm: float | None = None
    """Euclidean norm of the incoming projection that was measured: it and `measurements` decide what the entropy law
    predicts."""
    projection_out_norm: float | None = None
    """The same of the outgoing projection."""


def meaning(model: type[BaseModel], name: str) -> str:
    """The docstring of a record's field, on one line."""
    return " ".join((model.model_fields[name].description or "").split())


def number_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a record's model that hold a single number, in their order."""
    types = {name: set(get_args(field.annotation) or (field.annotation,)) for name, field in model.model_fields.items()}
    return tuple(name for name, found in types.items() if found <= {int, float, type(None)})


class Cycle(Explained):
    """One train-compress cycle, or, for `dense`, its training part."""

    cycle: int
    """Counted from 0."""
    step: int
    """Optimiser steps taken before this compression."""
    sparsity: float
    """Fraction of the prunable neurons gone after this cycle."""
    loss: float
    """Training loss of the last batch before the compression."""
    validation_before: float | None
    """Validation accuracy before the compression."""
    validation_after: float | None
    """Validation accuracy just after the compression."""
    test_before: float | None
    """Test accuracy before the compression."""
    test_after: float | None
    """Test accuracy just after the compression, as in the published curves."""
    training_flops: int | None = None
    """FLOPs of training from the first step until this compression, without the gradients that the method asks for in
    it."""
    layers: list[Layer]


class Metrics(Explained):
    """What an `ok` cell measured, except its cycles. Every field with a single number is a column of the table
    `cells`, and its docstring describes the column.
    """

    model_config = ConfigDict(extra="ignore")

    sparsity: float
    """Fraction of the prunable neurons removed in the end."""
    accuracy: float | None
    """Test accuracy at the end, retraining included; a fraction of 1."""
    accuracy_before: float | None
    """Test accuracy just before the last compression."""
    accuracy_after: float | None
    """Test accuracy just after the last compression."""
    validation_accuracy: float | None
    """Validation accuracy at the end."""
    hits: str | None = None
    """Which test samples are classified right at the end: one bit each, in the order of the test split, packed by
    `numpy.packbits` and written in base64 (`dtcbench/hits.py`). `accuracy` is their mean, and in protocol published the
    mean over batches of their means. The files of the table lack this column: it would be most of them."""
    test_samples: int | None = None
    """Test samples that `hits` has a bit for."""
    r2: float | None = None
    """R2 on the test part at the end, 1 − SSE / SST, mean over the target's values: of a regression, which has no
    accuracy. Its cycles have R2 in their validation columns."""
    target_scale: list[tuple[float, float]] | None = None
    """Of a regression, per value of the target its mean and standard deviation in the training part, which it was
    standardised by: the network's outputs are in these units."""
    bits_per_character: float | None
    """Cross-entropy on the test text at the end, in bits: language models only."""
    widths: dict[str, int]
    """Final width of each prunable group."""
    steps: int
    """Optimiser steps taken."""
    parameters: int
    """Parameters of the final network."""
    parameters_dense: int
    """Parameters of the dense network."""
    training_flops: int
    """FLOPs of all forward and backward passes (torch's counter; solver and optimiser not included)."""
    inference_flops: int
    """FLOPs of one forward pass of one sample through the final network."""
    train_s: float
    """Seconds training."""
    compress_s: float
    """Seconds projecting, solving, selecting and shrinking."""
    evaluate_s: float
    """Seconds evaluating; outside the energy window."""
    compile_s: float | None = None
    """Seconds compiling the passes of training (protocol's `compile`), of the first training; outside the energy
    window."""

    @property
    def is_regression(self) -> bool:
        """Whether the target was values: then `r2` is the score, and there is no accuracy."""
        return self.accuracy is None

    @property
    def score(self) -> float | None:
        """What networks are ranked by within a data set: the accuracy, or R2 of a regression."""
        return self.r2 if self.is_regression else self.accuracy


class Result(Metrics):
    """What an `ok` cell measured."""

    model_config = ConfigDict(extra="forbid")

    cycles: list[Cycle]


class Provenance(Explained):
    """Where and with what a record was obtained."""

    hardware_class: str
    """GPU (or CPU) model, memory and power limit: energies compare only within one class."""
    device: Literal["cpu", "cuda"]
    cpu: str
    """Processor model, with the maker's numbers for it: virtual machines of unlike processors share a name."""
    cores: int
    """Logical processors the cell's process may use: its affinity, its container's quota and Slurm's share count."""
    memory_gib: float
    gpu: str | None
    driver: str | None
    threads: int
    """Threads torch and BLAS may use."""
    platform: str
    python: str
    packages: dict[str, str]
    """Versions of the packages that decide numbers: of torchvision, timm or transformers only where it builds the
    network, and only in records of dtcbench versions that look."""
    kernels: dict[str, str]
    """Of torch and of OpenBLAS, the instruction set or processor whose code they run: it decides how sums round."""
    dtcbench: str
    commit: str | None
    """Git commit of the checkout dtcbench ran from."""
    commit_clean: bool | None
    """Whether that checkout had no uncommitted change."""
    lock_sha256: str | None
    """SHA-256 of the checkout's requirements.lock."""
    source_sha256: str | None
    """Of an installed release, which has no commit: the SHA-256 of its code (`execution/provenance.py`)."""
    plugins: dict[str, str]
    """SHA-256 of the source of each plug-in whose values the cell names: by its file's name, or by its module's where
    it is installed."""
    dataset_sha256: str | None
    """SHA-256 of the data set's decoded content (`Splits.sha256`)."""

    @property
    def code(self) -> str:
        """The version of dtcbench, and its commit or the digest of its installed release: `0.1.0 (c0ffee000000)`."""
        if self.commit:
            return f"{self.dtcbench} ({self.commit[:12]}{'' if self.commit_clean else ' changed'})"
        return f"{self.dtcbench} (installed {self.source_sha256[:12]})" if self.source_sha256 else self.dtcbench


class Outline(BaseModel):
    """The part of a record that says how an attempt ended, and from which data and plug-ins. It is read many times
    faster than a whole record.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: Version
    key: str
    suite: str
    attempt: int
    status: Status
    reason: str
    started_at: str
    wall_s: float
    plugins: dict[str, str] = Field({}, validation_alias=AliasPath("provenance", "plugins"))
    dataset_sha256: str | None = Field(None, validation_alias=AliasPath("provenance", "dataset_sha256"))


class Tabled(Outline):
    """The part of a record that the tables show. It is read several times faster than a whole record, because its
    cycles are not validated again: they were when they were sealed.
    """

    metrics: Metrics | None = Field(validation_alias="result")
    cycles: list[dict[str, Any]] = Field([], validation_alias=AliasPath("result", "cycles"))
    """The fields of a `Cycle` each."""
    use: Uses | None = None
    energy: Energy | None
    provenance: Provenance | None
    place: int | None = None


class Migration(BaseModel):
    """What a record was before `dtcbench migrate` brought it up to a newer schema version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int
    key: str
    sha256: str
    """The old record's seal."""


class Part(BaseModel):
    """A part of a training, from its beginning or a checkpoint to the end or the next checkpoint gone on from."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    step: int
    """Optimiser steps taken before it."""
    node: str = Field(pattern=r"^([0-9a-f]{12}|inline)$")
    """The first digits of Ray's id of the node that it ran on, which is no host's name; `inline` for the driver's own
    process."""


class CellRecord(Explained):
    """One attempt at one cell: the content of one sealed file."""

    schema_version: Version = SCHEMA_VERSION
    key: str
    """The cell's key."""
    cell: Cell
    suite: str
    """Name of the suite that the cell was run for."""
    attempt: int
    """Counted from 1, over all runs on the same folder."""
    status: Status
    reason: str = ""
    """What ended the cell; empty when it is ok."""
    detail: str = ""
    """A failed cell's traceback, if known."""
    started_at: str
    """UTC, ISO 8601."""
    wall_s: float
    """Seconds from the attempt's start to its end."""
    place: int | None = None
    """Its place in the order that was drawn for the cells of its lane, counted from 1."""
    continued_at: int | None = None
    """Step of the checkpoint that this attempt went on from; None if it began with the first step."""
    parts: list[Part] | None = None
    """The parts of the training that made the result, the last of which is this attempt's."""
    result: Result | None
    energy: Energy | None
    """Beside the result, which is the first training's: a GPU's joules are those of the repeats."""
    provenance: Provenance | None
    weights_sha256: str | None = None
    """SHA-256 of the file with the final network (`training/network_file.py`)."""
    use: Uses | None = None
    """Each way in which the use of the final network was to be measured."""
    migrations: list[Migration] = []
    """What the record was before, the oldest first; empty if it is as it was first written."""

    @model_validator(mode="after")
    def _ok_means_a_result(self) -> Self:
        if (self.status is Status.OK) != (self.result is not None):
            raise ValueError(f"status {self.status} and result {'present' if self.result else 'absent'}")
        if self.key != self.cell.key:
            raise ValueError(f"key {self.key[:12]} is not the key of the cell it holds, {self.cell.key[:12]}")
        return self


R = TypeVar("R", CellRecord, Tabled, Outline)
"""A record, or a part of it."""


def decisive(attempts: Sequence[R]) -> R:
    """The attempt that counts among all attempts at a cell, the oldest first: the last ok one, else the last one."""
    return next((record for record in reversed(attempts) if record.status is Status.OK), attempts[-1])
