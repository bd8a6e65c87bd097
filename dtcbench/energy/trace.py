"""A power trace: what the sampler saw, from the process that takes it to the Parquet file that keeps it."""

from __future__ import annotations

import io
import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dtcbench.energy.rapl import Zone
from dtcbench.energy.segments import Segment

INTERVAL_S = 0.025
"""Between two polls: the driver refreshes four times more slowly, so that no refresh is missed."""
POWER_COLUMNS: tuple[Power, ...] = ("instant_w", "average_w", "usage_w")
"""Which power to integrate, the best first: an average over the last second lags behind the edges."""
Power = Literal["instant_w", "average_w", "usage_w"]
_BEGIN_WITHIN_S = 30.0
_END_WITHIN_S = 60.0


class SamplerError(RuntimeError):
    """The sampler did not begin, or did not tell what it saw; the message is the reason."""


@dataclass(frozen=True)
class Trace:
    """Samples of one GPU and of the processor packages, by CLOCK_MONOTONIC."""

    columns: dict[str, NDArray[np.float64]]
    """`t_s` and what was polled, all [n]; NaN where a reading failed or was not due."""
    errors: dict[str, tuple[int, str]]
    """By column: how many readings failed, and the first failure's words."""
    processes: dict[int, tuple[float, float]]
    """By id of a compute process on the GPU: when it was first and last seen."""
    lost_s: float | None
    """When the GPU was lost; None where it was not."""
    sampler_cpu_pct: float
    """Processor time the sampler took, in per cent of one core."""

    @property
    def t_s(self) -> NDArray[np.float64]:
        """When each sample was taken."""
        return self.columns["t_s"]

    def column(self, name: str) -> NDArray[np.float64]:
        """The column `name`, all NaN where it was never read."""
        return self.columns.get(name, np.full_like(self.t_s, np.nan))

    @property
    def power(self) -> Power | None:
        """The best power that was read at all; None where none was."""
        return next((name for name in POWER_COLUMNS if np.isfinite(self.column(name)).any()), None)


class Sampler:
    """The helper process (`dtcbench.energy.sampler`), from its first sample on.

    SamplerError where it does not begin. It ends with this process, however that ends.
    """

    def __init__(self, uuid: str | None, zones: Sequence[Zone], interval_s: float = INTERVAL_S) -> None:
        order = {"uuid": uuid, "zones": [str(zone.counter) for zone in zones], "interval_s": interval_s}
        script = Path(__file__).with_name("sampler.py")
        # -P: its folder holds modules of ours, which must not hide others. A session of its own: Ctrl-C is
        # for the trainer, which ends it in good order.
        self._process = subprocess.Popen(  # noqa: S603 - fixed arguments
            [sys.executable, "-P", str(script), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # what follows the first line is read by other means
            start_new_session=True,
        )
        self._await_first_sample()

    def finish(self) -> Trace:
        """End the sampling; what was seen. SamplerError where the sampler died before."""
        try:
            # A line, not only the end of the pipe: a child that the trainer forked may hold its other end open.
            told, _ = self._process.communicate(b"end\n", timeout=_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise SamplerError(f"the sampler did not end within {_END_WITHIN_S:g} s") from None
        head, _, body = told.partition(b"\n")
        if self._process.returncode != 0 or not head:
            raise SamplerError(f"the sampler ended early (exit code {self._process.returncode}); its samples are lost")
        try:
            return _trace(json.loads(head), body)
        except (ValueError, KeyError, TypeError) as error:
            raise SamplerError(f"what the sampler told cannot be read: {error}") from error

    def kill(self) -> None:
        """End the sampling; nothing is told any more."""
        self._process.kill()
        self._process.communicate()

    def _await_first_sample(self) -> None:
        told = self._process.stdout
        if told is None or not select.select([told], [], [], _BEGIN_WITHIN_S)[0]:
            self.kill()
            raise SamplerError(f"the sampler took no sample within {_BEGIN_WITHIN_S:g} s")
        begun = json.loads(told.readline() or b'{"error": "it does not start"}')
        if "error" in begun:
            self.kill()
            raise SamplerError(f"the sampler cannot read the GPU: {begun['error']}")


def _trace(head: dict[str, Any], body: bytes) -> Trace:
    names, rows = head["columns"], head["rows"]
    values = np.frombuffer(body, dtype=np.float64)
    return Trace(
        columns=dict(zip(names, values.reshape(len(names), rows), strict=True)),
        errors={name: (int(count), str(why)) for name, (count, why) in head["errors"].items()},
        processes={int(pid): (first, last) for pid, (first, last) in head["processes"].items()},
        lost_s=head["lost_s"],
        sampler_cpu_pct=100 * head["cpu_s"] / head["elapsed_s"] if head["elapsed_s"] else 0.0,
    )


def to_parquet(trace: Trace, segments_of: Sequence[Segment], about: dict[str, str]) -> bytes:
    """The trace as a Parquet file: times from its first sample on, each sample with the phase it fell into.

    `about` goes into the file's metadata, so that a trace can be told from any other without its record.
    """
    phase, training = _marks(trace.t_s, segments_of)
    frame = pd.DataFrame({**trace.columns, "t_s": trace.t_s - trace.t_s[0]})
    frame = frame.assign(phase=pd.array(phase, dtype="string"), training=pd.array(training, dtype="Int32"))
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(about)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _marks(t_s: NDArray[np.float64], segments_of: Sequence[Segment]) -> tuple[list[str | None], list[int | None]]:
    """Per sample, the phase and the training it fell into; None outside of all."""
    phase: list[str | None] = [None] * len(t_s)
    training: list[int | None] = [None] * len(t_s)
    for segment in segments_of:
        first, past = np.searchsorted(t_s, [segment.begin_s, segment.end_s], side="left")
        for index in range(first, past):
            phase[index], training[index] = segment.phase, segment.training
    return phase, training


def segments_of(trace: pd.DataFrame) -> Iterator[Segment]:
    """The segments of a trace, as far as samples tell: each from its first sample to the one after its last."""
    t_s = trace["t_s"].to_numpy(dtype=np.float64)
    phase = trace["phase"].astype(object).where(trace["phase"].notna(), None).to_numpy()
    training = trace["training"].astype("Float64").fillna(-1).to_numpy(dtype=np.float64)
    changes = np.flatnonzero((phase[1:] != phase[:-1]) | (training[1:] != training[:-1])) + 1
    for first, past in pairwise([0, *changes.tolist(), len(t_s)]):
        if phase[first] is not None:
            end_s = t_s[past] if past < len(t_s) else np.inf
            yield Segment(phase[first], float(t_s[first]), float(end_s), int(training[first]))
