"""Networks whose weights are drawn anew."""

import pytest
import torch
from torch import nn

from dtcbench.errors import CompressionError
from dtcbench.models.mlp import mlp
from dtcbench.training.copies import copied
from dtcbench.training.network import draw_anew


def network(widths=(300,)):
    return mlp((100,), 10, generator=torch.Generator().manual_seed(1), widths=widths)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_seed_alone_decides_the_weights():
    first, second, third = network(), network(), network()
    torch.manual_seed(1)
    draw_anew(first, seed=5)
    torch.manual_seed(2)
    draw_anew(second, seed=5)
    draw_anew(third, seed=6)
    assert torch.equal(weights(first), weights(second))
    assert not (weights(first) == weights(third)).any()
    assert not (weights(first) == weights(network())).any()


def test_the_global_generator_does_not_move():
    state = torch.get_rng_state()
    draw_anew(network(), seed=5)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_present_width_decides_the_scale():
    narrow = network((4,))
    draw_anew(narrow, seed=5)
    assert 0.3 < narrow.output.weight.abs().max() <= 0.5  # within 1/√4


def test_a_parameter_that_no_module_draws_is_named():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.shift = nn.Linear(2, 2), nn.Parameter(torch.zeros(2))

    with pytest.raises(CompressionError, match="parameter shift is drawn by no module"):
        draw_anew(Shifted(), seed=0)


def test_a_copy_shares_nothing_and_what_was_computed_loses_its_history():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.kept = nn.Linear(2, 2), {}
            self.linear.bias.requires_grad_(False)
            self.tied = self.linear.weight

        def forward(self, x):
            self.kept["hidden"] = [self.linear(x)] * 2
            return self.kept["hidden"][0]

    network = Keeping()
    network(torch.ones(1, 2)).sum().backward()
    other = copied(network)
    first, second = other.kept["hidden"]
    assert first is second and first.is_leaf
    assert torch.equal(first, network.kept["hidden"][0]) and first.data_ptr() != network.kept["hidden"][0].data_ptr()
    assert network.kept["hidden"][0].grad_fn is not None
    assert other.tied is other.linear.weight is not network.tied
    assert isinstance(other.tied, nn.Parameter) and other.tied.requires_grad
    assert not other.linear.bias.requires_grad
    assert torch.equal(weights(other), weights(network))
