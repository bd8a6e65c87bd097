"""Cells that train on two simulated GPUs through Ray: the numbers of one, the energy of both."""

import contextlib
import json

import pytest
from simulated import WATTS, on_boards
from sketches import sketches
from typer.testing import CliRunner

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the command runs."""
    return tmp_path_factory.mktemp("boards")


@pytest.fixture(scope="module")
def dtcbench(folder):
    return on_boards(folder)


def records(run):
    """By key, the records of a run."""
    read = [json.loads(path.read_text())["record"] for path in (run / "records").glob("*.json")]
    return {record["key"]: record for record in read}


@pytest.fixture(scope="module")
def on_two(folder, dtcbench):
    (folder / "boards.yaml").write_text(SUITE)
    ended = dtcbench("run", "boards.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return records(folder / "runs/boards")


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


def test_the_same_cells_have_the_numbers_that_one_device_gives(folder, on_two):
    (folder / "alone.yaml").write_text(SUITE.replace("gpus: 2", "gpus: 0").replace("boards", "alone"))
    with contextlib.chdir(folder), sketches():
        ended = CliRunner().invoke(cli.app, ["run", "alone.yaml", "--inline"])
    assert ended.exit_code == 0, ended.output
    alone = records(folder / "runs/alone")
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
