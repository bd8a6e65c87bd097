"""`dtcbench calibrate` on a simulated board, and a suite that is measured by what it found."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from energy.traces import gpu_context, segment, trace
from fake_nvml.boards import FakeGpu, built, environment, gpu_uuid, write_scenario
from suites_for_tests import TINY

from dtcbench import __version__, cli
from dtcbench.energy.calibration import REPEATS, Calibration, Repeats, shortest
from dtcbench.energy.joules import read, unmeasured
from dtcbench.energy.nvml import Gpu
from dtcbench.errors import UserError
from dtcbench.execution.calibrating import board, calibrated, rankable, tries
from dtcbench.execution.task import Job
from dtcbench.plan.metering import Metering
from dtcbench.plan.request import Request
from dtcbench.unavailable import Unavailable

SUITE = f"{TINY}\nresources: {{cpus: 1, gpus: 1}}\nenergy: {{min_window: calibrated, idle: 0s}}\n"
COMMANDS = """
import functools, sys
from pathlib import Path
from dtcbench import cli
from dtcbench.energy import calibration
from dtcbench.execution import calibrating
from dtcbench.records.store import Store

drifting = iter(range(100, 1000))
asked = []


def joules(cell, job, window_s, pause_s):
    asked.append(window_s)
    if window_s == 2.0 and asked.count(2.0) == 2:
        raise KeyboardInterrupt
    return 250.0 if window_s > 2 else float(next(drifting))


calibrating.joules = joules
calibration.WINDOWS_S, calibration.COOL_DOWNS_S = (0.3, 2.0, 3.0, 4.0), (0.0,)
calibrating.known_loads = functools.partial(calibrating.known_loads, seconds=1.0)


def dtcbench(*arguments):
    sys.argv = ["dtcbench", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        sys.stderr.write(f"{arguments[0]} ended with {end.code}\\n")


dtcbench("run", "tiny.yaml", "--inline")
with Store(Path("runs/tiny")).locked():
    dtcbench("calibrate", "tiny.yaml")
dtcbench("calibrate", "tiny.yaml")
dtcbench("run", "tiny.yaml", "--inline")
dtcbench("calibrate", "tiny.yaml")
dtcbench("calibrate", "tiny.yaml")
dtcbench("run", "tiny.yaml", "--inline")
dtcbench("check", "tiny")
print("asked:", *asked)
"""


def test_tries_go_on_until_repeats_agree_and_the_first_training_only_warms_the_board():
    asked = []

    def measure(window_s, cool_down_s):
        asked.append((window_s, cool_down_s))
        return 100.0 + (len(asked) if window_s < 10 else 0)

    tried = list(tries(measure, [(5, 0), (10, 0), (20, 0)]))
    assert asked == [(20, 0)] + [(5, 0)] * REPEATS + [(10, 0)] * REPEATS
    assert [one.joules for one in tried] == [[102, 103, 104, 105], [100] * 4]


def test_a_window_without_joules_says_why_and_the_tries_go_on():
    foreign, answers = Unavailable("a foreign process ran on the GPU"), iter([1.0] * 3)
    tried = list(tries(lambda window_s, _: 5.0 if window_s > 5 else next(answers, foreign), [(5, 0), (10, 0)]))
    assert [one.joules for one in tried] == [None, [5.0] * REPEATS]
    assert tried[0].reasons["joules"] == foreign.reason
    with pytest.raises(UserError, match="nothing can be calibrated here: a foreign process ran"):
        next(tries(lambda *_: foreign, [(5, 0), (10, 0)]))


@pytest.mark.parametrize(
    ("flags", "joules"),
    [
        (["short", "simulated", "warm"], 24_000.0),
        (["coarse"], Unavailable("joules that bar a rank: coarse against the driver's refresh")),
        (
            ["short", "shared", "gaps"],
            Unavailable("joules that bar a rank: GPU shared with others, gaps between samples"),
        ),
    ],
)
def test_joules_that_bar_a_rank_calibrate_nothing(flags, joules):
    energy = read(trace(), [segment("train", 5, 85)], gpu_context(), Unavailable("no RAPL"), [], "0" * 64)
    assert rankable(energy.model_copy(update={"flags": flags, "energy_j": 24_000.0})) == joules
    assert rankable(unmeasured(Unavailable("gone"), Unavailable("no RAPL"), [], [])) == Unavailable("gone")


@pytest.mark.parametrize(
    ("request_", "metering"), [(Request(1, 0), Metering()), (Request(1, 1), Metering(meter="none"))]
)
def test_a_suite_that_measures_no_gpu_calibrates_none(request_, metering):
    with pytest.raises(UserError, match="suite mine measures no GPU"):
        board(Job("mine", "cpu", request_, metering))


@pytest.mark.parametrize(
    "changes", [{"driver": "580.9"}, {"suite": "another"}, {"key": "1" * 64}, {"dtcbench": "0.0.1"}, {"device": "A100"}]
)
def test_a_calibration_goes_on_only_under_what_it_was_begun_with(changes):
    cell = SimpleNamespace(key="0" * 64)
    gpu = Gpu(0, "NVIDIA H200", "GPU-a", 140.0, 700.0, "570.1", False, 5e6, 300.0)
    apart = Repeats(window_s=5, cool_down_s=0, joules=[100.0, 110.0, 100.0, 100.0])
    begun = Calibration.of(
        **{"gpu_uuid": "GPU-a", "device": gpu.name, "simulated": False, "driver": gpu.driver, "suite": "mine"}
        | {"key": cell.key, "dtcbench": __version__, "taken_at": "2026-11-28T00:00:00+00:00", "loads": []}
        | {"tried": [apart], "window_s": (none := shortest([apart])), "cool_down_s": none}
        | changes,
    )
    [(name, then)] = changes.items()
    with pytest.raises(UserError, match=f"the calibration of GPU-a was begun with {name} {then}, and here it is"):
        next(calibrated(gpu, cell, Job("mine", "cuda", Request(1, 1), Metering()), begun))


def test_several_boards_are_measured_by_the_longest_of_their_calibrations():
    metering = Metering(min_window="calibrated", cool_down={"at_least": "5s"})
    known = {"GPU-a": (10.0, 0.0), "GPU-b": (5.0, 30.0)}
    job = Job("mine", "cuda", Request(1, 2), metering, calibrated=known)
    found = job.metering_on(["GPU-a", "GPU-b"])
    assert (found.min_window, found.cool_down.at_least) == (10, 30)
    assert job.metering_on(["GPU-a"]).cool_down.at_least == 5
    with pytest.raises(UserError, match=r"run `CUDA_VISIBLE_DEVICES=GPU-c dtcbench calibrate mine.yaml`"):
        job.metering_on(["GPU-a", "GPU-c"])


def test_a_board_is_calibrated_once_and_its_window_is_that_of_the_run(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SUITE)
    scenario = write_scenario(tmp_path / "scenario", [FakeGpu(power_w=250.0)], epoch_s=time.monotonic() - 100)
    surroundings = environment(built(), scenario) | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    surroundings = {name: value for name, value in surroundings.items() if name != "CUDA_VISIBLE_DEVICES"}
    command = [sys.executable, "-c", COMMANDS]
    ended = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=True)
    file = f"runs/tiny/calibrations/{gpu_uuid(0)}.json"

    codes = [line for line in ended.stderr.splitlines() if "ended with" in line]
    assert [line.split()[-1] for line in codes] == ["2", "2", "130", "2", "0", "2", "0", "1"], ended.stderr
    assert "stopped; the same command resumes" in ended.stderr
    once, twice = [4.0, *[0.3] * 4, 2.0, 2.0], [4.0, *[2.0] * 4, *[3.0] * 4]  # the interrupted window is measured anew
    assert f"asked: {' '.join(map(str, once + twice))}\n" in ended.stdout
    assert ended.stdout.count("window 0.3 s, pause 0 s: ") == 1
    assert re.search(r"it goes on from \S+; 1 of 4 windows so far: repeats of the cell differ by 1 % or", ended.stdout)
    assert "runs/tiny is in use by process" in ended.stderr
    assert f"CUDA_VISIBLE_DEVICES={gpu_uuid(0)} dtcbench calibrate tiny.yaml" in ended.stderr
    assert f"{file}: the board is calibrated; remove the file" in ended.stderr
    assert "window 0.3 s, pause 0 s: 4 repeats differ by 2.96 %" in ended.stdout
    assert f"{file}: repeats differ by less than 1 % from windows of 3 s on" in ended.stdout

    found = json.loads((tmp_path / file).read_text())["record"]
    assert (found["window_s"], found["simulated"]) == (3, True)
    assert [one["window_s"] for one in found["tried"]] == [0.3, 2, 3]
    assert [load["name"] for load in found["loads"]] == ["idle", "steady", "square wave"]
    for load in found["loads"]:
        assert load["integral_j"] == pytest.approx(250 * load["seconds"])
        assert load["counter_j"] == pytest.approx(250 * load["seconds"], rel=0.15)  # two refreshes, each seen late

    records = [json.loads(path.read_text())["record"] for path in (tmp_path / "runs/tiny/records").glob("*.json")]
    assert len(records) == 3
    assert all(3 <= record["energy"]["window_s"] < 10 for record in records)
    assert not any("short" in record["energy"]["flags"] for record in records)
    assert "joules were read over" not in ended.stdout
    assert "made on a simulated GPU: not for publication" in ended.stdout
    assert "warning: calibration" not in ended.stdout  # it is of this run's suite, cell, board, driver and version
