"""What `show` tells of one cell's energy: every figure with its caveats, and a reason for every absent one."""

from __future__ import annotations

import pytest

from dtcbench.record import Energy, PhaseEnergy, PowerTrace
from dtcbench.report.energy_rows import energy_rows

TOO_SHORT = "its segments are too short"


def trace(**values) -> PowerTrace:
    """Two trainings of 50 s on a GPU that idles at 60 W, with a context at 90 W."""
    figures = {
        "device": "A GPU",
        "gpu_uuid": "GPU-0",
        "simulated": False,
        "interval_s": 0.025,
        "samples": 4000,
        "longest_gap_s": 0.03,
        "read_errors": {},
        "counter_j": 9000.0,
        "integral_j": 9090.0,
        "integrated": "usage_w",
        "idle_w": 60.0,
        "idle_context_w": 90.0,
        "cool_down_s": 30.0,
        "temperature_before_c": 40.0,
        "temperature_after_c": 61.0,
        "sm_clock_mhz": 1905.4,
        "memory_clock_mhz": 2619.0,
        "throttle_shares": {"power limit": 0.75},
        "phases": [
            PhaseEnergy(phase="train", stretches=8, duration_s=49.0, energy_j=8900.0),
            PhaseEnergy(phase="compress", stretches=8, duration_s=1.0, energy_j=None, reasons={"energy_j": TOO_SHORT}),
            PhaseEnergy(phase="evaluate", stretches=3, duration_s=9.0, energy_j=700.0),
        ],
        "cumulative_j": [9000.0],
        "sampler_cpu_pct": 1.25,
    }
    return PowerTrace.model_validate(figures | values)


def energy(**values) -> Energy:
    figures = {
        "energy_j": 9000.0,
        "method": "counter",
        "scope": "gpu",
        "window_s": 100.0,
        "repeats": 2,
        "cross_check_pct": 1.0,
        "quantisation_j": 18.0,
        "cpu_energy_j": 2500.0,
        "trace": trace(),
        "trace_sha256": "0" * 64,
        "flags": [],
    }
    return Energy.model_validate(figures | values)


UNMEASURED = energy(
    **dict.fromkeys(["energy_j", "cross_check_pct", "quantisation_j", "cpu_energy_j", "trace", "trace_sha256"]),
    method="none",
    scope="none",
    window_s=0.5,
    repeats=1,
    reasons={
        "energy_j": "the cell ran on the CPU",
        "cpu_energy_j": "no RAPL",
        **dict.fromkeys(["cross_check_pct", "quantisation_j", "trace", "trace_sha256"], "nothing was read"),
    },
)


def test_a_measured_cell_shows_its_joules_and_how_they_were_obtained():
    assert energy_rows(energy()) == [
        ("energy", "9000.0 J by counter, uncertain by 18.0 J"),
        ("inside the boundary", "2 trainings, 100.00 s together, 50.00 s each"),
        ("GPU", "A GPU, GPU-0"),
        ("integral against counter", "+1.0 %"),
        ("power", "180.0 W on average, idle 60.0 W after 30 s of cool-down"),
        ("idle with a context", "90.0 W"),
        ("above idle", "4500.0 J, without a context 6000.0 J"),
        ("temperature", "40 °C before, 61 °C after"),
        ("clocks", "SM 1905 MHz, memory 2619 MHz on average"),
        ("lower clocks for", "power limit 75 %"),
        ("phase train", "8900.0 J in 49.00 s, 8 segments"),
        ("phase compress", f"– ({TOO_SHORT}) in 1.00 s, 8 segments"),
        ("phase evaluate", "700.0 J in 9.00 s, 3 segments, outside the energy boundary"),
        ("samples", "4000 at 25 ms, longest gap 0.03 s, sampler at 1.2 % of a core"),
        ("processor packages", "2500.0 J"),
    ]


def test_without_a_meter_there_is_a_reason_and_no_joule():
    assert energy_rows(UNMEASURED) == [
        ("energy", "not measured (the cell ran on the CPU)"),
        ("inside the boundary", "one training, 0.50 s"),
        ("processor packages", "not measured (no RAPL)"),
    ]


@pytest.mark.parametrize(
    ("shown", "row"),
    [
        (energy(flags=["short", "warm"]), ("flags", "short, warm")),
        (
            energy(trace=trace(read_errors={"temperature_c": "3 times: Not Supported"})),
            ("read errors", "temperature_c: 3 times: Not Supported"),
        ),
        (energy(trace=trace(simulated=True)), ("GPU", "A GPU, GPU-0; a simulation: not for publication")),
        (
            energy(trace=trace(idle_w=None, reasons={"idle_w": "others used the GPU"})),
            ("power", "180.0 W on average, idle – (others used the GPU) after 30 s of cool-down"),
        ),
        (
            energy(trace=trace(idle_w=None, reasons={"idle_w": "others used the GPU"})),
            ("above idle", "4500.0 J, without a context –"),
        ),
        (energy(trace=trace(throttle_shares={})), ("lower clocks for", "nothing")),
        (
            energy(trace=trace(throttle_shares=None, reasons={"throttle_shares": "Not Supported"})),
            ("lower clocks for", "– (Not Supported)"),
        ),
        (
            energy(cpu_energy_j=None, cpu_shared_energy_j=2500.0, reasons={"cpu_energy_j": "few cores"}),
            ("whole processor packages, shared", "2500.0 J"),
        ),
        (
            energy(trace=trace(temperature_after_c=None, reasons={"temperature_after_c": "not read"})),
            ("temperature", "40 °C before, – (not read) after"),
        ),
    ],
)
def test_what_a_reader_must_know_has_a_row(shown, row):
    assert row in energy_rows(shown)
