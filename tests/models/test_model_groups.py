"""Which widths can be pruned, and that nothing else hangs on them."""

import numpy as np
import pytest
import torch
from torch import nn

from dtcbench.training.surgery import Surgery

SMALL = {"width": 8, "depth": 2, "heads": 2}
VGG = [f"conv{stage}_{place}" for stage, count in enumerate((2, 2, 3, 3, 3), 1) for place in range(1, count + 1)]
CASES = [
    ("lenet-300-100", (1, 4, 4), {}, ["hidden0", "hidden1"]),
    ("lenet-5", (1, 16, 16), {}, ["conv0", "conv1", "hidden0", "hidden1"]),
    ("resnet-20", (3, 8, 8), {"width": 4}, [f"block{number}.conv1" for number in range(1, 10)]),
    ("vgg-16", (3, 16, 16), {"width": 4}, VGG),
    ("vgg-16", (3, 32, 48), {"width": 4}, VGG),
    ("vit-tiny", (1, 8, 8), SMALL, ["layers.0.mlp.fc", "layers.1.mlp.fc"]),
    ("vit-tiny", (1, 8, 8), {**SMALL, "patch": 8}, ["layers.0.mlp.fc", "layers.1.mlp.fc"]),
    ("gpt-nano", (6,), SMALL, ["layers.0.mlp.fc", "layers.1.mlp.fc"]),
]


DEEP = ("resnet-56", (3, 8, 8), {"width": 4}, [f"block{number}.conv1" for number in range(1, 28)])


def batch(shape, size):
    generator = torch.Generator().manual_seed(0)
    if len(shape) == 1:
        return torch.randint(10, (size, *shape), generator=generator)
    return torch.randn(size, *shape, generator=generator)


def network(build, name, shape, options):
    """A small network in eval mode whose norms are not the identity."""
    model = build(name, shape, **options)
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            for values in (*module.parameters(), *module.buffers()):
                if values.is_floating_point():
                    nn.init.uniform_(values, 0.5, 1.5, generator=generator)
    return model.eval()


@pytest.mark.parametrize(("name", "shape", "options", "expected"), [*CASES, DEEP])
def test_every_hidden_width_between_two_layers_can_be_pruned_and_nothing_else(build, name, shape, options, expected):
    groups = Surgery(build(name, shape, **options), batch(shape, 1)).groups
    assert [group.name for group in groups] == expected


@pytest.mark.parametrize(("name", "shape", "options"), [case[:3] for case in CASES])
def test_a_group_is_its_producer_its_norm_and_its_consumer(build, name, shape, options):
    model = build(name, shape, **options)
    normalised = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    for group in Surgery(model, batch(shape, 1)).groups:
        owners = {path for (name, _), _ in group.places for path, _, _ in group.tensors.owners(name)}
        norms = [type(model.get_submodule(path)) for path in owners - {*group.producers, *group.consumers}]
        assert norms == [nn.BatchNorm2d] * normalised
        assert (len(group.producers), len(group.consumers)) == (1, 1)


@pytest.mark.parametrize(("name", "shape", "options"), [case[:3] for case in CASES])
def test_the_smaller_network_computes_what_the_whole_does_with_the_neurons_silenced(build, name, shape, options):
    smaller, silenced = (network(build, name, shape, options) for _ in range(2))
    surgery = Surgery(smaller, batch(shape, 1))
    for group, whole in zip(surgery.groups, Surgery(silenced, batch(shape, 1)).groups, strict=True):
        kept = np.arange(group.width)[1::2]
        whole.silence(np.delete(np.arange(whole.width), kept))
        surgery.shrink(group, kept, None)
        assert len(group.w_in) == group.width == len(kept)
    x = batch(shape, 3)
    torch.testing.assert_close(smaller(x), silenced(x), rtol=1e-4, atol=1e-5)
    smaller.train()(x).square().sum().backward()
    assert all(parameter.grad.shape == parameter.shape for parameter in smaller.parameters())
