"""Energy and time of using a network, from the windows in which it ran. Pure; docs/use.md explains the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binom

from dtcbench.energy.segments import Interval
from dtcbench.plan.metering import Mode
from dtcbench.record import Energy, Spread, Use, Widths
from dtcbench.unavailable import Unavailable

PER = 1000
"""Joules are given for so many samples."""
_OUTSIDE = 0.025
"""Probability that the true median lies below the interval, at most; and as much above."""
_MEASURED = ("passes", "latency_s", "throughput", "energy_j", "cpu_energy_j")


@dataclass(frozen=True)
class Ran:
    """When a network ran in one way of use."""

    passes: int
    """Forward passes in each window."""
    windows: tuple[Interval, ...]
    """In each, the passes followed each other without waiting."""
    latencies_s: tuple[float, ...]
    """Beside each window, seconds of one pass alone."""


@dataclass(frozen=True)
class Way:
    """One way of use, and when the network ran in it."""

    widths: Widths
    mode: Mode
    batch_size: int
    flops: int | Unavailable
    ran: Ran | Unavailable


def use_of(way: Way, energies: Sequence[Energy]) -> Use:
    """What the record says of a way of use; `energies` are those of its windows, one of each."""
    numbers: dict[str, Any] = dict.fromkeys(_MEASURED, way.ran)
    if isinstance(way.ran, Ran):
        samples = way.ran.passes * way.batch_size
        numbers = {
            "passes": way.ran.passes,
            "latency_s": spread(way.ran.latencies_s),
            "throughput": spread([samples / window.seconds for window in way.ran.windows]),
            "energy_j": _joules("energy_j", energies, samples),
            "cpu_energy_j": _joules("cpu_energy_j", energies, samples),
        }
    has_joules = isinstance(numbers["energy_j"], Spread)
    if has_joules and len({energy.method for energy in energies}) > 1:
        has_joules = False
        numbers["energy_j"] = Unavailable("the energy counter did not move in every window; lengthen use.window")
    # `short` is about the length of one window; here several are measured, and their spread is stated.
    flags = dict.fromkeys(flag for energy in energies for flag in energy.flags if flag != "short")
    return Use.of(
        widths=way.widths,
        mode=way.mode,
        batch_size=way.batch_size,
        flops=way.flops,
        energy_method=energies[0].method if has_joules else "none",
        energy_scope=energies[0].scope if has_joules else "none",
        flags=list(flags),
        **numbers,
    )


def spread(values: Sequence[float]) -> Spread:
    """The median and its interval: the k-th smallest and k-th largest value, between which the true median lies with a
    probability of at least 95 %, whatever the values' distribution (binomial; of 6 to 8 values the least and the most).

    ValueError for fewer than 6 values, which have no such interval.
    """
    ordered = sorted(values)
    number = int(binom.ppf(_OUTSIDE, len(ordered), 0.5))
    if number == 0:
        raise ValueError(f"{len(ordered)} windows leave the median open; measure at least 6")
    middle = len(ordered) // 2
    return Spread(median=(ordered[middle] + ordered[-1 - middle]) / 2, low=ordered[number - 1], high=ordered[-number])


def _joules(name: str, energies: Sequence[Energy], samples: int) -> Spread | Unavailable:
    """Joules per `PER` samples; the first window's reason if one of them has none."""
    found = [(getattr(energy, name), energy.reasons.get(name)) for energy in energies]
    for joules, reason in found:
        if joules is None:
            return Unavailable(str(reason))
    return spread([PER * joules / samples for joules, _ in found])
