"""The sampler process on a fake NVML: every sample, every failure, and no life of its own."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pynvml
import pytest
from fake_nvml.boards import FakeGpu, built, environment, gpu_uuid, write_scenario

from dtcbench.energy import integrate, sampler
from dtcbench.energy.trace import INTERVAL_S, Sampler
from dtcbench.unavailable import Unavailable

UUID = gpu_uuid(0)
AGES_AGO_S = 100.0
"""Scenarios begin so long before the test, so that what is to happen in them has happened or has not."""


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Lets processes started from now on see these GPUs."""

    def play(*gpus):
        scenario = write_scenario(tmp_path / "scenario", gpus, epoch_s=time.monotonic() - AGES_AGO_S)
        for name, value in environment(built(), scenario).items():
            monkeypatch.setenv(name, value)

    return play


def sampled(seconds=0.6, uuids=(UUID,), counters=()):
    sampling = Sampler.start(uuids, counters)
    select.select([sampling._process.stdout], [], [], seconds)  # until then it says something only if it dies
    return sampling.finish()


def finite(trace, name):
    values = trace.column(name)
    return values[np.isfinite(values)]


def test_counter_and_power_agree_with_the_board(play):
    play(FakeGpu(power_w=250.0))
    trace = sampled(1.2)
    begin, end = trace.t_s[0] + 0.2, trace.t_s[-1] - 0.2
    edges = integrate.counter_j(trace.t_s, trace.column("counter_mj"), np.array([begin, end]))
    # Two refreshes are seen up to a poll late.
    late_s = 2 * np.diff(trace.t_s).max()
    assert edges[1] - edges[0] == pytest.approx(250 * (end - begin), abs=250 * late_s)
    assert integrate.integral_j(trace.t_s, trace.column("instant_w"), begin, end) == pytest.approx(250 * (end - begin))
    assert set(finite(trace, "average_w")) == {250.0}
    assert np.median(np.diff(trace.t_s)) == pytest.approx(INTERVAL_S, abs=0.01)
    assert trace.errors == {}
    assert trace.lost_s is None


def test_what_power_depends_on_is_read_more_slowly(play):
    play(FakeGpu(temperature_c=61, limit_w=500, throttle_from_s=0.0))
    trace = sampled(0.8)
    assert set(finite(trace, "temperature_c")) == {61}
    assert set(finite(trace, "power_limit_w")) == {500}
    assert all(int(bits) & 0x40 for bits in finite(trace, "throttle_reasons"))
    assert (set(finite(trace, "sm_clock_mhz")), set(finite(trace, "memory_clock_mhz"))) == ({1980}, {2619})
    for name in ("sm_clock_mhz", "memory_clock_mhz", "utilisation_pct", "processes"):
        assert 2 <= len(finite(trace, name)) < len(trace.t_s) / 4


def test_several_gpus_are_summed_row_by_row_and_each_has_its_own_columns(play):
    uuids = [gpu_uuid(0), gpu_uuid(1)]
    play(
        FakeGpu(uuids[0], power_w=250.0, temperature_c=61, limit_w=500),
        FakeGpu(uuids[1], power_w=400.0, temperature_c=40, limit_w=700, throttle_from_s=0.0),
    )
    trace = sampled(0.8, uuids)
    assert set(finite(trace, "instant_w")) == {650.0}
    assert [set(finite(board, "instant_w")) for board in trace.boards] == [{250.0}, {400.0}]
    counters = [board.column("counter_mj") for board in trace.boards]
    assert np.array_equal(trace.column("counter_mj"), counters[0] + counters[1])
    assert set(finite(trace, "temperature_c")) == {61} and set(finite(trace, "power_limit_w")) == {1200}
    assert all(int(bits) & 0x40 for bits in finite(trace, "throttle_reasons"))


def test_what_one_of_several_gpus_refuses_is_not_read_of_any(play):
    uuids = [gpu_uuid(0), gpu_uuid(1)]
    play(FakeGpu(uuids[0], power_w=250.0), FakeGpu(uuids[1], power_w=400.0, unsupported=("fields",)))
    trace = sampled(0.5, uuids)
    assert np.isnan(trace.column("instant_w")).all() and trace.errors["instant_w"][0] == 1
    assert set(finite(trace, "usage_w")) == {650.0}


@pytest.mark.parametrize(
    ("gpu", "scopes", "power_w"),
    [
        (FakeGpu(power_w=220.0), ("gpu", "gpu"), 220.0),
        (FakeGpu(power_w=220.0, name="GH200 480GB", module_w=80.0), ("module", "module"), 300.0),
        (FakeGpu(power_w=220.0, module_w=80.0, tells_module=False), ("module", "gpu"), 220.0),
    ],
)
def test_power_is_asked_for_at_the_scope_of_the_counter(play, gpu, scopes, power_w):
    play(gpu)
    trace = sampled(1.2)
    assert (trace.counter_scope, trace.power_scope) == scopes
    assert set(finite(trace, "instant_w")) == {power_w}
    begin, end = trace.t_s[0] + 0.2, trace.t_s[-1] - 0.2
    edges = integrate.counter_j(trace.t_s, trace.column("counter_mj"), np.array([begin, end]))
    counted_w = 300 if scopes[0] == "module" else 220
    assert edges[1] - edges[0] == pytest.approx(counted_w * (end - begin), abs=600 * np.diff(trace.t_s).max())


def test_without_power_by_field_the_usage_is_read(play):
    play(FakeGpu(power_w=250.0, unsupported=("fields",)))
    trace = sampled()
    assert trace.power == "usage_w"
    assert set(finite(trace, "usage_w")) == {250.0}
    assert trace.errors["instant_w"] == (1, "Not Supported")  # asked for once


@pytest.mark.parametrize(
    ("quantity", "column"),
    [
        ("counter", "counter_mj"),
        ("temperature", "temperature_c"),
        ("limit", "power_limit_w"),
        ("throttle", "throttle_reasons"),
        ("utilisation", "utilisation_pct"),
        ("clocks", "sm_clock_mhz"),
        ("processes", "processes"),
    ],
)
def test_what_is_not_supported_is_missing_with_the_reason_and_all_else_is_there(play, quantity, column):
    play(FakeGpu(unsupported=(quantity,)))
    trace = sampled(0.2)
    assert finite(trace, column).size == 0
    assert trace.errors[column] == (1, "Not Supported")
    assert finite(trace, "instant_w").size > 0


def test_a_zero_is_a_failed_reading(play):
    play(FakeGpu(power_w=250.0, zero_every=3))
    trace = sampled()
    assert set(finite(trace, "instant_w")) == {250.0}
    count, why = trace.errors["instant_w"]
    assert count == pytest.approx(len(trace.t_s) / 3, abs=1)
    assert why == "read as 0, which no board draws"


def test_a_counter_reset_is_in_the_trace(play):
    play(FakeGpu(counter_reset_at_s=AGES_AGO_S + 0.5))
    assert integrate.backwards(sampled(1.0).column("counter_mj")) is not None


def test_a_lost_gpu_is_noted_and_left_alone(play):
    play(FakeGpu(lost_from_s=AGES_AGO_S + 0.5))
    trace = sampled(1.2)
    assert trace.t_s[0] < trace.lost_s < trace.t_s[-1]
    # Whichever question was the first after the loss, of the counter or of the power, it is the last one.
    assert set(trace.errors.values()) == {(1, "GPU is lost")}
    assert np.isnan(trace.column("counter_mj")[trace.t_s > trace.lost_s]).all()


def test_compute_processes_are_noted_with_their_times(play):
    play(FakeGpu(processes=((12, 0.0, 1e9), (13, AGES_AGO_S + 0.4, 1e9), (14, 0.0, 5.0))))
    trace = sampled(1.4)
    assert set(trace.processes) == {12, 13}
    assert trace.processes[12][0] < trace.processes[13][0] <= trace.processes[13][1]
    assert trace.processes[12][1] == trace.processes[13][1]  # seen last when last looked for


def test_processor_packages_are_read_with_or_without_a_gpu(tmp_path):
    counter = tmp_path / "energy_uj"
    counter.write_text("7000000\n")
    trace = sampled(0.2, (), [counter, tmp_path / "gone"])
    assert set(finite(trace, "rapl0_uj")) == {7e6}
    assert trace.errors["rapl1_uj"][1] == "No such file or directory"
    assert trace.power == Unavailable("no power was read")


@pytest.fixture
def polled(monkeypatch):
    """What three polls leave of a board that answers so, by the name of the question; all else is not supported."""

    def given_answer(answer):
        if isinstance(answer, Exception):
            raise answer
        return answer

    def polled(**answers):
        for question in ("TotalEnergyConsumption", "FieldValues", "PowerUsage"):
            given = answers.get(question, [pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)] * 3)
            ask = given if callable(given) else lambda *_, left=list(given): given_answer(left.pop(0))
            monkeypatch.setattr(pynvml, f"nvmlDeviceGet{question}", ask)
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)
        poller = sampler.Poller([UUID], [])
        for _ in range(3):
            poller.poll()
        return poller

    return polled


@pytest.mark.parametrize(("question", "column"), [("TotalEnergyConsumption", "counter_mj"), ("PowerUsage", "usage_w")])
def test_a_counter_or_a_usage_of_zero_is_a_failed_reading_too(polled, question, column):
    poller = polled(**{question: [0] * 3})
    assert np.isnan(poller.values[column]).all()
    assert poller.errors[column] == [3, "read as 0, which no board draws"]


def test_a_reading_that_failed_does_not_repeat_the_one_before(polled):
    poller = polled(PowerUsage=[90_000, 0, 80_000])
    assert poller.values["usage_w"].tolist() == pytest.approx([90, np.nan, 80], nan_ok=True)


def test_field_185_is_the_average_power_and_186_the_instantaneous_one(polled):
    def fields(handle, numbers):
        milliwatts = {185: 300_000, 186: 250_000}
        return [SimpleNamespace(nvmlReturn=0, valueType=1, value=SimpleNamespace(uiVal=milliwatts[n])) for n in numbers]

    poller = polled(FieldValues=fields)
    assert (poller.values["average_w"].tolist(), poller.values["instant_w"].tolist()) == ([300] * 3, [250] * 3)


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT])
def test_a_driver_older_than_power_by_field_is_asked_for_the_usage(polled, code):
    poller = polled(FieldValues=[pynvml.NVMLError(code)] * 3, PowerUsage=[90_000] * 3)
    assert poller.values["usage_w"].tolist() == [90, 90, 90]
    assert poller.errors["instant_w"][0] == 1


def test_a_driver_that_lacks_a_function_that_the_binding_calls_is_asked_for_it_once(polled):
    poller = polled(PowerUsage=[pynvml.NVMLLibraryMismatchError("Unversioned function called")])
    assert poller.errors["usage_w"] == [1, "Unversioned function called"]


def test_a_power_that_cannot_be_read_for_once_is_asked_for_again(polled):
    poller = polled(FieldValues=[pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)] * 3, PowerUsage=[90_000] * 3)
    assert poller.errors["instant_w"] == [3, "Unknown Error"]
    assert "usage_w" not in poller.values


def test_an_unknown_gpu_and_a_missing_library_are_reported_at_once(play, monkeypatch, tmp_path):
    play(FakeGpu())
    assert "cannot read the GPU: Not Found" in Sampler.start([gpu_uuid(7)], ()).reason
    monkeypatch.setenv("DTCBENCH_FAKE_NVML", str(tmp_path / "nowhere"))
    assert "Driver Not Loaded" in Sampler.start([UUID], ()).reason


def test_a_sampler_that_dies_has_no_samples(play):
    play(FakeGpu())
    sampling = Sampler.start([UUID], ())
    sampling._process.send_signal(signal.SIGKILL)
    assert "ended early" in sampling.finish().reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('NVML_FI_DEV_POWER_INSTANT is not in pynvml (/opt/x/pynvml/nvml.py)')", "does not start"),
        ("def nvmlInit():\n    raise MemoryError('no room')", "does not start: MemoryError: no room"),
        (
            "def nvmlDeviceGetTotalEnergyConsumption(h, n=[0]):\n    n[0] += 1\n    return 1 / (n[0] < 4)",
            "the sampler ended early (ZeroDivisionError: division by zero); its samples are lost",
        ),
    ],
)
def test_the_samplers_own_exception_is_the_reason(play, monkeypatch, tmp_path, code, reason):
    play(FakeGpu())
    names = [name for name in dir(pynvml) if not name.startswith("__")]
    (tmp_path / "real_pynvml.py").write_bytes(Path(pynvml.__file__).read_bytes())
    (tmp_path / "pynvml.py").write_text(f"from real_pynvml import {', '.join(names)}\n{code}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sampling = Sampler.start([UUID], ())
    if not isinstance(sampling, Unavailable):
        sampling._process.wait()
        sampling = sampling.finish()
    assert reason in sampling.reason
    assert "/opt" not in sampling.reason


def test_the_sampler_dies_with_its_parent_however_that_dies(play):
    play(FakeGpu())
    parent = (
        "import os\nfrom dtcbench.energy.trace import Sampler\n"
        f"sampling = Sampler.start([{UUID!r}], ())\nprint(sampling._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL
    with contextlib.suppress(ProcessLookupError), os.fdopen(os.pidfd_open(int(ended.stdout))) as process:
        assert select.select([process], [], [], 10)[0], "still running"


def test_the_sampler_imports_nothing_but_pynvml_and_the_standard_library():
    script = (
        "import runpy, sys\n"
        f"runpy.run_path({sampler.__file__!r})\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))\n"
    )
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    bare = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True)
    ended = subprocess.run([sys.executable, "-P", "-c", script], env=plain, capture_output=True, text=True)
    there_anyway = {name.partition(".")[0] for name in bare.stdout.split()}  # a site's own hooks
    assert set(ended.stdout.split()) - there_anyway == {"pynvml"}
