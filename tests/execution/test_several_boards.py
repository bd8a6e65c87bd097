"""Cells that train on two simulated GPUs through Ray: the numbers of one, the energy of both."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_nvml.boards import FakeGpu, built, environment, gpu_uuid, write_scenario

from dtcbench import cli

pytestmark = pytest.mark.ray

SUITE = """\
name: boards
question: Do two boards train as one does?
cost: seconds
protocol: {name: standard, steps: 40, batch_size: 32, accumulate: 2, cycle_steps: 10, keep: 0.7}
grid:
  - models: [{name: mlp, widths: [64]}]
    datasets: [digits]
    methods: [magnitude]
    sparsities: [0.5]
    seeds: 1
resources: {cpus: 1, gpus: 2}
energy: {min_window: 1s, idle: 0s}
"""
WATTS = {gpu_uuid(0): 250.0, gpu_uuid(1): 400.0}


@pytest.fixture(scope="module")
def dtcbench(tmp_path_factory):
    """The command in a process that sees two simulated GPUs; `dtcbench.folder` is where it runs."""
    folder = tmp_path_factory.mktemp("boards")
    (folder / "boards.yaml").write_text(SUITE)
    (folder / "alone.yaml").write_text(SUITE.replace("gpus: 2", "gpus: 0").replace("boards", "alone"))
    gpus = [FakeGpu(uuid, power_w=watts) for uuid, watts in WATTS.items()]
    scenario = write_scenario(folder / "scenario", gpus, epoch_s=time.monotonic() - 100)

    def dtcbench(*arguments):
        command = [sys.executable, "-m", "dtcbench", *arguments]
        surroundings = environment(built(), scenario) | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
        return subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)

    dtcbench.folder = folder
    return dtcbench


def records(dtcbench, *arguments):
    """By key, the records of a run that has just ended."""
    ended = dtcbench("run", *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    name = arguments[0].removesuffix(".yaml")
    read = [
        json.loads(path.read_text())["record"] for path in (dtcbench.folder / f"runs/{name}/records").glob("*.json")
    ]
    return {record["key"]: record for record in read}


@pytest.fixture(scope="module")
def on_two(dtcbench):
    return records(dtcbench, "boards.yaml")


def test_the_joules_of_both_boards_are_summed_and_each_is_listed(on_two):
    assert len(on_two) == 2
    for record in on_two.values():
        energy, trace = record["energy"], record["energy"]["trace"]
        training_s = energy["window_s"] / energy["repeats"]
        assert energy["energy_j"] == pytest.approx(650 * training_s, abs=energy["quantisation_j"])
        assert trace["integral_j"] == pytest.approx(650 * training_s)
        listed = {board["gpu_uuid"]: board["energy_j"] for board in trace["boards"]}
        assert sum(listed.values()) == pytest.approx(energy["energy_j"])
        for uuid, watts in WATTS.items():
            assert listed[uuid] == pytest.approx(watts * training_s, abs=energy["quantisation_j"])


def test_the_record_says_on_which_and_how_many_boards(on_two):
    for record in on_two.values():
        trace = record["energy"]["trace"]
        assert (trace["device"], trace["gpu_uuid"]) == ("2 × FAKE H100", ", ".join(WATTS))
        assert record["provenance"]["hardware_class"] == "2 × FAKE H100, 80 GiB, 700 W"


def test_the_same_cells_have_the_numbers_that_one_device_gives(dtcbench, on_two):
    alone = records(dtcbench, "alone.yaml", "--inline")
    assert alone.keys() == on_two.keys()
    for key, record in alone.items():
        for part in ("accuracy", "accuracy_after", "hits", "widths", "training_flops", "steps", "parameters"):
            assert record["result"][part] == on_two[key]["result"][part]
        losses = [[cycle["loss"] for cycle in one["result"]["cycles"]] for one in (record, on_two[key])]
        assert losses[0] == losses[1]


def test_a_cell_shows_both_boards(dtcbench, on_two):
    shown = " ".join(dtcbench("show", next(iter(on_two))[:12], "--run", "runs/boards").stdout.split())
    assert "2 × FAKE H100" in shown
    assert all(f"GPU {uuid}" in shown for uuid in WATTS)
