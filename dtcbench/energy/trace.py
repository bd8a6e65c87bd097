"""A power trace: taken by the sampler's process, read over intervals, kept as a Parquet file."""

from __future__ import annotations

import io
import json
import math
import re
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dtcbench.energy import integrate
from dtcbench.energy.integrate import Floats
from dtcbench.energy.segments import Interval, Segment
from dtcbench.unavailable import Unavailable

INTERVAL_S = 0.025
"""Between two polls. The driver refreshes four times more slowly, so every refresh is seen."""
Power = Literal["instant_w", "average_w", "usage_w"]
Scope = Literal["gpu", "module"]
"""The GPU's board, or the module that holds a processor and its memory too, such as a GH200."""
Method = Literal["counter", "integral"]
"""The ways to joules: the board's energy counter, or the integral of its power."""
POWER_COLUMNS: tuple[Power, ...] = ("instant_w", "average_w", "usage_w")
"""The powers to integrate, the best first: an average over the last second lags behind the edges."""
LONG_GAP_S = 1.0
"""Readings of the power or of a counter that are further apart than this leave a gap."""
_POWER_ERRORS = ("usage_w", "instant_w", "average_w")
"""Whose error explains a missing power, the first that failed: the usage is only read if the others are missing."""
_OF_BOARD = re.compile(rf"(counter_mj|{'|'.join(POWER_COLUMNS)})_(\d+)", re.ASCII)
"""A column of one of several boards."""
_FOLDERS = re.compile(r"/[^\s'\"]*/")
"""Of a path in a message: a record names no folder of a machine."""
_LONGEST_WORDS = 200
"""Characters of the sampler's last words that a record keeps."""
_BEGIN_WITHIN_S = 30.0
_END_WITHIN_S = 60.0


@dataclass(frozen=True)
class Trace:
    """Samples of a cell's GPUs and of the processor packages, with times of CLOCK_MONOTONIC."""

    columns: dict[str, NDArray[np.float64]]
    """`t_s` and the polled quantities, each [n]; NaN where a reading failed or was not due. Energy and power are those
    of all GPUs together; those of each of several are in columns of their own, `counter_mj_0` and so on."""
    errors: dict[str, tuple[int, str]]
    """By column: how many readings failed, and the first error message."""
    processes: dict[int, tuple[float, float]]
    """By id of a compute process on the GPU: when it was first and last seen."""
    lost_s: float | None
    """When the GPU was lost; None if it never was."""
    sampler_cpu_pct: float
    """Processor time that the sampler used, in per cent of one core."""
    counter_scope: Scope = "gpu"
    """What the energy counter covers."""
    power_scope: Scope = "gpu"
    """What the power covers."""

    @property
    def t_s(self) -> Floats:
        """Time of each sample [n]."""
        return self.columns["t_s"]

    @property
    def boards(self) -> list[Trace]:
        """The trace of each of several GPUs, with its own energy and power; the trace itself if there was one."""
        own = {column: _OF_BOARD.fullmatch(column) for column in self.columns}
        found: dict[int, dict[str, Floats]] = {}
        for column, match in own.items():
            if match:
                found.setdefault(int(match[2]), {})[match[1]] = self.columns[column]
        shared = {column: values for column, values in self.columns.items() if not own[column]}
        return [replace(self, columns={**shared, **found[number]}) for number in sorted(found)] or [self]

    def column(self, name: str) -> Floats:
        """The column `name` [n], all NaN if it was never read."""
        return self.columns.get(name, np.full_like(self.t_s, np.nan))

    @property
    def power(self) -> Power | Unavailable:
        """The column of the best power that was read at least once."""
        read = next((name for name in POWER_COLUMNS if np.isfinite(self.column(name)).any()), None)
        failed = next((self.errors[name][1] for name in _POWER_ERRORS if name in self.errors), None)
        return read or Unavailable(failed or "no power was read")

    def readings(self, name: str, intervals: Sequence[Interval]) -> list[float]:
        """The finite readings of a column inside the intervals."""
        values = self.column(name)
        known = [(i.begin_s <= self.t_s) & (self.t_s <= i.end_s) & np.isfinite(values) for i in intervals]
        return [value for inside in known for value in values[inside].tolist()]

    def longest_gap_s(self, columns: Sequence[Floats], intervals: Sequence[Interval]) -> float:
        """The longest time inside the intervals without a reading of one of `columns`, each [n]."""
        gaps = (integrate.longest_gap_s(self.t_s, seen, i.begin_s, i.end_s) for seen in columns for i in intervals)
        return max(gaps)

    def counter_j(self, intervals: Sequence[Interval]) -> float | Unavailable:
        """Joules of all intervals together by the energy counter."""
        joules = _total(self.joules("counter", intervals))
        return joules or Unavailable(self.errors.get("counter_mj", (0, "the counter did not move"))[1])

    def integral_j(self, intervals: Sequence[Interval]) -> float | Unavailable:
        """Joules of all intervals together by the integral of the power."""
        if isinstance(self.power, Unavailable):
            return self.power
        return _total(self.joules("integral", intervals)) or Unavailable("no power was read")

    def total_j(self, method: Method, intervals: Sequence[Interval]) -> float | Unavailable:
        """Joules of all intervals together."""
        return self.counter_j(intervals) if method == "counter" else self.integral_j(intervals)

    def joules(self, method: Method, intervals: Sequence[Interval]) -> Floats:
        """Joules of each interval [m], of all boards; NaN where one of them was not measured."""
        if len(boards := self.boards) > 1:  # a board's counter rises at its own refreshes
            total: Floats = np.sum([board.joules(method, intervals) for board in boards], axis=0)
            return total
        edges_s = np.array([[interval.begin_s, interval.end_s] for interval in intervals]).ravel()  # [2 m]
        if method == "counter":
            at_edges = integrate.counter_j(self.t_s, self.column("counter_mj"), edges_s)
        else:
            at_edges = integrate.integrated_j(self.t_s, self.column(str(self.power)), edges_s)
        joules = at_edges[1::2] - at_edges[::2]
        # Every board draws power: a counter that stands still measures nothing.
        return np.where(joules > 0, joules, np.nan)


def _total(joules: Floats) -> float | None:
    """The sum if it is a number above 0; else None."""
    total = math.fsum(joules)
    return total if math.isfinite(total) and total > 0 else None


class Sampler:
    """The helper process (`dtcbench.energy.sampler`). It ends with this process, however that ends."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self._process = process
        self._complaints = complaints

    @classmethod
    def start(
        cls, uuids: Sequence[str], counters: Sequence[Path], interval_s: float = INTERVAL_S
    ) -> Sampler | Unavailable:
        """A sampler that has taken its first sample.

        Parameters
        ----------
        uuids : the GPUs to poll
        counters : files of the processor packages' energy counters
        interval_s : seconds between two polls
        """
        order = {"uuids": list(uuids), "zones": [str(counter) for counter in counters], "interval_s": interval_s}
        script = Path(__file__).with_name("sampler.py")
        # A file: a pipe that nobody reads would fill up and stop the sampler.
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the sampler
        # -P: the script's folder holds modules of ours, which must not hide others. A session of its own: Ctrl-C
        # is meant for the trainer, which ends the sampler in good order.
        process = subprocess.Popen(  # noqa: S603 - fixed arguments
            [sys.executable, "-P", str(script), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            bufsize=0,  # what follows the first line is read by other means
            start_new_session=True,
        )
        sampler = cls(process, complaints)
        problem = sampler._await_first_sample()
        if problem is None:
            return sampler
        sampler.kill()
        return problem

    def finish(self) -> Trace | Unavailable:
        """End the sampling and return the samples; Unavailable if the sampler died before."""
        try:
            # A line, not only the end of the pipe: a child that the trainer forked may hold its other end open.
            output, _ = self._process.communicate(b"end\n", timeout=_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return Unavailable(f"the sampler did not end within {_END_WITHIN_S:g} s")
        head, _, body = output.partition(b"\n")
        if self._process.returncode != 0 or not head:
            how = self._last_words() or f"exit code {self._process.returncode}"
            return Unavailable(f"the sampler ended early ({how}); its samples are lost")
        try:
            return _parse(json.loads(head), body)
        except (ValueError, KeyError, TypeError) as error:
            return Unavailable(f"the sampler's output cannot be read: {error}")

    def kill(self) -> None:
        """End the sampling and drop the samples."""
        self._process.kill()
        self._process.communicate()

    def _await_first_sample(self) -> Unavailable | None:
        output = self._process.stdout
        if output is None or not select.select([output], [], [], _BEGIN_WITHIN_S)[0]:
            return Unavailable(f"the sampler took no sample within {_BEGIN_WITHIN_S:g} s")
        if not (line := output.readline()):
            self._process.wait()
            return Unavailable(f"the sampler does not start: {self._last_words() or 'it says nothing'}")
        first = json.loads(line)
        return Unavailable(f"the sampler cannot read the GPU: {first['error']}") if "error" in first else None

    def _last_words(self) -> str:
        """The last line of what the sampler's process, which has ended, wrote to standard error: its exception."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return _FOLDERS.sub("", lines[-1].strip())[:_LONGEST_WORDS] if lines else ""


def _parse(head: dict[str, Any], body: bytes) -> Trace:
    names, rows = head["columns"], head["rows"]
    values = np.frombuffer(body, dtype=np.float64)
    return Trace(
        columns=dict(zip(names, values.reshape(len(names), rows), strict=True)),
        errors={name: (int(count), str(why)) for name, (count, why) in head["errors"].items()},
        processes={int(pid): (first, last) for pid, (first, last) in head["processes"].items()},
        lost_s=head["lost_s"],
        sampler_cpu_pct=100 * head["cpu_s"] / head["elapsed_s"] if head["elapsed_s"] else 0.0,
        counter_scope=head["counter_scope"],
        power_scope=head["power_scope"],
    )


def to_parquet(trace: Trace, segments: Sequence[Segment], about: dict[str, str]) -> bytes:
    """The trace as a Parquet file: times count from its first sample, and each sample has its phase and training.

    `about` goes into the file's metadata, so that a trace can be recognised without its record.
    """
    phase, training = _marks(trace.t_s, segments)
    frame = pd.DataFrame({**trace.columns, "t_s": trace.t_s - trace.t_s[0]})
    frame = frame.assign(phase=pd.array(phase, dtype="string"), training=pd.array(training, dtype="Int32"))
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(about)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _marks(t_s: Floats, segments: Sequence[Segment]) -> tuple[list[str | None], list[int | None]]:
    """Phase and training of each sample; None outside every segment."""
    phase: list[str | None] = [None] * len(t_s)
    training: list[int | None] = [None] * len(t_s)
    for segment in segments:
        first, past = np.searchsorted(t_s, [segment.begin_s, segment.end_s], side="left")
        for index in range(first, past):
            phase[index], training[index] = segment.phase, segment.training
    return phase, training


def segments_of(samples: pd.DataFrame) -> Iterator[Segment]:
    """The segments of a stored trace, as far as its samples show: each from its first sample to the one after its
    last."""
    t_s = samples["t_s"].to_numpy(dtype=np.float64)
    phase = samples["phase"].astype(object).where(samples["phase"].notna(), None).to_numpy()
    training = samples["training"].astype("Float64").fillna(-1).to_numpy(dtype=np.float64)
    changes = np.flatnonzero((phase[1:] != phase[:-1]) | (training[1:] != training[:-1])) + 1
    for first, past in pairwise([0, *changes.tolist(), len(t_s)]):
        if phase[first] is not None:
            end_s = t_s[past] if past < len(t_s) else np.inf
            yield Segment(float(t_s[first]), float(end_s), phase[first], int(training[first]))
