"""The whole meter on a fake NVML: pynvml, sampler, idle, windows; and every way to have no number."""

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from energy.traces import BEGIN_S, NOT_ASKED, segment, trace
from fake_nvml.boards import FakeGpu, built, environment, gpu_uuid, write_scenario

from dtcbench.energy import meter as meters
from dtcbench.energy import nvml, rapl
from dtcbench.energy.meter import IdleBaseline, open_meter
from dtcbench.energy.nvml import AssignedGpu, Gpu
from dtcbench.energy.rapl import Zone
from dtcbench.energy.segments import Interval
from dtcbench.energy.trace import Sampler
from dtcbench.plan.metering import Metering
from dtcbench.plan.request import Request
from dtcbench.record import Energy
from dtcbench.unavailable import Unavailable

AGE_S = 100.0
"""How long the scenario has been playing when the first meter opens, at least."""
SCRIPT = """
import json, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from dtcbench.energy import meter as meters
from dtcbench.energy.meter import open_meter
from dtcbench.energy.segments import PhaseTimer
from dtcbench.plan.metering import Metering
from dtcbench.plan.request import Request

meters.LEAVE_WITHIN_S = 0.1  # a foreign process stays


def measured(case):
    visible, gpus, metering = case
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": visible}
    meter = open_meter("cuda", Request(1, gpus), Metering(**metering), environment)
    meter.settle()
    meter.idle_with_context()
    phases = PhaseTimer(lambda: None)
    for training in range(2):
        with phases.phase("train"):
            time.sleep(0.7)  # longer than the time between two readings of the clocks
        with phases.phase("compress"):
            time.sleep(0.1)
        if not training:
            enough_at_once = meter.enough(phases)
            phases.train_again()
    energy, _ = meter.reading(phases, [])
    meter.close()
    return json.dumps([enough_at_once, meter.enough(phases), energy.model_dump(mode="json")])


with ThreadPoolExecutor(4) as pool:
    print(*pool.map(measured, json.loads(sys.argv[1])), sep="\\n")
"""


def measured(tmp_path, cases):
    """The energy of two short trainings per (GPU, how it is given, metering), some at a time, in one process."""
    gpus = [gpu for gpu, _, _ in cases]
    scenario = write_scenario(tmp_path / "scenario", gpus, epoch_s=time.monotonic() - AGE_S)
    order = [(str(index), share, metering) for index, (_, share, metering) in enumerate(cases)]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(order)],
        env=environment(built(), scenario),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def uncertainty(energy, power_w):
    """The error in joules of a counter that was seen to move up to a poll late, at both edges."""
    return 2 * energy.trace.longest_gap_s * power_w


def gpu(index, **changes):
    return FakeGpu(gpu_uuid(index), **changes)


def test_each_gpu_gives_its_own_joules_and_each_failure_its_own_reason(tmp_path):
    whole = {"min_window": "0.4s", "idle": "1s"}
    brisk = {"min_window": "0.4s", "idle": "0s"}
    cases = {
        "sound": (gpu(0, power_w=250.0), 1, whole),
        "another": (gpu(1, power_w=400.0), 1, {**brisk, "min_window": "2s"}),
        "no counter": (gpu(2, power_w=250.0, unsupported=("counter",)), 1, brisk),
        "no power": (gpu(3, power_w=250.0, unsupported=("fields", "usage")), 1, brisk),
        "neither": (gpu(4, unsupported=("counter", "fields", "usage")), 1, brisk),
        "foreign": (gpu(5, processes=((12, 0.0, 1e9), (13, 0.0, 1e9))), 1, {**brisk, "shared": "label"}),
        "mig": (gpu(6, mig=True), 1, brisk),
        "mig labelled": (gpu(7, mig=True), 1, {**brisk, "shared": "label"}),
        "half": (gpu(8), 0.5, brisk),
        "lost": (gpu(9, lost_from_s=0.0), 1, brisk),
        "not wanted": (gpu(10), 1, {**brisk, "meter": "none"}),
        "reticent": (gpu(11, power_w=250.0, forbidden=("limit",), unsupported=("memory",)), 1, brisk),
        "hot": (gpu(12, throttle_from_s=0.0), 1, {**brisk, "cool_down": {"below_c": 40, "at_most": "0.1s"}}),
    }
    found = dict(zip(cases, measured(tmp_path, list(cases.values())), strict=True))
    energies = {name: Energy.model_validate(energy) for name, (_, _, energy) in found.items()}
    enough = {name: answers[:2] for name, answers in found.items()}

    sound = energies["sound"]
    assert sound.method == "counter"
    assert sound.energy_j == pytest.approx(sound.window_s * 250, abs=uncertainty(sound, 250))
    assert sound.trace.gpu_uuid == gpu_uuid(0)
    assert sound.trace.idle_w == pytest.approx(250, abs=uncertainty(sound, 250))  # over one second
    assert sound.trace.idle_context_w == pytest.approx(250, abs=uncertainty(sound, 250))
    assert (sound.trace.sm_clock_mhz, sound.trace.memory_clock_mhz, sound.trace.throttle_shares) == (1980, 2619, {})
    assert sound.repeats == 1
    assert {"short", "coarse", "simulated"} <= set(sound.flags)
    assert enough["sound"] == [False, True]
    assert enough["another"] == [False, False]
    another = energies["another"]
    assert another.energy_j == pytest.approx(another.window_s * 400, abs=uncertainty(another, 400))

    reticent = energies["reticent"]
    assert reticent.energy_j == pytest.approx(reticent.window_s * 250, abs=uncertainty(reticent, 250))
    assert "Insufficient Permissions" in reticent.trace.read_errors["power_limit_w"]

    assert energies["no counter"].method == "integral"
    assert energies["no counter"].energy_j == pytest.approx(energies["no counter"].window_s * 250)
    assert energies["no power"].method == "counter"
    assert energies["no power"].cross_check_pct is None
    assert energies["mig labelled"].energy_j > 0
    assert "shared" in energies["mig labelled"].flags
    assert "shared" in energies["foreign"].flags
    assert {"throttled", "warm"} <= set(energies["hot"].flags)
    assert energies["hot"].trace.throttle_shares == {"heat, by hardware": 1.0}
    assert energies["hot"].trace.reasons["idle_context_w"] == "the suite asks for no idle measurement"

    reasons = {
        "neither": "(Not Supported), nor its power (Not Supported)",
        "mig": "MIG divides the GPU, the readings cover the whole board; `energy: {shared: label}`",
        "half": "the cell was given 0.5 of the GPU",
        "lost": "GPU is lost",
        "not wanted": "the suite asks for no meter",
    }
    for name, reason in reasons.items():
        energy = energies[name]
        assert (energy.energy_j, energy.method, energy.quantisation_j, energy.trace) == (None, "none", None, None)
        assert reason in energy.reasons["energy_j"], name
        assert energy.window_s > 0


# with a sampler made for the test


class Sampled:
    """A sampler that gives this trace."""

    def __init__(self, trace):
        self.trace = trace

    def finish(self):
        return self.trace

    def kill(self):
        pass


BOARD = Gpu(0, "NVIDIA H200", "GPU-aaaa", 140.0, 700.0, "570.1", False, 5e6, 300.0)


@pytest.fixture
def meter(monkeypatch):
    """A meter on a whole H200 that torch computed on, which has seen `trace`; `processes` were there before."""

    def meter(seen, processes=frozenset(), torch_uuid="GPU-aaaa", metering=None, gpus=1):
        monkeypatch.setattr(nvml, "torch_gpu", lambda device: ("H200", torch_uuid, 139.0))
        monkeypatch.setattr(meters, "settle", lambda uuid, metering, own: IdleBaseline(7.0, True, processes, NOT_ASKED))
        monkeypatch.setattr(meters, "AFTERGLOW_S", 0.0)
        monkeypatch.setattr(meters, "DECAY_S", 0.0)
        made = meters.EnergyMeter(
            Sampled(seen),
            [AssignedGpu(BOARD, None)],
            Unavailable("no RAPL"),
            Request(1, gpus),
            (metering or Metering()).model_copy(update={"idle": 0.001}),
        )
        made.settle()
        made.idle_with_context()
        return made

    return meter


class Trained:
    """A timer of which only the segments are read."""

    def __init__(self, *segments):
        self.segments = segments


MINUTE = Trained(segment("train", 5, 85))


def test_the_cells_own_process_is_not_foreign_and_one_from_before_is(meter):
    own = {os.getpid(): (BEGIN_S, BEGIN_S + 100)}
    assert meter(trace(processes=own)).reading(MINUTE, [])[0].flags == []
    earlier = meter(trace(processes={99: (BEGIN_S, BEGIN_S + 100)}), processes=frozenset({99}))
    assert "foreign compute process" in earlier.reading(MINUTE, [])[0].reasons["energy_j"]


def test_joules_of_another_gpu_than_torch_computed_on_are_no_number(meter):
    energy = meter(trace(), torch_uuid="GPU-bbbb").reading(MINUTE, [])[0]
    assert energy.energy_j is None
    assert energy.reasons["energy_j"] == "the meter read GPU-aaaa, torch computed on GPU-bbbb"


def test_torch_is_asked_once_for_its_gpu_before_the_training_and_without_an_answer_no_joules_are_had(
    meter, monkeypatch
):
    asked = meter(trace())
    monkeypatch.setattr(nvml, "torch_gpu", lambda device: Unavailable("the context was lost in use"))
    assert asked.reading(MINUTE, [])[0].energy_j is not None
    assert asked.of_windows([Interval(BEGIN_S + 10, BEGIN_S + 12.5)])[0].energy_j is not None
    asked.idle_with_context()
    assert asked.reading(MINUTE, [])[0].reasons["energy_j"] == "the context was lost in use"
    bare = meters.EnergyMeter(
        Sampled(trace()), [AssignedGpu(BOARD, None)], Unavailable("no RAPL"), Request(1, 1), Metering()
    )
    assert bare.reading(MINUTE, [])[0].reasons["energy_j"] == "torch was not asked which GPU it computes on"


def test_the_board_of_a_cell_with_half_of_it_is_labelled_if_the_suite_says_so_and_else_not_measured(meter):
    half = meter(trace(), gpus=0.5, metering=Metering(shared="label")).reading(MINUTE, [])[0]
    assert half.energy_j == pytest.approx(80 * 300, abs=0.01)
    assert "shared" in half.flags
    refused = meter(trace(), gpus=0.5).reading(MINUTE, [])[0]
    assert refused.reasons["energy_j"] == "the cell was given 0.5 of the GPU"


def test_the_record_holds_the_digest_of_the_samples_and_the_flags_from_elsewhere(meter):
    seen = trace(processes={os.getpid(): (BEGIN_S, BEGIN_S + 100)})
    energy, file = meter(seen).reading(MINUTE, ["not-repeatable"])
    assert energy.trace_sha256 == hashlib.sha256(file).hexdigest()
    assert energy.flags == ["not-repeatable"]
    assert energy.trace.cool_down_s == 7.0


def test_windows_of_use_have_joules_by_themselves_unless_several_boards_were_metered(meter, monkeypatch):
    windows = [Interval(BEGIN_S + begin, BEGIN_S + begin + 2.5) for begin in (10, 20, 30)]
    seen = trace(power=lambda t: np.where(t < 25, 200.0, 400.0))
    one = meter(seen)
    assert [energy.energy_j for energy in one.of_windows(windows)] == pytest.approx([500, 500, 1000], rel=1e-3)
    assert one.reading(MINUTE, [])[0].energy_j is not None
    several = meter(seen)
    several._gpus = [AssignedGpu(BOARD, None)] * 2
    reason = several.of_windows(windows)[0].reasons["energy_j"]
    assert reason == "the cell's GPUs were metered together, and one of them was used"
    failed = meter(Unavailable("the sampler ended early")).of_windows(windows)
    assert [energy.reasons["energy_j"] for energy in failed] == ["the sampler ended early"] * 3


def test_a_later_cell_of_the_process_has_the_idle_power_that_a_cell_before_it_saw_and_failed(meter, monkeypatch):
    monkeypatch.setattr(meters, "_IDLE", {})
    own = {os.getpid(): (BEGIN_S + 3, BEGIN_S + 100)}
    failed = meter(trace(power=lambda t: np.where(t < 3, 70.0, 300.0), processes=own))
    failed._baseline = replace(failed._baseline, idle=Interval(BEGIN_S + 1, BEGIN_S + 2.5))
    failed.close()  # without a reading
    assert meter(trace(processes=own)).reading(MINUTE, [])[0].trace.idle_w == pytest.approx(70, rel=1e-2)


def test_a_board_with_neither_counter_nor_power_is_no_board_that_gives_joules(meter):
    sound = meter(trace())
    assert sound.unmeasured is None
    refused = Unavailable("Not Supported")
    sound._gpus = [AssignedGpu(replace(BOARD, counter_mj=refused, power_w=refused), None)]
    assert sound.unmeasured == "no energy counter (Not Supported), no power (Not Supported)"


def test_a_sampler_that_failed_leaves_no_number_and_its_reason(meter):
    energy, file = meter(Unavailable("the sampler ended early")).reading(MINUTE, [])
    assert file is None
    assert energy.reasons["energy_j"] == "the sampler ended early"


@pytest.mark.parametrize("min_window", ["0s", "60s"])
def test_a_training_is_repeated_however_long_it_is_and_only_repeats_fill_the_window(meter, min_window):
    waits = meter(trace(), metering=Metering(min_window=min_window))
    assert not waits.enough(Trained(segment("train", 0, 59)))
    assert not waits.enough(Trained(segment("train", 0, 3600)))
    assert waits.enough(Trained(segment("train", 0, 40), segment("train", 45, 85, 1))) is (min_window == "0s")
    assert waits.enough(Trained(segment("train", 0, 40), segment("train", 41, 71, 1), segment("train", 72, 102, 2)))


@pytest.mark.parametrize(("cpus", "alone"), [(1, False), (4, False), (5, True), (8, True)])
def test_processors_are_a_cells_own_if_no_second_cell_fits_and_else_shared(monkeypatch, cpus, alone):
    seen = trace(rapl0_uj=np.arange(4001) * 0.025 * 50e6)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(rapl, "packages", lambda: [Zone("package-0", Path("energy_uj"), 1e12)])
    monkeypatch.setattr(Sampler, "start", lambda *_: Sampled(seen))
    energy = open_meter("cpu", Request(cpus), Metering(), {}).reading(MINUTE, [])[0]
    joules = pytest.approx(80 * 50)
    assert (energy.cpu_energy_j, energy.cpu_shared_energy_j) == ((joules, None) if alone else (None, joules))
    if not alone:
        why = f"other cells may have run at the same time: it was given {cpus} of 8 cores"
        assert energy.reasons["cpu_energy_j"] == why


def test_a_cpu_cell_without_rapl_has_a_reason_for_either(monkeypatch):
    monkeypatch.setattr(rapl, "packages", lambda: Unavailable("no RAPL here"))
    energy = open_meter("cpu", Request(1), Metering(), {}).reading(MINUTE, [])[0]
    assert energy.reasons["energy_j"] == "the cell ran on the CPU"
    assert energy.reasons["cpu_energy_j"] == "no RAPL here"
