"""Protocol `published`: the notebook's curve, bit for bit."""

import csv

import numpy as np
import pytest
from cells import context, published_cell
from reference import data_dir, reference_file, skip_unless_rounding_as_the_reference

from dtcbench import registry
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.errors import CompressionError
from dtcbench.hits import unpacked
from dtcbench.registry import Entry
from dtcbench.training.protocols import run


def curve(result):
    return [(c.cycle, c.layers[0].width_after, c.test_after) for c in result.cycles]


@pytest.fixture
def real_mnist(monkeypatch):
    monkeypatch.setenv("DTCBENCH_DATA_DIR", str(data_dir()))


@pytest.mark.mnist
@pytest.mark.timeout(240)
def test_the_magnitude_curve_is_the_notebooks_to_the_last_bit(real_mnist):
    skip_unless_rounding_as_the_reference()
    with reference_file("rerun_magnitude.csv").open() as file:
        expected = [(int(r["cycle"]), int(r["width"]), float(r["accuracy"])) for r in csv.DictReader(file)]
    assert curve(run(context(published_cell("magnitude-published")))) == expected


@pytest.mark.mnist
def test_a_single_batch_leaves_the_dense_network_where_the_paper_says(real_mnist):
    # The published width takes 34 cycles of 200 batches; this is the first batch of the first.
    result = run(context(published_cell("dense", cycle_steps=1, stop_width=511)))
    assert [c.test_after for c in result.cycles] == [0.5114487591911765]


def small(method, **changes):
    options = {"dataset": "digits", "widths": [30], "cycle_steps": 5, "batch_size": 64, **changes}
    return run(context(published_cell(method, **options)))


@pytest.mark.parametrize("method", ["magnitude-published", "random-published", "dtc-published"])
def test_cycles_run_while_the_width_is_above_the_stop(method):
    widths = [c.layers[0].width_after for c in small(method).cycles]
    assert widths == [27, 24, 21, 18, 16, 14, 12, 10]


def test_hits_are_of_the_batches_answers_and_the_accuracy_is_the_mean_of_the_batches_means():
    result = small("magnitude-published")
    hits = unpacked(result.hits, result.test_samples)
    assert len(hits) == 360
    assert np.mean([hits[start : start + 64].mean() for start in range(0, 360, 64)]) == result.accuracy
    assert hits.mean() == pytest.approx(result.accuracy, abs=0.02)


def test_dense_trains_as_many_cycles_with_no_neuron_lost():
    dense, compressed = small("dense"), small("magnitude-published")
    assert len(dense.cycles) == len(compressed.cycles) == 8
    assert dense.steps == compressed.steps == 40
    assert dense.widths == {"hidden0": 30}


def test_the_cells_seed_decides_the_weights_and_the_published_draw_stays():
    first, second = small("random-published"), small("random-published", seed=7)
    assert [c.layers[0].kept_sha256 for c in first.cycles] == [c.layers[0].kept_sha256 for c in second.cycles]
    assert [c.loss for c in first.cycles] != [c.loss for c in second.cycles]


def test_our_methods_can_be_run_by_the_published_recipe():
    assert small("dtc", solver="lars").widths == {"hidden0": 10}


def test_an_exact_solver_that_keeps_nobody_ends_the_cell_with_width_keep_and_solver():
    with pytest.raises(CompressionError, match=r"width \d+, keep 0\.9, solver lars: .*strictly below"):
        small("dtc-published", solver="lars", widths=[64], keep=0.9)


def test_biases_are_refused_with_the_remedy():
    with pytest.raises(CompressionError, match="set bias: false"):
        small("magnitude-published", bias=True)


def test_a_network_too_narrow_for_any_cycle_is_refused():
    with pytest.raises(CompressionError, match="no group is wider than 10"):
        small("magnitude-published", widths=[10])


def test_the_published_method_takes_what_its_solver_returns_and_every_other_method_verifies_it(monkeypatch):
    def zeros(theta, y, lam):
        return np.zeros((theta.shape[1], y.shape[1])) + np.arange(theta.shape[1])[:, None]

    monkeypatch.setitem(registry.solvers._entries, "scs", Entry(checked_solver(Tolerance())(zeros)))
    assert small("dtc-published").widths == {"hidden0": 10}
    with pytest.raises(CompressionError, match="duality gap") as refused:
        small("dtc")
    words = str(refused.value)
    assert all(words.count(once) == 1 for once in ("width 30", "λ", "solver scs", "duality gap"))
