"""How parameters are drawn, and drawn anew."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dtcbench.training.surgery import Surgery

TINY = [
    ("lenet-300-100", (1, 4, 4), {}),
    ("lenet-5", (1, 12, 12), {}),
    ("resnet-20", (1, 8, 8), {"width": 4}),
    ("vgg-16", (1, 16, 16), {"width": 4}),
    ("vit-tiny", (1, 8, 8), {"width": 8, "depth": 2, "heads": 2}),
    ("gpt-nano", (8,), {"width": 8, "depth": 2, "heads": 2}),
]


def deviation(layer):
    return layer.weight.std().item()


def example(shape):
    return torch.zeros(1, *shape, dtype=torch.int64 if len(shape) == 1 else torch.float32)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_lenets_are_drawn_by_glorot_s_rule(build):
    fully_connected, convolutional = build("lenet-300-100", (1, 28, 28)), build("lenet-5", (1, 28, 28))
    assert deviation(fully_connected.hidden0) == pytest.approx(math.sqrt(2 / (784 + 300)), rel=0.02)
    assert deviation(convolutional.hidden0) == pytest.approx(math.sqrt(2 / (400 + 120)), rel=0.02)
    assert deviation(convolutional.conv1) == pytest.approx(math.sqrt(2 / (25 * (6 + 16))), rel=0.05)


def test_convolutions_are_drawn_by_he_s_rule_and_their_norms_start_as_1_and_0(build):
    block, vgg = build("resnet-20", (3, 32, 32)).block7, build("vgg-16", (3, 16, 16), width=16)
    assert deviation(block.conv1) == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.03)
    assert deviation(vgg.conv4_1) == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.03)
    for norm in (block.bn1, vgg.bn4_1):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
        assert (norm.running_mean == 0).all()
        assert (norm.running_var == 1).all()


def test_transformers_start_at_two_hundredths(build):
    vit = build("vit-tiny", (3, 32, 32), width=64, depth=1, heads=1)
    gpt = build("gpt-nano", (64,), 65, width=64, depth=2, heads=1)
    for layer in (vit.positions, vit.layers[0].mlp.fc, vit.layers[0].mlp.proj, gpt.tokens, gpt.layers[1].mlp.fc):
        assert deviation(layer) == pytest.approx(0.02, rel=0.04)


def test_gpt_s_additions_to_the_residual_stream_start_smaller_by_their_number(build):
    gpt = build("gpt-nano", (8,), 65, width=64, depth=2, heads=1)
    for layer in gpt.layers:
        assert deviation(layer.mlp.proj) == pytest.approx(0.02 / math.sqrt(2 * 2), rel=0.03)
        assert deviation(layer.attention.proj) == pytest.approx(0.02 / math.sqrt(2 * 2), rel=0.05)


@pytest.mark.parametrize(("name", "shape", "options"), TINY)
def test_every_bias_starts_at_0(build, name, shape, options):
    biases = [p for key, p in build(name, shape, **options).named_parameters() if key.endswith("bias")]
    assert all((bias == 0).all() for bias in biases)


@pytest.mark.parametrize(("name", "shape", "options"), TINY)
def test_resetting_with_a_generator_gives_what_building_with_it_gives(build, name, shape, options):
    model = build(name, shape, seed=2, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(3)
    model.reset_parameters(torch.Generator().manual_seed(1))
    assert same(model, build(name, shape, seed=1, **options))


@pytest.mark.parametrize(("name", "shape", "options"), TINY)
def test_a_smaller_network_is_drawn_anew_in_its_present_shapes(build, name, shape, options):
    model = build(name, shape, **options)
    surgery = Surgery(model, example(shape))
    for group in surgery.groups:
        surgery.shrink(group, np.arange(2), None)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(0)
    model.reset_parameters()
    weights = {key: value for key, value in model.state_dict().items() if value.dim() > 1}
    assert all(value.shape == before[key].shape for key, value in weights.items())
    assert not any(torch.equal(value, before[key]) for key, value in weights.items())


def test_the_spread_of_new_weights_follows_the_present_widths(build):
    model = build("lenet-300-100", (1, 28, 28))
    surgery = Surgery(model, example((1, 28, 28)))
    surgery.shrink(surgery.groups[0], np.arange(30), None)
    model.reset_parameters(torch.Generator().manual_seed(1))
    assert deviation(model.hidden0) == pytest.approx(math.sqrt(2 / (784 + 30)), rel=0.02)
