import numpy as np
import pytest
import torch
from torch import nn

from dtcbench.models.mlp import mlp
from dtcbench.training.surgery import prunable_groups, shrink


def network(widths=(6, 5), bias=True):
    return mlp((1, 2, 2), 3, generator=torch.Generator().manual_seed(1), widths=widths, bias=bias)


def test_every_hidden_width_is_a_group_with_its_producers_name():
    groups = prunable_groups(network())
    assert [(group.name, group.width) for group in groups] == [("hidden0", 6), ("hidden1", 5)]
    assert groups[0].w_in.shape == (6, 4)
    assert groups[0].w_out.shape == (5, 6)


@pytest.mark.parametrize("bias", [True, False])
def test_the_smaller_network_computes_what_the_large_one_does_with_the_neurons_silenced(bias):
    model, x = network(bias=bias), torch.rand(7, 1, 2, 2)
    silenced = network(bias=bias)
    kept = np.array([0, 2, 5])
    with torch.no_grad():
        silenced.hidden1.weight[:, np.delete(np.arange(6), kept)] = 0
    shrink(prunable_groups(model)[0], kept, None)
    assert model.hidden0.weight.shape == (3, 4)
    torch.testing.assert_close(model(x), silenced(x))


def test_neurons_keep_the_order_they_are_given_in():
    model = network()
    before = model.hidden0.weight.detach().clone()
    shrink(prunable_groups(model)[0], np.array([4, 1]), None)
    torch.testing.assert_close(model.hidden0.weight.detach(), before[[4, 1]])


def trained(model, optimizer, steps):
    for step in range(steps):
        optimizer.zero_grad()
        torch.manual_seed(step)
        model(torch.rand(5, 1, 2, 2)).square().sum().backward()
        optimizer.step()


def test_the_optimiser_trains_the_new_parameters_with_the_state_of_the_old_ones():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    trained(model, optimizer, 3)
    moments = optimizer.state[model.hidden0.weight]["exp_avg"].clone()
    outgoing = optimizer.state[model.hidden1.weight]["exp_avg"].clone()
    kept = np.array([1, 3])

    shrink(prunable_groups(model)[0], kept, optimizer)

    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert all(any(p is q for q in held) for p in model.parameters())
    assert len(held) == len(optimizer.state) == len(list(model.parameters()))
    torch.testing.assert_close(optimizer.state[model.hidden0.weight]["exp_avg"], moments[kept])
    torch.testing.assert_close(optimizer.state[model.hidden1.weight]["exp_avg"], outgoing[:, kept])
    assert optimizer.state[model.hidden0.weight]["step"] == 3
    before = model.hidden0.weight.detach().clone()
    trained(model, optimizer, 1)
    assert not torch.equal(before, model.hidden0.weight)


def test_frozen_parameters_stay_frozen():
    model = network()
    model.hidden0.weight.requires_grad_(False)
    shrink(prunable_groups(model)[0], np.array([0]), None)
    assert not model.hidden0.weight.requires_grad
    assert model.hidden1.weight.requires_grad


@pytest.mark.parametrize("model", [nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2))])
def test_a_network_that_is_no_chain_is_refused(model):
    with pytest.raises(ValueError, match="compressed"):
        prunable_groups(model)
