from collections import OrderedDict

import pytest
import torch

from dtcbench import registry
from dtcbench.models.mlp import mlp
from dtcbench.training import flops
from dtcbench.training.flops import inference_flops, training_flops

EXAMPLE = torch.zeros(1, 1, 4, 5)
NETWORK = mlp((1, 4, 5), 3, generator=torch.Generator(), widths=(7,), bias=False)


def test_inference_is_two_operations_a_weight():
    assert inference_flops(NETWORK, EXAMPLE) == 2 * (20 * 7 + 7 * 3)


def test_training_adds_the_gradients_of_weights_and_of_hidden_activations():
    forward, weights, hidden = 20 * 7 + 7 * 3, 20 * 7 + 7 * 3, 7 * 3
    assert training_flops(NETWORK, EXAMPLE) == 2 * (forward + weights + hidden)


def test_counting_leaves_no_trace_in_the_network():
    training_flops(NETWORK, EXAMPLE)
    assert all(parameter.grad is None for parameter in NETWORK.parameters())
    assert all(parameter.device.type == "cpu" for parameter in NETWORK.parameters())


@pytest.fixture
def counted(monkeypatch):
    """The widths of the networks that were counted, and not taken from those counted before."""
    seen, count = [], flops._training_flops
    monkeypatch.setattr(flops, "_KNOWN", OrderedDict())
    monkeypatch.setattr(flops, "_training_flops", lambda model, example: seen.append(model) or count(model, example))
    return seen


def chain(width, **options):
    return mlp((1, 4, 5), 3, generator=torch.Generator(), widths=(width,), **options)


def test_a_structure_is_counted_once_and_another_one_anew(counted):
    first = [training_flops(chain(width), EXAMPLE) for width in (7, 7, 8)]
    assert first[0] == first[1] < first[2]
    frozen = chain(7)
    frozen[1].weight.requires_grad_(False)
    assert training_flops(frozen, EXAMPLE) < first[0]
    assert len(counted) == 3


def test_networks_of_other_classes_and_hooked_ones_are_counted_each_time(counted):
    class Twice(torch.nn.Sequential):
        times = 2

        def forward(self, x):
            for _ in range(self.times):
                x = super().forward(x)
            return x

    network, hooked = Twice(torch.nn.Linear(20, 20)), chain(7)
    before = training_flops(network, torch.zeros(1, 20))
    Twice.times = 3
    assert training_flops(network, torch.zeros(1, 20)) > before
    plain = training_flops(hooked, EXAMPLE)
    hooked[1].register_forward_hook(lambda layer, inputs, output: output @ torch.ones(7, 7, device=output.device))
    assert training_flops(hooked, EXAMPLE) > plain


@pytest.mark.parametrize("name", sorted(set(registry.models.names())))
def test_the_structure_of_every_model_of_the_package_is_known(name):
    if registry.models.get(name).__module__.startswith("dtcbench."):
        shape = (8,) if name.startswith("gpt") else (3, 32, 32)
        with torch.device("meta"):
            network = registry.models.bind(name, {})(shape, 10, generator=torch.Generator("cpu"))
        assert flops._structure(network, torch.zeros(1, *shape)) is not None


def test_only_the_last_structures_are_kept(counted, monkeypatch):
    monkeypatch.setattr(flops, "_MOST_KNOWN", 2)
    for width in (3, 4, 3, 5, 3, 4):
        training_flops(chain(width), EXAMPLE)
    assert [model[1].out_features for model in counted] == [3, 4, 5, 4]


def test_a_network_with_batch_norm_over_single_pixels_can_be_counted():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten())
    assert training_flops(network, torch.zeros(1, 1, 3, 3)) == 2 * (2 * 2 * 9)
