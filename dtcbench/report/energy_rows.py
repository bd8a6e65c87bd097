"""The energy of one cell as rows of name and text; a missing value shows its reason."""

from __future__ import annotations

from collections.abc import Sequence

from dtcbench.record import Energy, Explained, PhaseEnergy, PowerTrace, Spread, Use
from dtcbench.records.contributions import power
from dtcbench.text import number_text, with_interval


def energy_rows(energy: Energy) -> list[tuple[str, str]]:
    """Joules of one training, how they were measured, and their flags."""
    rows = [("energy", _joules(energy)), ("inside the boundary", _window(energy))]
    if energy.trace:
        rows += _trace_rows(energy, energy.trace)
    packages = "processor packages"
    if energy.cpu_shared_energy_j is not None:
        rows.append((f"whole {packages}, shared", _value(energy, "cpu_shared_energy_j", ".1f", "J")))
    else:
        rows.append((packages, _value(energy, "cpu_energy_j", ".1f", "J", absent="not measured")))
    if energy.flags:
        rows.append(("flags", ", ".join(energy.flags)))
    return rows


def use_rows(uses: Sequence[Use]) -> list[tuple[str, str]]:
    """What using the network takes, one row for each way; each number with its 95 % interval over windows."""
    return [(f"use, {use.widths}, {use.mode}, batch {use.batch_size}", _use(use)) for use in uses]


def _use(use: Use) -> str:
    if use.throughput is None:
        return f"not measured ({use.reasons['throughput']})"
    joules = _spread(use, "energy_j", "J per 1,000", absent="joules not measured")
    latency = _spread(use, "latency_s", "ms alone", scale=1000)
    return f"{latency}, {_spread(use, 'throughput', 'samples/s', ',.0f')}, {joules}"


def _spread(use: Use, name: str, unit: str, form: str = ".4g", scale: float = 1, absent: str = "") -> str:
    spread: Spread | None = getattr(use, name)
    if spread is None:
        return f"{absent} ({use.reasons[name]})"
    return with_interval(spread.median, spread.low, spread.high, form, unit, scale)


def _joules(energy: Energy) -> str:
    joules = _value(energy, "energy_j", ".1f", "J", absent="not measured")
    if energy.energy_j is None:
        return joules
    return f"{joules} by {energy.method}, uncertain by {_value(energy, 'quantisation_j', '.1f', 'J')}"


def _window(energy: Energy) -> str:
    if energy.repeats == 1:
        return f"one training, {energy.window_s:.2f} s"
    each_s = energy.window_s / energy.repeats
    return f"{energy.repeats} trainings, {energy.window_s:.2f} s together, {each_s:.2f} s each"


def _trace_rows(energy: Energy, trace: PowerTrace) -> list[tuple[str, str]]:
    watts = power(energy)
    mean = number_text(watts["mean_power_w"], ".1f", "W")
    before, after = (_value(trace, f"temperature_{when}_c", ".0f", "°C") for when in ("before", "after"))
    bare, memory = number_text(watts["net_energy_bare_j"], ".1f", "J"), _value(trace, "memory_clock_mhz", ".0f", "MHz")
    cooled = f" after {trace.cool_down_s:.0f} s of cool-down"
    rows = [
        ("GPU", f"{trace.device}, {trace.gpu_uuid}{'; a simulation: not for publication' if trace.simulated else ''}"),
        *((f"GPU {board.gpu_uuid}", _value(board, "energy_j", ".1f", "J")) for board in trace.boards),
        ("integral against counter", _value(energy, "cross_check_pct", "+.1f", "%")),
        ("power", f"{mean} on average, idle {_value(trace, 'idle_w', '.1f', 'W')}{cooled}"),
        ("idle with a context", _value(trace, "idle_context_w", ".1f", "W")),
        ("above idle", f"{number_text(watts['net_energy_j'], '.1f', 'J')}, without a context {bare}"),
        ("temperature", f"{before} before, {after} after"),
        ("clocks", f"SM {_value(trace, 'sm_clock_mhz', '.0f', 'MHz')}, memory {memory} on average"),
        ("lower clocks for", _throttling(trace)),
        *((f"phase {phase.phase}", _phase(phase)) for phase in trace.phases),
        (
            "samples",
            f"{trace.samples} at {1000 * trace.interval_s:.0f} ms, longest gap {trace.longest_gap_s:.2f} s, "
            f"sampler at {trace.sampler_cpu_pct:.1f} % of a core",
        ),
    ]
    return rows + [("read errors", f"{name}: {why}") for name, why in trace.read_errors.items()]


def _throttling(trace: PowerTrace) -> str:
    """Why the clocks were lower than they could be, and for which share of the time."""
    if trace.throttle_shares is None:
        return f"– ({trace.reasons['throttle_shares']})"
    return ", ".join(f"{reason} {100 * share:.0f} %" for reason, share in trace.throttle_shares.items()) or "nothing"


def _counts(phase: PhaseEnergy) -> bool:
    """Whether the phase lies inside the energy boundary."""
    return phase.phase != "evaluate"


def _phase(phase: PhaseEnergy) -> str:
    outside = "" if _counts(phase) else ", outside the energy boundary"
    return f"{_value(phase, 'energy_j', '.1f', 'J')} in {phase.duration_s:.2f} s, {phase.stretches} segments{outside}"


def _value(of: Explained, name: str, form: str, unit: str, absent: str = "–") -> str:
    """The value with its unit; if it is missing, `absent` and the reason."""
    value = getattr(of, name)
    return f"{absent} ({of.reasons[name]})" if value is None else f"{value:{form}} {unit}"
