"""Traces made up for tests: a driver that refreshes every 0.1 s, polled every 25 ms."""

from __future__ import annotations

import numpy as np

from dtcbench.energy.joules import GpuContext, IdleBaseline
from dtcbench.energy.processes import ThisProcess
from dtcbench.energy.segments import Segment
from dtcbench.energy.trace import Trace
from dtcbench.unavailable import Unavailable

POLL_S, REFRESH_S = 0.025, 0.1
OWN = 4711
HOST = ThisProcess(frozenset({OWN}), is_nested=False, has_context=False)
"""The cell's process, in the host's pid namespace."""
NOT_ASKED = Unavailable("the suite asks for no idle measurement")
BEGIN_S = 1000.0
"""Of every trace: time stamps are far from 0, as those of a real clock are."""


def trace(seconds=100.0, power=lambda t: np.full_like(t, 300.0), processes=None, **changes) -> Trace:
    """`power` (W) over the seconds since the trace began, as counter and power show it; columns as in `changes`."""
    t = np.arange(0, seconds + POLL_S / 2, POLL_S)
    fine = np.arange(0, seconds + 0.01, 0.001)
    joules = np.concatenate([[0.0], np.cumsum(power(fine)[:-1] * 0.001)])
    refreshed = np.floor(t / REFRESH_S + 1e-9) * REFRESH_S
    columns = {
        "t_s": BEGIN_S + t,
        "counter_mj": np.floor(1000 * np.interp(refreshed, fine, joules)) + 5e6,
        "instant_w": power(refreshed),
        "temperature_c": np.full_like(t, 50.0),
        "throttle_reasons": np.full_like(t, 0x4),
        "power_limit_w": np.full_like(t, 700.0),
        "processes": np.where(np.arange(t.size) % 20 == 0, 1.0, np.nan),  # asked for more slowly
        **{name: value for name, value in changes.items() if name not in ("errors", "lost_s")},
    }
    return Trace(
        columns={name: values for name, values in columns.items() if values is not None},
        errors=changes.get("errors", {}),
        processes={OWN: (BEGIN_S, BEGIN_S + seconds)} if processes is None else processes,
        lost_s=changes.get("lost_s"),
        sampler_cpu_pct=1.0,
    )


def segment(phase, begin, end, training=0) -> Segment:
    """A segment, in seconds since the trace began."""
    return Segment(BEGIN_S + begin, BEGIN_S + end, phase, training)


def gpu_context(**changes) -> GpuContext:
    """A whole GPU of the cell's own."""
    values = {
        "device": "NVIDIA H200",
        "uuids": ("GPU-aaaa",),
        "simulated": False,
        "interval_s": POLL_S,
        "shared": None,
        "label_shared": False,
        "own": HOST,
        "baseline": baseline(),
    }
    return GpuContext(**{**values, **changes})


def baseline(cooled=True, processes=frozenset(), idle=NOT_ASKED) -> IdleBaseline:
    """The GPU before the cell, after no cool-down."""
    return IdleBaseline(0.0, cooled, processes, idle)
