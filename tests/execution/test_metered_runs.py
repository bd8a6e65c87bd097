"""A whole run on two simulated GPUs through Ray, which trains in bfloat16 and uses its networks, and its tables."""

import json
import platform

import pandas as pd
import pytest
from fake_nvml.boards import FakeGpu
from simulated import WATTS, on_boards

from dtcbench.records.store import Store

pytestmark = pytest.mark.ray

SUITE = """\
name: watts
question: Do joules arrive in the tables?
cost: seconds
protocol: {name: standard, steps: 60, batch_size: 32, cycle_steps: 10, keep: 0.7, precision: bf16}
grid:
  - models: [{name: mlp, widths: [64]}]
    datasets: [digits]
    methods: [random]
    sparsities: [0.5]
    seeds: 2
resources: {cpus: 1, gpus: 1}
energy: {min_window: 1s, idle: 1s, required: true}
use: {batch_sizes: [16], window: 0.5s}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the command runs."""
    folder = tmp_path_factory.mktemp("watts")
    (folder / "watts.yaml").write_text(SUITE)
    return folder


@pytest.fixture(scope="module")
def dtcbench(folder):
    return on_boards(folder)


@pytest.fixture(scope="module")
def run(dtcbench):
    ended = dtcbench("run", "watts.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def lanes(folder, run):
    """By seed, the records of its cells."""
    found = {}
    for path in (folder / "runs/watts/records").glob("*.json"):
        record = json.loads(path.read_text())["record"]
        found.setdefault(record["cell"]["seed"], []).append(record)
    return found


@pytest.fixture(scope="module")
def energies(lanes):
    """By seed, the energies of its cells."""
    return {seed: [record["energy"] for record in records] for seed, records in lanes.items()}


def test_the_cells_of_a_seed_share_a_gpu_and_the_seeds_do_not(energies):
    boards = [{energy["trace"]["gpu_uuid"] for energy in of_seed} for of_seed in energies.values()]
    assert [len(of_seed) for of_seed in energies.values()] == [2, 2]
    assert sorted(map(sorted, boards)) == [[uuid] for uuid in WATTS]


def test_who_watches_the_run_sees_its_gpus_and_the_watts_that_the_cells_measured(folder, energies):
    seen = Store(folder / "runs/watts").snapshot()
    assert {board.gpu_uuid for board in seen.boards} == WATTS.keys()
    measured = [
        one["energy_j"] / (one["window_s"] / one["repeats"]) for of_seed in energies.values() for one in of_seed
    ]
    assert all(board.watts in measured for board in seen.boards)
    [node] = seen.nodes
    assert (node.gpus, node.ended, node.failed) == (2, 4, 0)
    assert {(board.host, board.simulated) for board in seen.boards} == {(node.host, True)}


def test_every_cells_joules_are_its_own_boards_power_times_its_time(energies):
    for energy in (energy for of_seed in energies.values() for energy in of_seed):
        watts, training_s = WATTS[energy["trace"]["gpu_uuid"]], energy["window_s"] / energy["repeats"]
        assert energy["repeats"] > 1
        assert energy["energy_j"] == pytest.approx(watts * training_s, abs=energy["quantisation_j"])
        assert energy["trace"]["integral_j"] == pytest.approx(watts * training_s)
        assert energy["method"] == "counter"


def test_every_cell_has_both_idle_powers(energies):
    for energy in (energy for of_seed in energies.values() for energy in of_seed):
        trace, watts = energy["trace"], WATTS[energy["trace"]["gpu_uuid"]]
        for idle in ("idle_w", "idle_context_w"):
            assert trace[idle] == pytest.approx(watts, rel=2 * trace["longest_gap_s"]), trace["reasons"]


def test_a_network_in_use_draws_its_boards_power_for_as_long_as_its_samples_take(lanes, folder, run):
    for record in (record for records in lanes.values() for record in records):
        watts = WATTS[record["energy"]["trace"]["gpu_uuid"]]
        eager, *others = [use for use in record["use"] if use["widths"] == "pruned"]
        joules = 1000 * watts / eager["throughput"]["median"]
        assert eager["energy_j"]["median"] == pytest.approx(
            joules, rel=0.25
        )  # of half a second each refresh is a fifth
        assert {"coarse", "simulated"} <= set(eager["flags"])
        assert [use["reasons"]["energy_j"] for use in others] == [
            "the network ran on the CPU, which has no CUDA graphs"
        ]
    use = pd.read_csv(folder / "runs/watts/use.csv")
    measured = use[use["mode"] == "eager"].query("widths == 'pruned'")
    assert measured[["energy_j", "latency_s", "time_ratio"]].notna().all(axis=None)
    assert measured["energy_ratio"].isna().all()
    assert measured["energy_ratio_reason"].str.contains("simulated GPU").all()


def test_the_cells_of_a_lane_run_in_the_order_that_their_records_tell(lanes):
    for records in lanes.values():
        assert [record["place"] for record in sorted(records, key=lambda record: record["started_at"])] == [1, 2]


def test_the_leaderboard_has_energy_ratios_says_that_they_are_simulated_and_ranks_none(folder, run):
    board = pd.read_csv(folder / "runs/watts/leaderboard.csv")
    assert (board["energy_measured"] == 2).all()
    assert board["energy_ratio"].notna().all()
    assert board["energy_rank"].isna().all()
    assert board["energy_note"].str.contains("simulated GPU").all()
    files = [folder / f"runs/watts/leaderboard.{ending}" for ending in ("md", "html")]
    for rendering in (run.stdout, *(file.read_text() for file in files)):
        assert "comes from a simulated GPU (FAKE H100): not for publication" in " ".join(rendering.split())


def test_publishing_it_is_refused(dtcbench, run):
    ended = dtcbench("check", "watts")
    assert ended.returncode == 1
    assert "Energy of 4 cells comes from a simulated GPU (FAKE H100): not for publication." in ended.stdout


def test_the_samples_of_a_cell_can_be_seen(folder, dtcbench, run):
    key = min((folder / "runs/watts/records").glob("*.json")).name[:12]
    shown = dtcbench("show", key, "--power")
    assert shown.returncode == 0, shown.stderr
    assert "instant_w" in shown.stdout
    samples = pd.read_parquet(folder / "runs/watts/tables/power.parquet")
    assert set(samples["key"].str[:12]) >= {key}
    assert {"t_s", "counter_mj", "instant_w", "phase", "training"} <= set(samples.columns)


def test_the_doctor_says_what_would_be_measured(dtcbench):
    ended = dtcbench("doctor", "--require-energy")
    assert ended.returncode == 0
    told = " ".join(ended.stdout.split())
    assert "FAKE H100: measured by its energy counter; a simulation, not for publication" in told


def test_the_doctor_fails_where_energy_is_required_and_the_board_gives_none(tmp_path):
    mute = FakeGpu(unsupported=("counter", "usage", "fields"))
    ended = on_boards(tmp_path, [mute])("doctor", "--require-energy")
    assert ended.returncode == 1
    cause = "no energy counter (Not Supported), no power (Not Supported)"
    assert f"no joules on {platform.node()}: {cause}" in ended.stdout
