"""From a trace and the segments of a cell to its joules, or to the reason why there are none. Pure.

Every rule is explained, with its source, in docs/energy.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dtcbench.energy import integrate
from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.joules import Joules
from dtcbench.energy.rapl import Packages
from dtcbench.energy.segments import Interval, Phase, Segment, counting, seconds_in, trainings_of, windows
from dtcbench.energy.trace import Trace
from dtcbench.record import Energy, PhaseEnergy, PowerTrace

SHORT_WINDOW_S = 60.0
MIN_SAMPLES = 60
COARSE_SHARE = 0.05
"""Quantisation that weighs more than this in a figure makes it coarse; in a phase's, makes it none."""
DISAGREEMENT_PCT = 5.0
LONG_GAP_S = 1.0
LOST_SHARE = 0.1
THROTTLED = 0x8 | 0x20 | 0x40 | 0x80
"""Clock-event reasons: hardware slowdown, software and hardware thermal slowdown, power brake. A board at its
power limit is not among them: it does what it was told."""

FLAGS = {
    "short": f"the window has less than {SHORT_WINDOW_S:.0f} s, or fewer than {MIN_SAMPLES} samples",
    "coarse": f"the driver's refresh makes the figure uncertain by more than {100 * COARSE_SHARE:.0f} %",
    "disagreement": f"counter and integral differ by more than {DISAGREEMENT_PCT:.0f} %",
    "gaps": f"the power, or the counter that gave the joules, was not seen for longer than {LONG_GAP_S:.0f} s",
    "lost-samples": f"more than {100 * LOST_SHARE:.0f} % of the power samples could not be read",
    "shared": "the figure covers more than the cell: a MIG instance, a part of a GPU, or a foreign process",
    "simulated": "the GPU is a simulation",
    "throttled": "heat or a fault slowed the GPU down",
    "limit-changed": "the power limit was changed inside the window",
    "warm": "the GPU had not cooled down to the temperature asked for",
    "processes-unseen": "the driver does not show the cell's own process, so it may hide others",
    "not-repeatable": "a repeat of the training took another course",
}
"""What a flag of a record's energy means."""


_GPU_FIGURES = ("energy_j", "cross_check_pct", "quantisation_j", "trace")
"""The figures of an Energy that need a GPU."""


@dataclass(frozen=True)
class GpuContext:
    """What the meter knows of the GPU besides the trace."""

    device: str
    uuid: str
    simulated: bool
    interval_s: float
    """Between two polls, as asked for."""
    shared: str | None
    """Why the board's figures would cover more than the cell; None where the cell had it to itself."""
    label_shared: bool
    """Whether a shared board is measured, and labelled, at all."""
    own_processes: frozenset[int]
    earlier_processes: frozenset[int]
    """Compute processes on the GPU before the cell's own work began."""
    idle: Interval | None
    """When the GPU was idle; None where it was not looked at."""
    cool_down_s: float
    cooled: bool


@dataclass(frozen=True)
class Unread:
    """There is no figure of the GPU, and why."""

    reason: str
    flags: tuple[str, ...] = ()


def read(
    trace: Trace,
    segments: Sequence[Segment],
    gpu: GpuContext | Unread,
    packages: Packages,
    flags: Sequence[str],
    trace_sha256: str,
) -> Energy:
    """Joules of one training: the GPU's, the processors', or why there are none. `flags` are added to those found."""
    found = gpu_figures(trace, segments, gpu) if isinstance(gpu, GpuContext) else gpu
    cpu = cpu_energy_j(trace, segments, packages)
    return _energy(segments, found, cpu, flags, trace_sha256)


def unmeasured(reason: str, cpu: str, segments: Sequence[Segment], flags: Sequence[str]) -> Energy:
    """Nothing sampled: of the GPU because of `reason`, of the processors because of `cpu`."""
    return _energy(segments, Unread(reason), cpu, flags, None)


def _energy(
    segments: Sequence[Segment],
    found: dict[str, Any] | Unread,
    cpu: float | str,
    flags: Sequence[str],
    trace_sha256: str | None,
) -> Energy:
    counted = counting(segments)
    figures: dict[str, Any] = {"method": "none", "scope": "none", **dict.fromkeys(_GPU_FIGURES), "flags": []}
    reasons = {} if trace_sha256 else {"trace_sha256": "nothing was sampled"}
    if isinstance(found, Unread):
        reasons |= dict.fromkeys(_GPU_FIGURES, found.reason)
        figures["flags"] = list(found.flags)
    else:
        figures |= found
        if found["cross_check_pct"] is None:
            reasons["cross_check_pct"] = "only one of counter and power was read"
    if isinstance(cpu, str):
        reasons["cpu_energy_j"] = cpu
    figures["flags"] = [*figures["flags"], *flags]
    return Energy(
        window_s=seconds_in(windows(counted)),
        repeats=trainings_of(counted),
        cpu_energy_j=None if isinstance(cpu, str) else cpu,
        trace_sha256=trace_sha256,
        reasons=reasons,
        **figures,
    )


def cpu_energy_j(trace: Trace, segments: Sequence[Segment], packages: Packages) -> float | str:
    """Joules of all processor packages for one training, or why there are none."""
    if packages.reason:
        return packages.reason
    inside = windows(counting(segments))
    if not inside:
        return "nothing ran inside the energy boundary"
    total_uj = 0.0
    for number, zone in enumerate(packages.zones):
        name = f"rapl{number}_uj"
        seen = integrate.unwrapped(trace.column(name), zone.range_uj)
        known = np.isfinite(seen)
        why = trace.errors.get(name, (0, "the sampler came late"))[1]
        if known.sum() < 2:
            return f"{zone.name} was not read: {why}"
        if (gap_s := _longest_gap_s(trace, [seen], inside)) > LONG_GAP_S:
            return f"{zone.name} was not read for {gap_s:.1f} s: {why}"
        edges = [edge for interval in inside for edge in (interval.begin_s, interval.end_s)]
        at = np.interp(edges, trace.t_s[known], seen[known])
        total_uj += float((at[1::2] - at[::2]).sum())
    return total_uj / 1e6 / trainings_of(counting(segments))


def gpu_figures(trace: Trace, segments: Sequence[Segment], seen: GpuContext) -> dict[str, Any] | Unread:
    """The fields of an Energy that are the GPU's, or why there are none."""
    counted = counting(segments)
    inside = windows(counted)
    simulated = ("simulated",) if seen.simulated else ()
    shared = "; ".join(filter(None, [seen.shared, _foreign(trace, inside, seen)]))
    if failure := _failure(trace, inside) or (shared if not seen.label_shared else ""):
        return Unread(failure, simulated)
    joules = Joules(trace, inside, trainings_of(counted))
    counter_j, integral_j = joules.counter_j, joules.integral_j
    energy_j = counter_j if counter_j is not None else integral_j
    if energy_j is None:
        return Unread(joules.why_nothing, simulated)
    cross_check_pct = None
    if counter_j is not None and integral_j is not None:
        cross_check_pct = 100 * (integral_j - counter_j) / counter_j
    quantisation_j = REFRESH_S * energy_j * len(inside) / joules.window_s
    facts = _facts(trace, segments, seen, joules)
    flags = {
        "short": joules.window_s < SHORT_WINDOW_S or facts.samples < MIN_SAMPLES,
        "coarse": quantisation_j > COARSE_SHARE * energy_j,
        "disagreement": cross_check_pct is not None and abs(cross_check_pct) > DISAGREEMENT_PCT,
        "gaps": facts.longest_gap_s > LONG_GAP_S,
        "lost-samples": facts.samples < (1 - LOST_SHARE) * joules.polls,
        "shared": bool(shared),
        "simulated": seen.simulated,
        "throttled": any(int(bits) & THROTTLED for bits in joules.inside("throttle_reasons")),
        "limit-changed": len(set(joules.inside("power_limit_w"))) > 1,
        "warm": not seen.cooled,
        "processes-unseen": not _processes(trace, inside) & seen.own_processes,
    }
    return {
        "energy_j": energy_j,
        "method": "counter" if counter_j is not None else "integral",
        "scope": "gpu",
        "cross_check_pct": cross_check_pct,
        "quantisation_j": quantisation_j,
        "trace": facts,
        "flags": [flag for flag, raised in flags.items() if raised],
    }


def _facts(trace: Trace, segments: Sequence[Segment], seen: GpuContext, joules: Joules) -> PowerTrace:
    inside = windows(counting(segments))
    polled = trace.column(trace.power or "counter_mj")
    used = [polled] if joules.counter_j is None else [polled, trace.column("counter_mj")]
    idle_w, why_not_idle = _idle(trace, seen, joules.counter_j is not None)
    cumulative, why_not_cumulative = _cumulative(counting(segments), joules)
    temperatures = list(joules.inside("temperature_c"))
    figures: dict[str, tuple[Any, str]] = {
        "counter_j": (joules.counter_j, trace.errors.get("counter_mj", (0, "the counter did not move"))[1]),
        "integral_j": (joules.integral_j, "no power was read"),
        "integrated": (trace.power, "no power was read"),
        "idle_w": (idle_w, why_not_idle),
        "cumulative_j": (cumulative, why_not_cumulative),
        "temperature_before_c": (temperatures[0] if temperatures else None, "no temperature was read"),
        "temperature_after_c": (temperatures[-1] if temperatures else None, "no temperature was read"),
    }
    return PowerTrace(
        device=seen.device,
        gpu_uuid=seen.uuid,
        simulated=seen.simulated,
        interval_s=seen.interval_s,
        samples=sum(integrate.samples_in(trace.t_s, polled, i.begin_s, i.end_s) for i in inside),
        longest_gap_s=_longest_gap_s(trace, used, inside),
        read_errors={name: f"{count} times: {why}" for name, (count, why) in sorted(trace.errors.items())},
        cool_down_s=seen.cool_down_s,
        phases=list(_phases(segments, joules)),
        sampler_cpu_pct=trace.sampler_cpu_pct,
        reasons={name: reason for name, (value, reason) in figures.items() if value is None},
        **{name: value for name, (value, _) in figures.items()},
    )


def _longest_gap_s(trace: Trace, columns: Sequence[integrate.Floats], inside: Sequence[Interval]) -> float:
    """The longest time inside the windows that one of the columns was not read for."""
    return max(integrate.longest_gap_s(trace.t_s, seen, i.begin_s, i.end_s) for seen in columns for i in inside)


def _failure(trace: Trace, inside: Sequence[Interval]) -> str:
    """Why the trace is no measurement, whatever it holds; empty where it is one."""
    if not inside:
        return "nothing ran inside the energy boundary"
    if trace.lost_s is not None:
        return "the GPU was lost while it was measured"
    if (fall := integrate.backwards(trace.column("counter_mj"))) is not None:
        return f"the GPU's energy counter ran backwards, from {fall[0]:.0f} to {fall[1]:.0f} mJ"
    return ""


def _processes(trace: Trace, inside: Sequence[Interval]) -> frozenset[int]:
    """Compute processes seen on the GPU from the beginning of the first interval to the end of the last."""
    begin, end = inside[0].begin_s, inside[-1].end_s
    return frozenset(pid for pid, (first, last) in trace.processes.items() if first <= end and last >= begin)


def _foreign(trace: Trace, inside: Sequence[Interval], seen: GpuContext) -> str:
    """Says so where a process that is not the cell's was on the GPU; empty where none was."""
    if not inside:
        return ""
    running = _processes(trace, inside)
    if running & seen.own_processes:
        foreign = running - seen.own_processes
    else:
        # In a container the driver numbers processes as the host does: of those that came after the meter
        # began, one may be the cell's own.
        came = running - seen.earlier_processes
        foreign = running & seen.earlier_processes | frozenset(sorted(came)[1:])
    if not foreign:
        return ""
    return f"{len(foreign)} foreign compute process{'es' if len(foreign) > 1 else ''} ran on the GPU"


def _idle(trace: Trace, seen: GpuContext, by_counter: bool) -> tuple[float | None, str]:
    """Watts while nobody used the GPU, by the way that gave the joules, from which they are to be taken."""
    if seen.idle is None:
        return None, "the suite asks for no idle measurement"
    if not list(Joules(trace, [seen.idle], 1).inside("processes")):
        return None, "the driver does not list the compute processes: some may have been on the GPU"
    if others := len(seen.earlier_processes | _processes(trace, [seen.idle])):
        are = "es were" if others > 1 else " was"
        return None, f"{others} compute process{are} on the GPU while it should be idle"
    idle = Joules(trace, [seen.idle], 1)
    energy_j = idle.counter_j if by_counter else idle.integral_j
    return (None, idle.why_nothing) if energy_j is None else (energy_j / seen.idle.seconds, "")


def _phases(segments: Sequence[Segment], joules: Joules) -> Iterator[PhaseEnergy]:
    for phase in ("train", "compress", "evaluate"):
        of_phase = [s for s in _of(phase, segments) if s.seconds > 0]
        if not of_phase:
            continue
        trainings = trainings_of(of_phase)
        seconds = math.fsum(s.seconds for s in of_phase)
        mean_s = seconds / len(of_phase)
        long_enough = mean_s >= REFRESH_S / COARSE_SHARE
        energy_j = math.fsum(joules.of([Interval(s.begin_s, s.end_s) for s in of_phase])) / trainings
        reason = (
            f"its segments last {mean_s:.2g} s on average; below {REFRESH_S / COARSE_SHARE:g} s the driver's "
            f"refresh of {REFRESH_S:g} s weighs too much"
        )
        yield PhaseEnergy(
            phase=phase,
            stretches=len(of_phase),
            duration_s=seconds / trainings,
            energy_j=energy_j if long_enough else None,
            reasons={} if long_enough else {"energy_j": reason},
        )


def _of(phase: Phase, segments: Sequence[Segment]) -> list[Segment]:
    """A phase's segments in the trainings that count; repeats do not evaluate, so that counts wherever it was."""
    among = segments if phase == "evaluate" else counting(segments)
    return [segment for segment in among if segment.phase == phase]


def _cumulative(counted: Sequence[Segment], joules: Joules) -> tuple[list[float] | None, str]:
    """Joules to the end of each segment of training, mean over the trainings."""
    courses = [list(course) for _, course in itertools.groupby(counted, key=lambda s: s.training)]
    ends = [[s.end_s for s in course if s.phase == "train"] for course in courses]
    if len({len(of_training) for of_training in ends}) != 1 or not ends[0]:
        return None, "the repeats did not train in the same pieces"
    places: list[tuple[int, int]] = []
    parts: list[Interval] = []
    for number, course in enumerate(courses):
        for piece in windows(course):
            for cycle, part in _parted(piece, ends[number]):
                places.append((number, cycle))
                parts.append(part)
    steps = np.zeros((len(ends), len(ends[0])))
    np.add.at(steps, tuple(np.array(places).T), joules.of(parts))
    return steps.cumsum(axis=1).mean(axis=0).tolist(), ""


def _parted(piece: Interval, ends_s: Sequence[float]) -> Iterator[tuple[int, Interval]]:
    """The parts of `piece` that lie before each of the growing `ends_s` and after the one before it."""
    for cycle, (since, until) in enumerate(itertools.pairwise([-math.inf, *ends_s])):
        begin, end = max(piece.begin_s, since), min(piece.end_s, until)
        if begin < end:
            yield cycle, Interval(begin, end)
