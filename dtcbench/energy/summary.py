"""A trace as a record has it: joules by both methods, phases, clocks, temperatures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from dtcbench.energy.phases import cumulative_j, of_phases
from dtcbench.energy.segments import Interval, Segment, count_trainings, counted, windows
from dtcbench.energy.trace import Method, Trace
from dtcbench.record import BoardEnergy, PowerTrace
from dtcbench.unavailable import Unavailable

REASONS = {
    0x1: "idle",
    0x2: "set clocks",
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "synchronised boost",
    0x20: "heat, by software",
    0x40: "heat, by hardware",
    0x80: "power brake",
    0x100: "display clocks",
}
"""NVML's reasons for lower clocks (nvmlClocksEventReasons), by bit."""


def both_joules(trace: Trace, segments: Sequence[Segment]) -> tuple[float | Unavailable, float | Unavailable]:
    """Joules of one training by the counter and by the integral."""
    inside, trainings = windows(counted(segments)), count_trainings(counted(segments))
    counter_j, integral_j = trace.counter_j(inside), trace.integral_j(inside)
    return (
        counter_j if isinstance(counter_j, Unavailable) else counter_j / trainings,
        integral_j if isinstance(integral_j, Unavailable) else integral_j / trainings,
    )


def summary(
    trace: Trace,
    segments: Sequence[Segment],
    uuids: Sequence[str],
    method: Method,
    joules: tuple[float | Unavailable, float | Unavailable],
    **about: Any,
) -> PowerTrace:
    """The trace in a record.

    Parameters
    ----------
    uuids : of the GPUs that were measured together
    method : that gave the record's joules
    joules : those of one training by the counter and by the integral
    about : the fields that the trace does not tell
    """
    inside = windows(counted(segments))
    polled = "counter_mj" if isinstance(trace.power, Unavailable) else trace.power
    used = {polled, "counter_mj"} if method == "counter" else {polled}
    degrees = trace.readings("temperature_c", inside)
    unread = Unavailable("no temperature was read")
    counter_j, integral_j = joules
    return PowerTrace.of(
        **about,
        gpu_uuid=", ".join(uuids),
        samples=len(trace.readings(polled, inside)),
        longest_gap_s=trace.longest_gap_s([trace.column(name) for name in used], inside),
        read_errors={name: f"{count} times: {why}" for name, (count, why) in sorted(trace.errors.items())},
        counter_j=counter_j,
        integral_j=integral_j,
        integrated=trace.power,
        temperature_before_c=degrees[0] if degrees else unread,
        temperature_after_c=degrees[-1] if degrees else unread,
        sm_clock_mhz=_mean(trace, "sm_clock_mhz", inside),
        memory_clock_mhz=_mean(trace, "memory_clock_mhz", inside),
        throttle_shares=_throttle_shares(trace, inside),
        phases=list(of_phases(trace, segments, method)),
        cumulative_j=cumulative_j(trace, counted(segments), method),
        sampler_cpu_pct=trace.sampler_cpu_pct,
        boards=_boards(trace, segments, uuids, method),
    )


def _boards(trace: Trace, segments: Sequence[Segment], uuids: Sequence[str], method: Method) -> list[BoardEnergy]:
    """Joules of each of several boards, by the method that gave the sum; of one board nothing more is to be said."""
    if len(uuids) == 1:
        return []
    of_each = [both_joules(board, segments) for board in trace.boards]
    joules = [counter_j if method == "counter" else integral_j for counter_j, integral_j in of_each]
    return [BoardEnergy.of(gpu_uuid=uuid, energy_j=found) for uuid, found in zip(uuids, joules, strict=True)]


def _mean(trace: Trace, column: str, inside: Sequence[Interval]) -> float | Unavailable:
    """Mean of a column's readings inside the windows."""
    found = trace.readings(column, inside)
    return fmean(found) if found else _unread(trace, column)


def _throttle_shares(trace: Trace, inside: Sequence[Interval]) -> dict[str, float] | Unavailable:
    """By reason for lower clocks, the share of the readings inside the windows that gave it."""
    found = [int(bits) for bits in trace.readings("throttle_reasons", inside)]
    if not found:
        return _unread(trace, "throttle_reasons")
    shares = {reason: sum(bool(bits & bit) for bits in found) / len(found) for bit, reason in REASONS.items()}
    return {reason: share for reason, share in shares.items() if share}


def _unread(trace: Trace, column: str) -> Unavailable:
    return Unavailable(trace.errors.get(column, (0, "it was not read inside the window"))[1])
