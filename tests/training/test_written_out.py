"""The written-out training step against autograd and torch's Adam."""

import pytest
import torch
from torch import nn

from dtcbench.errors import CompressionError
from dtcbench.models.mlp import mlp
from dtcbench.training.determinism import make_deterministic
from dtcbench.training.loop import Samples, gradient_step
from dtcbench.training.written_out import WrittenOutStep, linear_layers

SAMPLES, FEATURES, CLASSES, BATCH = 150, 40, 10, 64  # the last batch is smaller
LR = 1e-3


def network(widths, bias=False):
    return mlp((FEATURES,), CLASSES, generator=torch.Generator().manual_seed(1), widths=widths, bias=bias)


def batches():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(SAMPLES, FEATURES, generator=generator)
    return list(Samples(x, torch.randint(CLASSES, (SAMPLES,), generator=generator)).batches(BATCH))


@pytest.mark.parametrize("widths", [[32], [33, 17], [512]])
@pytest.mark.parametrize("threads", [1, 2])
def test_its_weights_and_losses_are_autograds_to_the_last_bit(widths, threads):
    make_deterministic(threads)
    model, oracle = network(widths), nn.Sequential(network(widths), nn.LogSoftmax(dim=0))
    written_out = WrittenOutStep(linear_layers(model), BATCH, LR)
    autograd = gradient_step(oracle, torch.optim.Adam(oracle.parameters(), lr=LR))
    for batch in batches() * 4:
        assert written_out(batch).item() == autograd(batch).item()
    for ours, theirs in zip(model.parameters(), oracle.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_network_that_is_no_such_chain_is_refused():
    with pytest.raises(CompressionError, match="use the model mlp"):
        linear_layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False), nn.Tanh(), nn.Linear(3, 2, bias=False)))


def test_biases_are_refused_with_the_remedy():
    with pytest.raises(CompressionError, match=r"hidden0\.bias; set bias: false"):
        linear_layers(network([8], bias=True))
