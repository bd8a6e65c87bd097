"""The rules from a trace and a cell's segments to its joules, or to the reason why they are missing. Pure.

docs/energy.md explains every rule, with its source.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dtcbench.energy import integrate
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.phases import COARSE_SHARE
from dtcbench.energy.processes import ThisProcess, unexplained
from dtcbench.energy.rapl import Zone, cpu_energy_j
from dtcbench.energy.segments import Interval, Segment, count_trainings, counted, total_s, windows
from dtcbench.energy.summary import both_joules, summary
from dtcbench.energy.trace import LONG_GAP_S, Method, Trace
from dtcbench.record import Energy
from dtcbench.unavailable import Unavailable

SHORT_WINDOW_S = 60.0
MIN_SAMPLES = 60
AFTERGLOW_S = 3 * REFRESH_S
"""After a window the counter has reached its end; what happens later does not concern the window."""
DISAGREEMENT_PCT = 5.0
LOST_SHARE = 0.1
LIMIT_TOLERANCE = 0.01
"""Power limits that differ by no larger share than this are one limit, read twice."""
THROTTLED = 0x8 | 0x20 | 0x40 | 0x80
"""Clock-event reasons: hardware slowdown, software and hardware thermal slowdown, power brake. A board that works
at its power limit as intended is not throttled."""

FLAGS = {
    "short": f"the window has less than {SHORT_WINDOW_S:.0f} s, or the board's calibrated window if that is less, "
    f"or fewer than {MIN_SAMPLES} samples",
    "coarse": f"the driver's refresh makes the joules uncertain by more than {100 * COARSE_SHARE:.0f} %",
    "disagreement": f"counter and integral differ by more than {DISAGREEMENT_PCT:.0f} %",
    "gaps": f"the power, or the counter that gave the joules, was not seen for longer than {LONG_GAP_S:.0f} s",
    "lost-samples": f"more than {100 * LOST_SHARE:.0f} % of the power samples could not be read",
    "shared": "the joules cover more than the cell: a MIG instance, a part of a GPU, or a foreign process",
    "simulated": "the GPU is a simulation",
    "throttled": "heat or a fault slowed the GPU down",
    "limit-changed": f"the power limit changed by more than {100 * LIMIT_TOLERANCE:.0f} % inside the window",
    "warm": "the GPU had not cooled down to the temperature asked for, and was still cooling",
    "steady": "the GPU cooled no further before it reached the temperature asked for",
    "unexplained": "memory or load on the idle GPU of no process in the driver's list, which may hide a neighbour",
    "processes-unseen": "the driver may hide processes: it does not show the cell's, or the cell ran in a container",
    "not-repeatable": "a repeat of the training had other losses or kept other neurons",
}
"""The meaning of each flag of a record's energy."""

NOT_MEASURED = Unavailable("the idle GPU was not measured")
_UNLISTED = Unavailable("the driver does not list the compute processes: some may have been on the GPU")

_GPU_FIELDS = ("energy_j", "cross_check_pct", "quantisation_j", "repeat_spread_j", "trace")
"""The fields of an Energy that need a GPU."""


@dataclass(frozen=True)
class Idle:
    """The GPU while it should be idle."""

    watts: dict[Method, float | Unavailable]
    """Its power, by each of the ways to joules."""
    unexplained: str
    """What was in use on it by no process in the driver's list; empty if nothing was."""


@dataclass(frozen=True)
class IdleBaseline:
    """The GPU before the cell touched it."""

    cool_down_s: float
    """Seconds waited before the idle measurement."""
    cooled: bool
    """Whether it was as cool as the suite asks for; True if the suite asks for no temperature."""
    processes: frozenset[int]
    """Others' compute processes that were on it although it should be idle."""
    idle: Interval | Idle | Unavailable
    """When it was measured idle; or what the process's first cell found, since later ones meet its CUDA context."""
    steady: bool = False
    """Whether it cooled no further, though it was warmer than the suite asks for."""


@dataclass(frozen=True)
class GpuContext:
    """All that the meter knows of the GPU, or of several as one, besides the trace."""

    device: str
    """The board's name; of several their number and name."""
    uuids: tuple[str, ...]
    """Of the boards that were measured together."""
    simulated: bool
    interval_s: float
    """Seconds between two polls, as asked for."""
    shared: str | None
    """Why the board's readings cover more than the cell; None if the cell had the whole board."""
    label_shared: bool
    """Whether the suite wants a shared board measured and flagged; otherwise it gives no joules."""
    own: ThisProcess
    baseline: IdleBaseline
    idle_context: Interval | Unavailable = NOT_MEASURED
    """When it was idle with the cell's context on it."""
    calibrated: Mapping[str, float] = field(default_factory=dict)
    """By a board's UUID, the window of its calibration, seconds; empty if the suite does not measure by it."""


def short_below_s(uuids: Sequence[str], calibrated: Mapping[str, float]) -> float:
    """Windows of these boards with fewer seconds are short: 60, or the longest calibrated one of them if that is less.

    A board without a calibrated window has 60 s.
    """
    return min(SHORT_WINDOW_S, max((calibrated.get(uuid, SHORT_WINDOW_S) for uuid in uuids), default=SHORT_WINDOW_S))


def read(
    trace: Trace,
    segments: Sequence[Segment],
    gpu: GpuContext | Unavailable,
    zones: Sequence[Zone] | Unavailable,
    flags: Sequence[str],
    trace_sha256: str,
    shared_cpus: str | None = None,
) -> Energy:
    """Joules of one training, of the GPU and of the processors.

    Parameters
    ----------
    flags : added to those found here
    shared_cpus : why the packages' joules cover more than the cell; None if it had the machine to itself
    """
    fields = gpu_fields(trace, segments, gpu) if isinstance(gpu, GpuContext) else gpu
    if isinstance(fields, Unavailable):
        fields = _no_gpu(fields)
        if isinstance(gpu, GpuContext) and gpu.simulated:
            fields["flags"] = ["simulated"]
    cpu = zones if isinstance(zones, Unavailable) else cpu_energy_j(trace, segments, zones)
    return _energy(segments, fields, _of_packages(cpu, shared_cpus), flags, trace_sha256)


def unmeasured(gpu: Unavailable, cpu: Unavailable, segments: Sequence[Segment], flags: Sequence[str]) -> Energy:
    """The energy of a cell that was not sampled, with the reasons why GPU and processors were not."""
    return _energy(segments, _no_gpu(gpu), _of_packages(cpu, None), flags, Unavailable("nothing was sampled"))


def _energy(
    segments: Sequence[Segment],
    gpu: dict[str, Any],
    cpu: dict[str, float | Unavailable],
    flags: Sequence[str],
    trace_sha256: str | Unavailable,
) -> Energy:
    inside = counted(segments)
    return Energy.of(
        **gpu | {"flags": [*gpu["flags"], *flags]},
        **cpu,
        window_s=total_s(windows(inside)),
        repeats=count_trainings(inside),
        trace_sha256=trace_sha256,
    )


def _of_packages(cpu: float | Unavailable, shared: str | None) -> dict[str, float | Unavailable]:
    """The packages' joules, as the cell's own or as shared."""
    own, others = "cpu_energy_j", "cpu_shared_energy_j"
    if isinstance(cpu, Unavailable):
        return {own: cpu, others: cpu}
    if shared:
        return {own: Unavailable(shared), others: cpu}
    return {own: cpu, others: Unavailable(f"the cell had the packages to itself: see {own}")}


def _no_gpu(reason: Unavailable) -> dict[str, Any]:
    return {"method": "none", "scope": "none", **dict.fromkeys(_GPU_FIELDS, reason), "flags": []}


def gpu_fields(trace: Trace, segments: Sequence[Segment], gpu: GpuContext) -> dict[str, Any] | Unavailable:
    """The fields of an Energy that come from the GPU."""
    inside = windows(counted(segments))
    shared = "; ".join(filter(None, [gpu.shared, _foreign(trace, inside, gpu)]))
    if failure := _failure(trace, inside):
        return failure
    if shared and not gpu.label_shared:
        return Unavailable(shared)
    counter_j, integral_j = both_joules(trace, segments)
    method: Method = "integral" if isinstance(counter_j, Unavailable) else "counter"
    energy_j = integral_j if isinstance(counter_j, Unavailable) else counter_j
    scope = trace.power_scope if isinstance(counter_j, Unavailable) else trace.counter_scope
    if isinstance(energy_j, Unavailable):
        return Unavailable(f"the GPU's energy counter cannot be read ({counter_j}), nor its power ({integral_j})")
    facts = summary(
        trace,
        segments,
        gpu.uuids,
        method,
        (counter_j, integral_j),
        device=gpu.device,
        simulated=gpu.simulated,
        interval_s=gpu.interval_s,
        cool_down_s=gpu.baseline.cool_down_s,
        idle_w=_idle_w(trace, gpu, method),
        idle_context_w=_idle_context_w(trace, gpu, method),
    )
    cross_check_pct = _cross_check_pct(trace, counter_j, integral_j)
    quantisation_j = REFRESH_S * energy_j * len(inside) / total_s(inside)
    flags = {
        "short": total_s(inside) < short_below_s(gpu.uuids, gpu.calibrated) or facts.samples < MIN_SAMPLES,
        "coarse": quantisation_j > COARSE_SHARE * energy_j,
        "disagreement": isinstance(cross_check_pct, float) and abs(cross_check_pct) > DISAGREEMENT_PCT,
        "gaps": facts.longest_gap_s > LONG_GAP_S,
        "lost-samples": facts.samples < (1 - LOST_SHARE) * len(trace.readings("t_s", inside)),
        "shared": bool(shared),
        "simulated": gpu.simulated,
        "throttled": any(int(bits) & THROTTLED for bits in trace.readings("throttle_reasons", inside)),
        "limit-changed": _changed(trace.readings("power_limit_w", inside)),
        "warm": not gpu.baseline.cooled and not gpu.baseline.steady,
        "steady": gpu.baseline.steady,
        "unexplained": isinstance(idle := idle_of(trace, gpu.baseline), Idle) and bool(idle.unexplained),
        "processes-unseen": gpu.own.is_nested or not _processes(trace, inside) & gpu.own.numbers,
    }
    return {
        "energy_j": energy_j,
        "method": method,
        "scope": scope,
        "cross_check_pct": cross_check_pct,
        "quantisation_j": quantisation_j,
        "repeat_spread_j": _repeat_spread_j(trace, segments, method),
        "trace": facts,
        "flags": [flag for flag, raised in flags.items() if raised],
    }


def _cross_check_pct(
    trace: Trace, counter_j: float | Unavailable, integral_j: float | Unavailable
) -> float | Unavailable:
    """The integral's deviation from the counter, in per cent."""
    if isinstance(counter_j, Unavailable) or isinstance(integral_j, Unavailable):
        return Unavailable("only one of counter and power was read")
    if trace.counter_scope != trace.power_scope:
        return Unavailable("the counter covers the module, the power the GPU alone")
    return 100 * (integral_j - counter_j) / counter_j


def _failure(trace: Trace, inside: Sequence[Interval]) -> Unavailable | None:
    """Why this trace gives no joules of these intervals; None if it may."""
    if not inside:
        return Unavailable("nothing ran inside the energy boundary")
    until_s = inside[-1].end_s + AFTERGLOW_S  # later the cell may use its network
    if trace.lost_s is not None and trace.lost_s <= until_s:
        return Unavailable("the GPU was lost while it was measured")
    for board in trace.boards:
        counter_mj = board.column("counter_mj")[board.t_s <= until_s]
        if (fall := integrate.backwards(counter_mj, integrate.rise_of_a_refresh(counter_mj))) is not None:
            return Unavailable(f"the GPU's energy counter ran backwards, from {fall[0]:.0f} to {fall[1]:.0f} mJ")
    return None


def _changed(limits_w: Sequence[float]) -> bool:
    """Whether the power limit was another one for a time."""
    return bool(limits_w) and min(limits_w) < (1 - LIMIT_TOLERANCE) * max(limits_w)


def _processes(trace: Trace, inside: Sequence[Interval]) -> frozenset[int]:
    """Compute processes seen on the GPU from the beginning of the first interval to the end of the last."""
    begin, end = inside[0].begin_s, inside[-1].end_s
    return frozenset(pid for pid, (first, last) in trace.processes.items() if first <= end and last >= begin)


def _foreign(trace: Trace, inside: Sequence[Interval], gpu: GpuContext) -> str:
    """How many processes besides the cell's were on the GPU, as a reason; empty if none was."""
    if not inside:
        return ""
    foreign = gpu.own.foreign(_processes(trace, inside), gpu.baseline.processes)
    if not foreign:
        return ""
    return f"{len(foreign)} foreign compute process{'es' if len(foreign) > 1 else ''} ran on the GPU"


def _idle_w(trace: Trace, gpu: GpuContext, method: Method) -> float | Unavailable:
    """Watts of the idle GPU, by the method that gave the joules, as they are subtracted from those."""
    idle = idle_of(trace, gpu.baseline)
    return idle.watts[method] if isinstance(idle, Idle) else idle


def idle_of(trace: Trace, baseline: IdleBaseline) -> Idle | Unavailable:
    """The idle GPU, as this trace shows it or as an earlier one did."""
    idle = baseline.idle
    if not isinstance(idle, Interval):
        return idle
    if not trace.readings("processes", [idle]):
        return _UNLISTED
    in_use = unexplained(trace, idle)
    busy = Unavailable(f"the GPU was not idle: {in_use}, of no process that the driver lists") if in_use else None
    if others := len(baseline.processes | _processes(trace, [idle])):
        are = "es were" if others > 1 else " was"
        busy = Unavailable(f"{others} compute process{are} on the GPU while it should be idle")
    watts = _watts(trace, idle)
    return Idle(dict.fromkeys(watts, busy) if busy else watts, in_use)


def _idle_context_w(trace: Trace, gpu: GpuContext, method: Method) -> float | Unavailable:
    """Watts of the GPU with the cell's context on it, while nothing ran."""
    idle = gpu.idle_context
    if isinstance(idle, Unavailable):
        return idle
    if not trace.readings("processes", [idle]):
        return _UNLISTED
    if foreign := _foreign(trace, [idle], gpu):
        return Unavailable(f"{foreign} while it should be idle")
    return _watts(trace, idle)[method]


def _watts(trace: Trace, idle: Interval) -> dict[Method, float | Unavailable]:
    """Mean power by each of the ways to joules."""
    joules: dict[Method, float | Unavailable] = {
        "counter": trace.counter_j([idle]),
        "integral": trace.integral_j([idle]),
    }
    return {way: j if isinstance(j, Unavailable) else j / idle.seconds for way, j in joules.items()}


def _repeat_spread_j(trace: Trace, segments: Sequence[Segment], method: Method) -> float | Unavailable:
    """The standard deviation of the joules of the trainings that count."""
    inside = counted(segments)
    numbers = sorted({segment.training for segment in inside})
    trainings = [windows([segment for segment in inside if segment.training == number]) for number in numbers]
    if len(trainings) < 2:
        return Unavailable("one training was measured")
    each = [trace.total_j(method, one) for one in trainings]
    unknown = next((joules for joules in each if isinstance(joules, Unavailable)), None)
    return unknown or statistics.stdev(joules for joules in each if isinstance(joules, float))
