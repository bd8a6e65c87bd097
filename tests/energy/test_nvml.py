"""NVIDIA's energy counter: a sum over windows, or no number at all."""

import pynvml
import pytest

from dtcbench.energy import nvml
from dtcbench.energy.nvml import NvmlCounterMeter, NvmlError

LOST = "the GPU's energy counter cannot be read: GPU is lost"


def lost():
    return pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)


def metered(fake, readings, window_s=100.0):
    """The energy after as many windows as `readings` has pairs."""
    fake.counter = [0, *readings]  # the first is read while the meter is opened
    meter = nvml.open_counter("GPU-aaaa")
    for _ in range(len(readings) // 2):
        meter.start()
        meter.stop()
    return meter.reading(window_s)


def assert_null(energy, reason):
    assert energy.energy_j is None
    assert energy.quantisation_j is None
    assert energy.method == energy.scope == "none"
    assert reason in energy.reasons["energy_j"]


def test_windows_add_up_and_what_lies_between_does_not_count(fake_nvml):
    energy = metered(fake_nvml, [1_000, 31_000, 90_000, 110_000])
    assert energy.energy_j == 50.0
    assert (energy.method, energy.scope, energy.window_s) == ("counter", "gpu", 100.0)
    assert energy.cross_check_pct is None
    assert "cross_check_pct" in energy.reasons


def test_quantisation_is_a_refresh_of_mean_power_for_each_window(fake_nvml):
    one = metered(fake_nvml, [0, 50_000])
    two = metered(fake_nvml, [0, 30_000, 30_000, 50_000])
    assert one.quantisation_j == pytest.approx(0.1 * 0.5)
    assert two.quantisation_j == pytest.approx(2 * 0.1 * 0.5)


@pytest.mark.parametrize(("window_s", "flags"), [(59.9, ["short"]), (60.0, [])])
def test_short_windows_are_flagged(fake_nvml, window_s, flags):
    assert metered(fake_nvml, [0, 50_000], window_s).flags == flags


@pytest.mark.parametrize(("windows", "flags"), [(30, []), (31, ["coarse"])])
def test_a_figure_that_many_refreshes_make_uncertain_by_more_than_a_twentieth_is_flagged(fake_nvml, windows, flags):
    readings = [edge for n in range(windows) for edge in (1_000 * n, 1_000 * (n + 1))]
    energy = metered(fake_nvml, readings, window_s=60.0)  # n windows are uncertain by n · 0.1 s of 60 s
    assert energy.quantisation_j == pytest.approx(energy.energy_j * windows * 0.1 / 60)
    assert energy.flags == flags


def test_a_counter_that_runs_backwards_gives_no_number(fake_nvml):
    energy = metered(fake_nvml, [1_000, 9_000, 5_000, 4_000, 5_000, 9_000])
    assert_null(energy, "ran backwards, from 5000 to 4000 mJ")


@pytest.mark.parametrize("position", range(4))
def test_a_gpu_lost_at_any_time_gives_no_number(fake_nvml, position):
    readings = [1_000, 2_000, 3_000, 4_000]
    readings[position] = lost()
    assert_null(metered(fake_nvml, readings), LOST)


def test_a_failure_is_final_and_the_first_reason_stays(fake_nvml):
    energy = metered(fake_nvml, [lost(), 9_000, 8_000, 7_000, 9_000])
    assert_null(energy, LOST)


def test_a_counter_that_stands_still_gives_no_number(fake_nvml):
    assert_null(metered(fake_nvml, [7_000, 7_000]), "did not move")


def test_without_a_window_there_is_no_number(fake_nvml):
    assert_null(metered(fake_nvml, [], window_s=0.0), "nothing ran")


def test_a_reading_inside_an_open_window_gives_no_number():
    meter = NvmlCounterMeter(iter([0, 5_000, 6_000]).__next__)
    meter.start()
    meter.stop()
    meter.start()
    assert_null(meter.reading(10.0), "while it ran")


def test_a_stop_without_a_start_adds_nothing():
    meter = NvmlCounterMeter(iter([0, 5_000]).__next__)
    meter.start()
    meter.stop()
    meter.stop()
    assert meter.reading(10.0).energy_j == 5.0


def test_gpus_are_described(fake_nvml):
    fake_nvml.uuids = ["GPU-aaaa", "GPU-bbbb"]
    state = nvml.gpus()
    assert state.reason is None
    assert [g.uuid for g in state.gpus] == ["GPU-aaaa", "GPU-bbbb"]
    assert state.gpus[0] == nvml.gpu("GPU-aaaa")
    first = state.gpus[0]
    assert (first.name, first.memory_gib, first.power_limit_w) == ("NVIDIA H200", 140.0, 700.0)
    assert (first.driver, first.counter_problem) == ("570.1", None)


def test_a_gpu_tells_why_its_counter_cannot_be_used(fake_nvml):
    fake_nvml.counter = [pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)]
    [found] = nvml.gpus().gpus
    assert "Insufficient Permissions" in found.counter_problem


def test_an_unknown_power_limit_is_none(fake_nvml):
    fake_nvml.fails["power limit"] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert nvml.gpu("GPU-aaaa").power_limit_w is None


def test_a_lost_gpu_does_not_hide_the_others(fake_nvml):
    fake_nvml.uuids = ["GPU-aaaa", "GPU-bbbb"]
    fake_nvml.fails["index 0"] = lost()
    state = nvml.gpus()
    assert [g.uuid for g in state.gpus] == ["GPU-bbbb"]
    assert state.reason == "GPU 0: GPU is lost"


def test_no_gpu_at_all_has_a_reason(fake_nvml):
    fake_nvml.uuids = []
    assert nvml.gpus() == nvml.NvmlState((), "NVML shows no GPU")


@pytest.mark.parametrize("call", ["init", "count"])
def test_nvml_that_fails_gives_no_gpus_and_the_reason(fake_nvml, call):
    fake_nvml.fails[call] = pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    state = nvml.gpus()
    assert state.gpus == ()
    assert "Driver Not Loaded" in state.reason


def test_an_unknown_gpu_is_an_nvml_error(fake_nvml):
    with pytest.raises(NvmlError, match="UUID"):
        nvml.gpu("GPU-cccc")
