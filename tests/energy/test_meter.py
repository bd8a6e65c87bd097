"""The clock of a cell, what lies inside the energy boundary, and the meter of a device."""

import sys

import pynvml
import pytest

from dtcbench.energy.meter import NoMeter, Phases, open_meter


class Ticks:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Bench:
    """A Phases with a clock by hand and a log of what was done to the meter and the device."""

    def __init__(self):
        self.log = []
        self.clock = Ticks()
        self.phases = Phases(self, synchronize=lambda: self.log.append("synchronize"), clock=self.clock)

    def start(self):
        self.log.append("start")

    def stop(self):
        self.log.append("stop")

    def reading(self, window_s):
        return NoMeter("a log is no meter").reading(window_s)

    def work(self, seconds):
        self.log.append("work")
        self.clock.now += seconds


@pytest.fixture
def bench():
    return Bench()


def test_seconds_add_up_by_phase(bench):
    for seconds in (1, 2):
        with bench.phases.train():
            bench.work(seconds)
        with bench.phases.compress():
            bench.work(10 * seconds)
        with bench.phases.evaluate():
            bench.work(100 * seconds)
        bench.work(1000)
    assert (bench.phases.train_s, bench.phases.compress_s, bench.phases.evaluate_s) == (3, 30, 300)
    assert bench.phases.window_s == bench.phases.reading().window_s == 33


@pytest.mark.parametrize("phase", ["train", "compress"])
def test_meter_runs_through_the_phase_and_the_work_it_queued(bench, phase):
    with getattr(bench.phases, phase)():
        bench.work(1)
    assert bench.log == ["synchronize", "start", "work", "synchronize", "stop"]


def test_evaluation_is_outside_the_energy_window(bench):
    with bench.phases.evaluate():
        bench.work(1)
    assert bench.log == ["synchronize", "work", "synchronize"]
    assert bench.phases.window_s == 0


def test_an_exception_stops_meter_and_clock_and_passes(bench):
    with pytest.raises(MemoryError), bench.phases.train():
        bench.work(2)
        raise MemoryError
    assert bench.log == ["synchronize", "start", "work", "stop"]
    assert bench.phases.train_s == 2
    with bench.phases.evaluate():
        bench.work(1)
    assert bench.phases.evaluate_s == 1


def test_an_error_of_the_queued_work_stops_the_meter(bench):
    def broken():
        bench.log.append("synchronize")
        if bench.log.count("synchronize") == 2:
            raise RuntimeError("device-side assert")

    phases = Phases(bench, synchronize=broken, clock=bench.clock)
    with pytest.raises(RuntimeError, match="device-side assert"), phases.train():
        bench.work(2)
    assert bench.log[-1] == "stop"
    assert phases.train_s == 2


def test_phases_do_not_nest(bench):
    with bench.phases.train():
        with pytest.raises(RuntimeError, match="evaluate begins inside phase train"), bench.phases.evaluate():
            pass
        bench.work(1)
    assert bench.phases.train_s == 1


def test_no_meter_explains_every_null():
    meter = NoMeter("nothing to read")
    meter.start()
    meter.stop()
    energy = meter.reading(12.5)
    assert (energy.energy_j, energy.method, energy.scope, energy.window_s) == (None, "none", "none", 12.5)
    assert set(energy.reasons) == {"energy_j", "cross_check_pct", "quantisation_j"}
    assert set(energy.reasons.values()) == {"nothing to read"}


def reason_of(device):
    meter = open_meter(device)
    meter.start()
    meter.stop()
    energy = meter.reading(1.0)
    assert energy.energy_j is None
    assert energy.method == energy.scope == "none"
    return energy.reasons["energy_j"]


def test_a_cpu_cell_has_no_meter():
    assert "CPU" in reason_of("cpu")


def test_an_unknown_device_has_no_meter():
    assert "mps" in reason_of("mps")


def test_a_gpu_that_torch_lacks_has_no_meter():
    assert "torch has no GPU cuda:99" in reason_of("cuda:99")


def test_a_gpu_is_found_by_the_uuid_torch_reports(fake_nvml):
    fake_nvml.uuids = ["GPU-bbbb", "GPU-aaaa"]
    fake_nvml.counter = [5_000, 5_000, 75_000]
    meter = open_meter("cuda")
    assert fake_nvml.asked_for == ["GPU-aaaa"]
    meter.start()
    meter.stop()
    assert meter.reading(1.0).energy_j == 70.0


def test_missing_package(fake_nvml, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert reason_of("cuda") == "the package nvidia-ml-py is not installed"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "NVML Shared Library Not Found"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "Insufficient Permissions"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"),
    ],
)
def test_nvml_that_does_not_start(fake_nvml, code, words):
    fake_nvml.fails["init"] = pynvml.NVMLError(code)
    assert reason_of("cuda") == f"NVML does not start: {words}"


def test_gpu_that_nvml_does_not_know(fake_nvml):
    fake_nvml.uuids = ["GPU-bbbb"]
    assert "UUID" in reason_of("cuda")


def test_gpu_without_the_counter(fake_nvml):
    fake_nvml.counter = [pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)]
    assert reason_of("cuda") == "the GPU's energy counter cannot be read: Not Supported"


def test_gpu_in_mig_mode(fake_nvml):
    fake_nvml.mig_mode = [1, 1]
    assert "MIG" in reason_of("cuda")


def test_mig_instance(fake_nvml):
    fake_nvml.uuids = ["GPU-bbbb", "MIG-aaaa"]
    assert "MIG" in reason_of("cuda")


def test_gpu_that_could_be_divided_by_mig_but_is_not(fake_nvml):
    fake_nvml.mig_mode = [0, 0]
    fake_nvml.counter = [0, 0, 1_000]
    meter = open_meter("cuda")
    meter.start()
    meter.stop()
    assert meter.reading(1.0).energy_j == 1.0
