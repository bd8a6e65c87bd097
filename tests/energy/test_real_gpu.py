"""The meter on a real NVIDIA GPU. `pytest -m gpu -s` prints what was read."""

import math
import statistics
from dataclasses import replace

import pytest
import torch
from cells import cell, choice, task

from dtcbench import registry
from dtcbench.execution.worker import attempt
from dtcbench.plan.metering import Metering
from dtcbench.plan.protocol import Standard
from dtcbench.record import CellRecord

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU"),
]

WIDE = {
    "protocol": Standard(name="standard", steps=400, batch_size=1024, cycle_steps=50, keep=0.7).choice,
    "model": choice(registry.models, "mlp", widths=[8192, 8192]),
}
"""Wide enough that arithmetic is the cost."""


def energy_of(method="dense", sparsity=0.0, min_window="60s"):
    """The energy of a wide network on digits."""
    wide = replace(cell(method, sparsity), **WIDE)
    metering = Metering(min_window=min_window, idle="5s", cool_down={"at_least": "2s"})
    record = CellRecord.model_validate(attempt(task(wide, "cuda", metering=metering)).record)
    assert record.status == "ok", record.reason
    assert record.energy.energy_j is not None, record.energy.reasons
    print(record.provenance.hardware_class, method, record.energy.model_dump(exclude={"reasons"}))
    return record.energy


def power_w(energy):
    return energy.energy_j * energy.repeats / energy.window_s


@pytest.fixture(scope="module")
def dense():
    return energy_of()


def test_counter_and_integral_agree_within_five_per_cent(dense):
    assert dense.method == "counter"
    assert abs(dense.cross_check_pct) < 5
    assert not {"short", "coarse", "gaps", "lost-samples", "disagreement"} & set(dense.flags)


def test_an_idle_board_draws_less_than_one_that_trains(dense):
    if dense.trace.idle_w is None:
        pytest.skip(dense.trace.reasons["idle_w"])
    assert dense.trace.idle_w < 0.7 * power_w(dense)


def test_the_sampler_takes_less_than_two_per_cent_of_a_core(dense):
    assert dense.trace.sampler_cpu_pct < 2


def test_five_runs_of_one_cell_agree_within_the_meters_own_uncertainty(dense):
    joules = [dense.energy_j, *(energy_of().energy_j for _ in range(4))]
    spread = statistics.stdev(joules) / statistics.fmean(joules)
    print(f"five runs: {[round(j, 1) for j in joules]} J, standard deviation {100 * spread:.2f} %")
    assert spread < 0.05


def test_half_the_neurons_take_fewer_joules_on_the_same_board(dense):
    random = energy_of("random", 0.5)
    assert random.trace.gpu_uuid == dense.trace.gpu_uuid
    ratio, time_ratio = random.energy_j / dense.energy_j, training_s(random) / training_s(dense)
    print(f"energy {ratio:.3f} = time {time_ratio:.3f} x power {power_w(random) / power_w(dense):.3f}")
    assert math.isclose(ratio, time_ratio * power_w(random) / power_w(dense), rel_tol=1e-9)
    assert ratio < 1


def training_s(energy):
    return energy.window_s / energy.repeats
