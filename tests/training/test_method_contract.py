"""What a method sees of a network, keeps, adds to the loss and decides for all groups together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import cell, choice, context, published_cell
from torch import nn

from dtcbench import registry
from dtcbench.dtc.selection import Method, Scores, Target
from dtcbench.errors import CompressionError
from dtcbench.training.compressor import Compressor
from dtcbench.training.flops import inference_flops
from dtcbench.training.free_widths import FlopsOfWidths
from dtcbench.training.protocols import run
from dtcbench.training.surgery import Surgery
from dtcbench.training.training_run import start


def network():
    """8×8 images → 6 channels, normalised and pooled to 4×4, flattened → 10 neurons → 3 classes."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    model = nn.Sequential(*layers, nn.Linear(96, 10), nn.ReLU(), nn.Linear(10, 3))
    nn.init.uniform_(model[1].weight, 0.5, 1.5)
    return model


X = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(20) % 3
BATCHES = [(X[:12], Y[:12]), (X[12:], Y[12:])]


def looked(**asked):
    """The groups as a method saw them that asks for so much; it drops the first neurons."""
    seen = []

    class Looking(Method):
        drop = "smallest"

        def scores(self, group):
            seen.append(group)
            return Scores(np.arange(group.width, dtype=float))

    for name, value in asked.items():
        setattr(Looking, name, value)
    model = network()
    compressor = Compressor(model, X[:1], Looking())
    return model, compressor, seen


def test_activations_are_what_the_next_layer_reads_of_so_many_samples_as_maps_also_if_flattened():
    model, compressor, seen = looked(activation_samples=15)
    model.eval()
    maps = model[:4](X[:15]).detach()
    hidden = model[:7](X[:15]).detach()
    model.train()
    compressor.compress(0.5, batches=iter(BATCHES))
    assert model.training and int(model[1].num_batches_tracked) == 0
    np.testing.assert_array_equal(seen[0].activations, maps.numpy())
    np.testing.assert_array_equal(seen[1].activations, hidden.numpy())
    assert seen[0].activations.shape == (15, 6, 4, 4)


def test_of_activations_a_method_keeps_what_it_observes():
    _, compressor, seen = looked(
        activation_samples=20, observe=lambda self, maps: maps.reshape(*maps.shape[:2], -1).max(2)
    )
    compressor.compress(0.5, batches=BATCHES)
    assert [group.activations.shape for group in seen] == [(20, 6), (20, 10)]


def test_activations_and_gradients_come_from_the_same_batches():
    _, compressor, seen = looked(activation_samples=15, sensitivity_samples=20)
    compressor.compress(0.5, batches=iter(BATCHES))
    assert [(len(group.activations), len(group.sensitivities)) for group in seen] == [(15, 2)] * 2


def test_what_a_method_does_not_ask_for_is_not_given():
    _, compressor, seen = looked()
    compressor.compress(0.5)
    for group in seen:
        assert (group.sensitivities, group.activations, group.cost, group.parts, group.scales) == (*(None,) * 3, (), ())


def test_parameters_are_all_that_shrink_with_the_group_neuron_by_neuron():
    model, compressor, seen = looked(uses_parameters=True)
    conv, bias, gamma, beta, linear = (p.detach().clone() for p in list(model.parameters())[:5])
    compressor.compress(0.5)
    expected = [conv.flatten(1), bias[:, None], gamma[:, None], beta[:, None]]
    expected.append(linear.reshape(10, 6, 16).movedim(1, 0).flatten(1))
    found = sorted((np.sort(part, axis=1).tolist() for part in seen[0].parts), key=str)
    assert found == sorted((part.sort(dim=1).values.tolist() for part in expected), key=str)
    (scale,) = seen[0].scales
    assert scale[:, 0].tolist() == gamma.tolist()
    with pytest.raises(ValueError, match="read-only"):
        seen[0].parts[0][:] = 0


def test_the_cost_is_the_flops_of_the_network_without_one_neuron():
    model, compressor, seen = looked(uses_cost=True)
    whole = inference_flops(model, X[:1])
    compressor.compress(counts={"0": 5, "5": 9})
    both = whole - inference_flops(model, X[:1])
    smaller = network()
    Surgery(smaller, X[:1]).cut({"0": np.arange(5)}, None)
    assert seen[0].cost == whole - inference_flops(smaller, X[:1])
    assert seen[1].cost == 2 * (96 + 3)
    assert both == seen[0].cost + seen[1].cost - 2 * 16  # the weights between the two go once


class Remembering(Method):
    """Keeps the number of each neuron in the original network, and how often it was asked."""

    drop = "smallest"

    def scores(self, group):
        numbers = group.state.setdefault("numbers", np.arange(group.width))
        group.state["asked"] = group.state.get("asked", np.zeros(group.width)) + 1
        return Scores(-np.abs(numbers - 4.2))


def test_what_a_method_keeps_loses_the_neurons_that_go_and_is_saved():
    compressor = Compressor(network(), X[:1], Remembering())
    compressor.compress(counts={"0": 4})
    compressor.compress(counts={"0": 3, "5": 7})
    compressor.cut({"5": np.array([0, 2])})
    kept = compressor.state_dict()["kept_by_method"]
    for name, indices in compressor.original_indices.items():
        assert kept[name]["numbers"].tolist() == indices.tolist()
    assert kept["0"]["asked"].tolist() == [2] * 3
    assert kept["5"]["asked"].tolist() == [1] * 2
    other = Compressor(network(), X[:1], Remembering())
    other.load_state_dict(compressor.state_dict())
    compressor.compress(counts=1)
    other.compress(counts=1)
    assert {n: i.tolist() for n, i in other.original_indices.items()} == {"0": [4], "5": [3]}


def test_what_a_method_keeps_must_be_an_array_of_the_neurons_and_after_an_error_it_is_as_it_was():
    class Forgetful(Remembering):
        def scores(self, group):
            scores = super().scores(group)
            group.state["mean"] = np.zeros(3)
            return scores

    compressor = Compressor(network(), X[:1], Forgetful())
    with pytest.raises(CompressionError, match="the method keeps 'mean', which is no array"):
        compressor.compress(0.5)
    assert compressor.state_dict()["kept_by_method"] == {"0": {}, "5": {}}
    assert compressor.groups[0].width == 6


def slimming(method="slimming", sparsity=0.5, **options):
    """A cell on digits, of a network with batch norms."""
    planned = replace(cell(sparsity=sparsity), model=choice(registry.models, "resnet-20", width=4), solver=None)
    return replace(planned, method=choice(registry.methods, method, **options))


def test_a_penalty_presses_the_scales_until_the_last_neurons_go_and_no_longer(monkeypatch):
    asked = []
    real = Compressor.penalty

    def count(compressor):
        asked.append(compressor.cycle)
        return real(compressor)

    monkeypatch.setattr(Compressor, "penalty", count)
    result = run(context(slimming(lam=0.01)))
    last = max(cycle.step for cycle in result.cycles if cycle.layers)
    assert len(asked) == last < result.steps


def test_a_strong_penalty_makes_the_scales_smaller():
    def scale(lam):
        model = network()
        compressor = Compressor(model, X[:1], "slimming", lam=lam)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(20):
            optimizer.zero_grad()
            penalty = compressor.penalty()
            (nn.functional.cross_entropy(model(X), Y) + penalty).backward()
            optimizer.step()
        return model[1].weight.abs().sum().item()

    assert scale(0.1) < scale(0.0) - 0.3  # twenty steps of 0.05 · 0.1 for each of six scales are 0.6


def test_protocol_published_refuses_what_it_does_not_train_by_and_free_widths():
    class Pressed(Method):
        drop = "smallest"

        def penalty(self, groups):
            return sum((part**2).sum() for group in groups for part in group.parts)

        def scores(self, group):
            return Scores(np.arange(group.width, dtype=float))

    registry.methods.register("pressed")(Pressed)
    planned = published_cell("pressed", dataset="digits", widths=(16,))
    with pytest.raises(CompressionError, match="without a penalty; use protocol standard"):
        run(context(planned))
    with pytest.raises(CompressionError, match="free widths need the number of neurons"):
        registry.methods.bind("depgraph", {}).refuse(16, Target(0.9, None))


GLOBAL = ["slimming", "global-magnitude", "depgraph"]


def residual():
    """ResNet-20 with scales that differ, as after training."""
    model = registry.models.bind("resnet-20", {"width": 8})((3, 8, 8), 10, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.1, 1.0, generator=generator)
    return model, torch.zeros(1, 3, 8, 8)


@pytest.mark.parametrize("method", GLOBAL)
def test_a_global_ranking_reaches_the_flops_of_uniform_widths_with_other_widths_above_the_floor(method):
    (alike, x), (model, _) = residual(), residual()
    Compressor(alike, x, "magnitude").compress(0.5)
    compressor = Compressor(model, x, method, floor=0.5)
    compressor.compress(0.5)
    widths = {group.name: group.width for group in compressor.groups}
    uniform = {name: width // 2 for name, width in compressor.original_widths.items()}
    assert widths != uniform
    assert all(widths[name] >= width // 2 for name, width in uniform.items())
    neuron = max(FlopsOfWidths(compressor._surgery.products, compressor.groups).of_one(widths).values())
    assert abs(inference_flops(model, x) - inference_flops(alike, x)) <= neuron


def test_looking_at_activations_costs_forward_passes():
    the_run = start(context(slimming("hrank", samples=100)))
    forward = the_run.flops(inference_flops)
    the_run.compress(the_run.context.train, counts=dict.fromkeys(the_run.compressor.original_widths, 2))
    assert the_run.training_flops == 100 * forward


def test_hrank_keeps_the_channels_whose_maps_have_the_highest_rank():
    model = network()
    compressor = Compressor(model, X[:1], "hrank", samples=20)
    model.eval()
    ranks = torch.linalg.matrix_rank(model[:4](X)).float().mean(dim=0)
    model.train()
    compressor.compress(counts={"0": 3}, batches=BATCHES)
    kept = compressor.original_indices["0"]
    gone = np.setdiff1d(np.arange(6), kept)
    assert ranks[gone].max() <= ranks[kept].min()


@pytest.mark.parametrize("method", GLOBAL)
def test_a_group_norm_sees_every_layer_of_a_coupled_group(method):
    model, x = residual()
    compressor = Compressor(model, x, method, groups="coupled")
    streams = [group for group in compressor.groups if len(group.producers) > 1]
    assert streams
    compressor.compress(0.5)
    assert model(x).shape == (1, 10)
    for group in streams:
        assert len(group.scales) == len(group.producers)
        assert sum(part.numel() for part in group.parts) > group.w_in.size + group.w_out.size
