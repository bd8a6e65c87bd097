"""Free widths: one quantile over the scores of all groups, at the FLOPs of uniform widths."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import cell, choice, context

from dtcbench import registry
from dtcbench.dtc.selection import Target, below_quantile
from dtcbench.errors import UserError
from dtcbench.training.compressor import Compressor
from dtcbench.training.flops import inference_flops
from dtcbench.training.free_widths import FlopsOfWidths, free_widths, least_of
from dtcbench.training.protocols import run
from dtcbench.training.surgery import Surgery

SHAPES = {"mlp": (1, 8, 8), "lenet-5": (1, 28, 28), "resnet-20": (3, 16, 16), "vit-tiny": (3, 32, 32)}


def network(name):
    options = {"mlp": {"widths": (40, 30, 20)}, "resnet-20": {"width": 8}, "vit-tiny": {"depth": 2, "width": 24}}
    build = registry.models.bind(name, options.get(name, {}))
    return build(SHAPES[name], 10, generator=torch.Generator().manual_seed(0)), torch.zeros(1, *SHAPES[name])


@pytest.mark.parametrize("name", SHAPES)
def test_the_flops_of_widths_are_those_of_the_network_that_is_cut_to_them(name):
    model, example = network(name)
    surgery = Surgery(model, example)
    flops = FlopsOfWidths(surgery.products, surgery.groups)
    assert flops({group.name: group.width for group in surgery.groups}) == inference_flops(model, example)
    draws = np.random.default_rng(0)
    widths = {group.name: int(draws.integers(1, group.width)) for group in surgery.groups}
    surgery.cut({group: np.arange(width) for group, width in widths.items()}, None)
    assert flops(widths) == inference_flops(model, example)


def linear_flops(widths):
    return 7 * widths["a"] + 3 * widths["b"]


@pytest.mark.parametrize("drop", ["smallest", "largest"])
def test_one_quantile_decides_in_all_groups(drop):
    draws = np.random.default_rng(1)
    scores = {"a": draws.random(50), "b": draws.random(30) ** 3}
    counts = free_widths(scores, drop, linear_flops, 200, np.random.default_rng(0), least={"a": 1, "b": 1})
    sign = 1 if drop == "smallest" else -1
    kept, gone = [], []
    for name, values in scores.items():
        best_first = np.sort(sign * values / values.mean())[::-1]
        kept += list(best_first[: counts[name]])
        gone += list(best_first[counts[name] :])
    assert max(gone) < min(kept)
    assert abs(linear_flops(counts) - 200) <= 7 / 2


def test_every_group_keeps_a_neuron_and_none_is_lost_if_the_budget_is_large():
    scores = {"a": np.full(5, 1.0), "b": np.zeros(4)}

    def found(budget, a=1, b=1):
        return free_widths(scores, "smallest", linear_flops, budget, np.random.default_rng(0), least={"a": a, "b": b})

    assert found(0) == {"a": 1, "b": 1}
    assert found(10**6) == {"a": 5, "b": 4}
    assert found(31) == {"a": 4, "b": 1}
    assert found(31, b=3) == {"a": 3, "b": 3}
    assert found(0, a=2, b=3) == {"a": 2, "b": 3}


def test_scores_that_compare_are_ranked_as_they_are_and_others_by_their_groups_mean():
    scores = {"a": np.array([10.0, 20.0, 30.0]), "b": np.array([1.0, 2.0, 6.0])}

    def found(comparable):
        draws = np.random.default_rng(0)
        least = {"a": 1, "b": 1}
        return free_widths(scores, "smallest", sizes, 4, draws, least=least, comparable=comparable)

    def sizes(widths):
        return sum(widths.values())

    assert found(comparable=True) == {"a": 3, "b": 1}
    assert found(comparable=False) == {"a": 2, "b": 2}  # by their means 0.5, 1, 1.5 and 1/3, 2/3, 2


def test_the_floor_is_a_fraction_of_what_uniform_widths_leave():
    assert least_of(0.1, Target(0.5, 60), 120) == 6
    assert least_of(0.0, Target(0.5, 60), 120) == 1
    assert least_of(1.0, Target(0.5, 60), 40) == 40  # a group that has fewer already
    assert least_of(0.1, Target(0.5, 2), 120) == 1


def test_the_published_quantile_of_each_group_leaves_no_freedom_of_widths():
    draws = np.random.default_rng(2)
    for width in (512, 300, 57, 11):
        kept = {len(below_quantile(draws.random(width) * scale, 0.9)) for scale in (1, 10, 1e-3) for _ in range(20)}
        assert kept == {registry.methods.bind("dtc-published", {}).left(width, Target(0.9, None))}


def planned(when="during", sparsity=0.75, **options):
    return replace(cell("dtc", sparsity, widths=(64, 48)), method=choice(registry.methods, "dtc", when=when, **options))


@pytest.mark.parametrize("when", ["during", "after", "rewind"])
def test_a_cell_ends_on_other_widths_with_the_flops_of_uniform_ones(when):
    uniform, free = run(context(planned(when))), run(context(planned(when, widths="free")))
    assert uniform.widths == {"hidden0": 16, "hidden1": 12}
    assert free.widths != uniform.widths
    assert free.steps == uniform.steps
    neuron = 2 * (64 + max(free.widths.values()) + 10)  # FLOPs of one neuron at most
    assert abs(free.inference_flops - uniform.inference_flops) <= neuron / 2
    assert free.sparsity == pytest.approx(1 - sum(free.widths.values()) / 112)


def test_every_cycle_has_the_flops_of_its_uniform_widths_and_removed_neurons_stay_away():
    model, example = network("mlp")
    compressor = Compressor(model, example, "dtc", solver="lars", widths="free")
    flops = FlopsOfWidths(compressor._surgery.products, compressor.groups)
    before = dict(compressor.original_indices)
    for sparsity in (0.2, 0.5, 0.8):
        budget = flops({name: round(width * (1 - sparsity)) for name, width in compressor.original_widths.items()})
        compressor.compress(sparsity)
        neuron = 2 * (64 + 30)  # FLOPs of one neuron at most
        assert inference_flops(model, example) == pytest.approx(budget, abs=neuron / 2)
        kept = compressor.original_indices
        assert all(set(kept[name]) <= set(before[name]) for name in kept)
        before = dict(kept)


def test_free_widths_need_widths_to_be_as_costly_as():
    model, example = network("mlp")
    compressor = Compressor(model, example, "dtc", widths="free")
    with pytest.raises(UserError, match="free widths need a sparsity or counts"):
        compressor.compress(keep=0.9)
