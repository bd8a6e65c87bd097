"""Who computes on a GPU, in containers and out of them; and what nobody in the driver's list accounts for."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from energy.traces import BEGIN_S, HOST, baseline, gpu_context, segment, trace
from fake_nvml.boards import built, environment

from dtcbench.energy.joules import Idle, idle_of, read
from dtcbench.energy.processes import ThisProcess, this_process
from dtcbench.energy.segments import Interval
from dtcbench.record import Energy
from dtcbench.unavailable import Unavailable

ME, HOST_ID, NEIGHBOUR = 77, 31337, 99
"""This process as its container numbers it and as the host does; and another one."""
IDLE = Interval(BEGIN_S + 5, BEGIN_S + 15)
TRAINING = [segment("train", 25, 95)]


def process(*numbers, is_nested=True, has_context=False):
    return ThisProcess(frozenset(numbers), is_nested, has_context)


@pytest.fixture
def proc(tmp_path):
    """Files like those of /proc/self: `proc("1234\\t77", inode of the namespace)`."""

    def proc(ids, is_hosts):
        (tmp_path / "ns").mkdir()
        (tmp_path / "status").write_text(f"Name:\tpython\nNSpid:\t{ids}\nThreads:\t1\n")
        (tmp_path / "ns/pid").touch()
        inode = (tmp_path / "ns/pid").stat().st_ino
        return tmp_path, inode if is_hosts else inode + 1

    return proc


@pytest.mark.parametrize("is_hosts", [True, False])
def test_the_ids_and_the_namespace_are_read_from_proc(proc, monkeypatch, is_hosts):
    folder, host = proc("31337\t77", is_hosts)
    monkeypatch.setattr("dtcbench.energy.processes._HOST", host)
    found = this_process(has_context=True, proc=folder)
    assert found == ThisProcess(frozenset({os.getpid(), HOST_ID, ME}), not is_hosts, True)


def test_without_proc_the_process_has_its_own_id(tmp_path):
    assert this_process(has_context=False, proc=tmp_path / "none").numbers == {os.getpid()}


@pytest.mark.parametrize(
    ("own", "before", "during", "foreign"),
    [
        (process(ME, is_nested=False), set(), {ME}, set()),
        (process(ME, is_nested=False), {NEIGHBOUR}, {ME, NEIGHBOUR}, {NEIGHBOUR}),
        (process(ME, is_nested=False, has_context=True), {ME}, {ME}, set()),  # the second cell of a process
        (process(ME, is_nested=False, has_context=True), {NEIGHBOUR}, {NEIGHBOUR}, {NEIGHBOUR}),
        (process(ME), set(), {ME}, set()),  # the driver counts as the container does
        (process(ME, has_context=True), {ME}, {ME}, set()),
        (process(ME), {ME}, {ME, HOST_ID}, {ME}),  # it counts as the host does, and a neighbour has the same number
        (process(ME), set(), {HOST_ID}, set()),
        (process(ME), {NEIGHBOUR}, {HOST_ID, NEIGHBOUR}, {NEIGHBOUR}),
        (process(ME, has_context=True), {HOST_ID}, {HOST_ID}, set()),  # the second cell again
        (process(ME, HOST_ID, has_context=True), {HOST_ID, NEIGHBOUR}, {HOST_ID, NEIGHBOUR}, {NEIGHBOUR}),
    ],
)
def test_this_process_is_told_from_others(own, before, during, foreign):
    earlier = own.others(frozenset(before))
    assert own.foreign(frozenset(during), earlier) == foreign
    assert bool(earlier) == (NEIGHBOUR in before or (ME in before and not own.has_context))


@pytest.mark.parametrize("numbers", [(ME,), (ME, HOST_ID)])
def test_beside_a_neighbour_the_second_cell_of_a_process_counts_one_foreign_process(numbers):
    own = process(*numbers, has_context=True)
    both = frozenset({HOST_ID, NEIGHBOUR})
    assert len(own.foreign(both, own.others(both))) == 1


def idle_trace(**columns):
    """A trace whose slow quantities are what `columns` say, every half second."""
    slow = np.arange(4001) % 20 == 0
    held = {name: np.where(slow, value, np.nan) for name, value in {"processes": 0.0, **columns}.items()}
    seen = trace(processes={HOST_ID: (BEGIN_S + 20, BEGIN_S + 100)})
    return replace(seen, columns={**seen.columns, **held})


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"unlisted_mib": 3.0, "utilisation_pct": 0.0}, ""),
        ({"unlisted_mib": 540.0}, "540 MiB of memory were in use"),
        ({"utilisation_pct": 37.0}, "it was busy for 37 % of the time"),
        ({"utilisation_pct": 37.0, "processes": 1.0}, ""),  # a listed process explains it
        ({"unlisted_mib": 540.0, "processes": 1.0}, "540 MiB of memory were in use"),  # beyond what that one holds
        ({}, ""),  # a board that tells neither
    ],
)
def test_what_no_listed_process_explains_is_flagged_and_is_no_idle_power(columns, told):
    seen, context = idle_trace(**columns), gpu_context(own=process(ME), baseline=baseline(idle=IDLE))
    energy = read(seen, TRAINING, context, Unavailable("no RAPL"), [], "0" * 64)
    assert energy.flags == (["unexplained"] if told else []) + ["processes-unseen"]
    assert energy.energy_j == pytest.approx(70 * 300, abs=0.01)
    if told:
        assert energy.trace.reasons["idle_w"] == f"the GPU was not idle: {told}, of no process that the driver lists"
    else:
        assert energy.trace.idle_w == pytest.approx(300, rel=1e-3)


def test_load_of_the_process_that_has_just_left_is_not_a_neighbours():
    seen = idle_trace(utilisation_pct=np.where(np.arange(4001) * 0.025 < 5.9, 100.0, 0.0))
    assert idle_of(seen, baseline(idle=IDLE)).unexplained == ""


def test_a_container_is_told_even_if_the_driver_shows_the_cells_own_process():
    own = {ME: (BEGIN_S + 20, BEGIN_S + 100)}
    for nested, flags in ((True, ["processes-unseen"]), (False, [])):
        context = gpu_context(own=process(ME, is_nested=nested))
        assert read(trace(processes=own), TRAINING, context, Unavailable("-"), [], "0" * 64).flags == flags


def test_a_later_cell_of_the_process_carries_the_idle_power_that_the_first_one_found():
    found = Idle({"counter": 61.0, "integral": 60.0}, "540 MiB of memory were in use")
    context = gpu_context(own=HOST, baseline=baseline(idle=found))
    energy = read(trace(), TRAINING, context, Unavailable("-"), [], "0" * 64)
    assert (energy.trace.idle_w, energy.flags) == (61.0, ["unexplained"])


TWO_CELLS = """
import json, os, sys, time
from pathlib import Path
from fake_nvml.boards import FakeGpu, write_scenario
from dtcbench.energy import meter as meters
from dtcbench.energy.processes import ThisProcess
from dtcbench.energy.segments import PhaseTimer
from dtcbench.plan.metering import Metering
from dtcbench.plan.request import Request

pid, is_nested, hidden_mib = json.loads(sys.argv[1])
context = (pid or os.getpid(), 0.0, 1e9)
meters.this_process = lambda has_context: ThisProcess(frozenset({os.getpid()}), is_nested, has_context)
for processes in [(), (context,)]:
    gpu = FakeGpu(power_w=250.0, processes=processes, hidden_mib=hidden_mib)
    write_scenario(Path(os.environ["DTCBENCH_FAKE_NVML"]), [gpu], time.monotonic() - 100)  # the next sampler's
    meter = meters.open_meter("cuda", Request(1, 1), Metering(min_window="0s", idle="1.5s"), {})
    meter.settle()
    meter.idle_with_context()
    phases = PhaseTimer(lambda: None)
    with phases.phase("train"):
        time.sleep(0.6)
    energy, _ = meter.reading(phases, [])
    print(json.dumps(energy.model_dump(mode="json")))
"""


def test_two_cells_of_one_process_are_measured_alike_and_idle_once_however_the_driver_numbers_it(tmp_path):
    cases = {"by its own id": (0, False, 0), "by its host's": (HOST_ID, True, 0), "a neighbour hides": (0, True, 540)}
    started = {}
    for case, order in cases.items():
        surroundings = environment(built(), tmp_path / case)
        surroundings["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parents[1]), surroundings.get("PYTHONPATH", "")]
        )
        command = [sys.executable, "-c", TWO_CELLS, json.dumps(order)]
        started[case] = subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, text=True)
    for case, process in started.items():
        first, second = map(Energy.model_validate_json, process.communicate()[0].splitlines())
        for energy in (first, second):
            assert energy.trace, (case, energy.reasons)
            late_j = 2 * energy.trace.longest_gap_s * 250
            assert energy.energy_j == pytest.approx(250 * energy.window_s, abs=late_j), (case, energy.reasons)
            assert "shared" not in energy.flags
            assert ("unexplained" in energy.flags) == (case == "a neighbour hides")
        assert ("processes-unseen" in second.flags) == (case != "by its own id")
        if case == "a neighbour hides":
            assert "540 MiB of memory were in use" in second.trace.reasons["idle_w"]
        else:
            assert first.trace.idle_w == second.trace.idle_w == pytest.approx(250, rel=0.1), first.trace.reasons
