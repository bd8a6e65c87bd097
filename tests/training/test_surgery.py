"""Shrinking any network: which widths are groups, and what a cut leaves as it was."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from dtcbench.errors import CompressionError
from dtcbench.models.mlp import mlp
from dtcbench.training.surgery import Surgery

IMAGE = torch.zeros(1, 1, 12, 12)
KEPT = np.array([0, 2, 3])


def network(widths=(6, 5), bias=True):
    return mlp((1, 2, 2), 3, generator=torch.Generator().manual_seed(1), widths=widths, bias=bias)


class Convolutional(nn.Module):
    """Two convolutions and two Linear layers, with everything DTC's groups reach through."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv1, self.norm, self.pool = nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5), nn.MaxPool2d(2)
        self.conv2, self.flatten = nn.Conv2d(5, 4, 3, padding=1), nn.Flatten()
        self.hidden, self.output = nn.Linear(4 * 9, 7), nn.Linear(7, 3)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.conv1(x))))
        x = self.flatten(self.pool(torch.relu(self.conv2(x))))
        return self.output(torch.relu(self.hidden(x)))


class Residual(nn.Module):
    """A residual stream with attention and a feed-forward part: only the latter's width is a group."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv, self.project = nn.Linear(4, 8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.norm, self.widen, self.narrow, self.output = (
            nn.LayerNorm(8),
            nn.Linear(8, 16),
            nn.Linear(16, 8),
            nn.Linear(8, 2),
        )

    def forward(self, x):
        x = self.embed(x)
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        x = x + self.project((q @ k.transpose(1, 2)).softmax(-1) @ v)
        x = x + self.narrow(nn.functional.gelu(self.widen(x)))
        return self.output(x)


class Shared(nn.Module):
    """A width with two consumers."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, x):
        h = torch.relu(self.a(x))
        return self.b(h) + self.c(h)


def names(model, example):
    return [group.name for group in Surgery(model, example).groups]


def test_every_hidden_width_is_a_group_with_its_producers_name():
    groups = Surgery(network(), torch.zeros(1, 1, 2, 2)).groups
    assert [(group.name, group.width) for group in groups] == [("hidden0", 6), ("hidden1", 5)]
    assert groups[0].w_in.shape == (6, 4)
    assert groups[0].w_out.shape == (5, 6)


def test_groups_reach_through_normalisation_pooling_and_flattening():
    groups = {group.name: group for group in Surgery(Convolutional(), IMAGE).groups}
    assert list(groups) == ["conv1", "conv2", "hidden"]
    assert groups["conv1"].w_in.shape == (5, 1, 3, 3)
    assert groups["conv1"].w_out.shape == (4, 5, 3, 3)
    assert groups["conv2"].w_out.shape == (7, 4, 9), "each channel feeds nine inputs in a row"


def test_residual_streams_attention_and_shared_widths_stay_whole():
    assert names(Residual(), torch.zeros(1, 3, 4)) == ["widen"]
    assert names(Shared(), torch.zeros(1, 4)) == []


@pytest.mark.parametrize("name", ["conv1", "conv2", "hidden"])
def test_the_smaller_network_computes_what_the_large_one_does_with_the_neurons_silenced(name):
    model, x = Convolutional().eval(), torch.rand(7, 1, 12, 12)
    silenced = copy.deepcopy(model)
    (large,) = (group for group in Surgery(silenced, IMAGE).groups if group.name == name)
    gone = np.delete(np.arange(large.width), KEPT)
    large.silence(gone)
    surgery = Surgery(model, IMAGE)
    (group,) = (group for group in surgery.groups if group.name == name)
    surgery.shrink(group, KEPT, None)
    assert group.width == 3
    torch.testing.assert_close(model(x), silenced(x))


def trained(model, optimizer, steps, shape=(5, 1, 2, 2)):
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.rand(shape, generator=torch.Generator().manual_seed(step))).square().sum().backward()
        optimizer.step()


def test_surgery_keeps_neurons_in_the_order_they_are_given_in():
    model = network()
    x = torch.rand(3, 1, 2, 2)
    rows, columns = model.hidden0.weight.detach().clone(), model.hidden1.weight.detach().clone()
    ascending = copy.deepcopy(model)
    for one, kept in ((model, [4, 1]), (ascending, [1, 4])):
        Surgery(one, torch.zeros(1, 1, 2, 2)).cut({"hidden0": kept}, None)
    assert torch.equal(model.hidden0.weight, rows[[4, 1]])
    assert torch.equal(model.hidden1.weight, columns[:, [4, 1]])
    torch.testing.assert_close(model(x), ascending(x))


@pytest.mark.parametrize("name", ["conv1", "conv2", "hidden"])
def test_the_optimiser_trains_the_new_parameters_with_the_state_of_the_old_ones(name):
    model = Convolutional()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    trained(model, optimizer, 3, (5, 1, 12, 12))
    surgery = Surgery(model, IMAGE)
    (group,) = (group for group in surgery.groups if group.name == name)
    (producer,), (consumer,) = ([model.get_submodule(n) for n in found] for found in (group.producers, group.consumers))
    incoming = optimizer.state[producer.weight]["exp_avg"].clone()
    outgoing = optimizer.state[consumer.weight]["exp_avg_sq"].clone()
    spread = len(outgoing[0]) // group.width

    surgery.shrink(group, KEPT, optimizer)

    held = [p for param_group in optimizer.param_groups for p in param_group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}
    assert len(held) == len(optimizer.state) == len(list(model.parameters()))
    assert all(optimizer.state[p]["exp_avg"].shape == p.shape for p in held)
    assert torch.equal(optimizer.state[producer.weight]["exp_avg"], incoming[KEPT])
    inputs = (KEPT[:, None] * spread + np.arange(spread)).ravel()
    assert torch.equal(optimizer.state[consumer.weight]["exp_avg_sq"], outgoing[:, inputs])
    assert optimizer.state[producer.weight]["step"] == 3
    before = [p.detach().clone() for p in model.parameters()]
    trained(model, optimizer, 1, (5, 1, 12, 12))
    assert not any(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_building_the_graph_leaves_mode_statistics_gradients_and_random_numbers_alone():
    model = Convolutional()
    model.norm.eval()
    state, statistics = torch.get_rng_state(), model.norm.running_mean.clone()
    surgery = Surgery(model, IMAGE)
    surgery.shrink(surgery.groups[0], np.arange(5), None)
    assert model.training
    assert model.conv1.training
    assert not model.norm.training
    assert torch.equal(model.norm.running_mean, statistics)
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_frozen_layers_are_found_and_stay_frozen():
    model = Convolutional()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.hidden.weight.requires_grad_(True)
    surgery = Surgery(model, IMAGE)
    for group in surgery.groups:
        surgery.shrink(group, KEPT, None)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trainable == ["hidden.weight"]


def test_a_network_is_forgotten_with_its_surgery():
    model = Convolutional()
    surgery = Surgery(model, IMAGE)
    surgery.shrink(surgery.groups[0], KEPT, None)
    gone = weakref.ref(model)
    del model, surgery
    gc.collect()
    assert gone() is None


def test_surgeries_of_two_networks_do_not_mix():
    first, second = Convolutional(), Convolutional()
    one, two = Surgery(first, IMAGE), Surgery(second, IMAGE)
    one.shrink(one.groups[1], KEPT, None)
    assert [group.width for group in two.groups] == [5, 4, 7]
    two.shrink(two.groups[2], KEPT, None)
    assert [group.width for group in one.groups] == [5, 3, 7]
    assert second(torch.rand(2, 1, 12, 12)).shape == (2, 3)


class Keeping(nn.Module):
    """Keeps what it computed of its weights while it is evaluated."""

    def __init__(self):
        super().__init__()
        self.hidden, self.output, self.kept = nn.Linear(4, 6), nn.Linear(6, 3), None

    def train(self, mode=True):
        self.kept = None if mode else self.kept
        return super().train(mode)

    def forward(self, x):
        if self.training or self.kept is None:
            self.kept = self.hidden.bias.detach() * 1
        return self.output(torch.relu(torch.nn.functional.linear(x, self.hidden.weight) + self.kept))


def test_what_a_network_keeps_for_its_evaluation_does_not_outlive_a_cut():
    model, x = Keeping().eval(), torch.rand(2, 4)
    model(x)
    surgery = Surgery(model, x[:1])
    surgery.cut({"hidden": KEPT}, None)
    assert not model.training
    assert model(x).shape == (2, 3)


class Tied(nn.Module):
    """Two layers with one weight between them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(6, 6) for _ in range(4))
        self.c.weight = self.a.weight

    def forward(self, x):
        return self.d(torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x)))))))


def test_widths_of_tied_weights_stay_whole():
    assert names(Tied(), torch.zeros(1, 6)) == []


@pytest.mark.parametrize(
    "between",
    [nn.LayerNorm([5, 4, 4]), nn.Unflatten(1, (5, 1)), nn.Softmax(1)],
    ids=lambda layer: type(layer).__name__,
)
def test_what_mixes_neurons_or_cannot_be_cut_makes_no_group(between):
    network = nn.Sequential(nn.Conv2d(1, 5, 3), between, nn.Flatten(), nn.Linear(80, 3))
    assert names(network, torch.zeros(1, 1, 6, 6)) == []


@pytest.mark.parametrize(("axes", "groups"), [((2, 3), ["conv"]), ((-1, -2), ["conv"]), ((1,), [])])
def test_a_mean_over_pixels_is_pooling_and_one_over_channels_is_not(axes, groups):
    class Averaged(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.output = nn.Conv2d(1, 16, 3), nn.Linear(16, 3)

        def forward(self, x):
            return self.output(self.conv(x).mean(axes).flatten(1))

    assert names(Averaged(), torch.zeros(1, 1, 6, 6)) == groups


@pytest.mark.parametrize("activation", [nn.Softplus(), nn.Mish(), nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d(2)])
def test_neuron_wise_layers_are_reached_through(activation):
    network = nn.Sequential(nn.Conv2d(1, 5, 3), activation, nn.Conv2d(5, 2, 1))
    assert names(network, torch.zeros(1, 1, 6, 6)) == ["0"]


def sequential(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("layers", "shape", "groups"),
    [
        ([nn.Conv2d(1, 8, 3, padding=1), nn.Linear(6, 10), nn.Flatten(), nn.Linear(480, 5)], (1, 6, 6), ["0"]),
        ([nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 4), nn.ReLU()], (3, 4, 4), []),
        ([nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(2), nn.Linear(16, 5)], (3, 4, 4), []),
        ([nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(0, 2), nn.Linear(4, 5)], (3, 4, 4), []),
        ([nn.Conv2d(3, 4, 3, padding=1), nn.LayerNorm(4), nn.Flatten(), nn.Linear(64, 5)], (3, 4, 4), ["0"]),
        ([nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 5)], (4, 3), []),
        ([nn.Linear(3, 4), nn.Flatten(), nn.Linear(16, 5)], (4, 3), []),
        ([nn.Linear(3, 4), nn.AvgPool2d(3, 1, 1), nn.Linear(4, 5)], (1, 4, 3), []),
        ([nn.Linear(3, 4), nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 5, 1)], (3,), []),
        ([nn.Linear(3, 4), nn.Flatten(0, 1), nn.Linear(4, 5)], (6, 3), ["0"]),
        (
            [nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(2), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(64, 5)],
            (3, 4, 4),
            ["0"],
        ),
        ([nn.Conv2d(3, 4, 4), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 5)], (3, 4, 4), []),
    ],
)
def test_a_layer_reads_the_neurons_only_along_their_own_axis(layers, shape, groups, device):
    network = sequential(*layers).to(device)
    assert names(network, torch.zeros(1, *shape, device=device)) == groups


class Returning(nn.Module):
    """Gives its hidden values with its answer."""

    def __init__(self, how):
        super().__init__()
        self.a, self.b, self.c, self.how = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2), how

    def forward(self, x):
        h = torch.relu(self.a(x))
        return self.how(self.c(torch.relu(self.b(input=h))), h)


@pytest.mark.parametrize(
    ("how", "groups"),
    [
        (lambda y, h: (y, h), ["b"]),
        (lambda y, h: {"y": y, "inside": [h.exp().tanh()]}, ["b"]),
        (lambda y, h: [y, y], ["a", "b"]),
    ],
)
def test_a_width_that_is_also_an_output_is_no_group(how, groups):
    assert names(Returning(how), torch.zeros(1, 4)) == groups
    assert names(Returning(how).to("meta"), torch.zeros(1, 4, device="meta")) == groups


@pytest.mark.filterwarnings("ignore:.*(weight_norm|not a leaf).*")
@pytest.mark.parametrize(
    ("reparametrise", "left"),
    [
        (nn.utils.parametrizations.weight_norm, ["2", "3"]),
        (nn.utils.parametrizations.spectral_norm, ["2", "3"]),
        (nn.utils.weight_norm, ["2", "3"]),
        (lambda layer: prune.l1_unstructured(layer, "weight", 0.5), ["2", "3"]),
        (lambda layer: prune.random_unstructured(layer, "bias", 0.5), ["0", "2", "3"]),  # 1 reads 0 by its weight
    ],
)
def test_a_layer_whose_weights_come_from_other_parameters_is_in_no_simple_group(reparametrise, left):
    network = sequential(nn.Linear(4, 6), nn.Linear(6, 7), nn.Linear(7, 8), nn.Linear(8, 9), nn.Linear(9, 2))
    reparametrise(network[1])
    surgery = Surgery(network, torch.zeros(1, 4))
    assert [group.name for group in surgery.groups] == left
    for group in surgery.groups:
        surgery.shrink(group, KEPT, None)
    assert network(torch.rand(3, 4)).shape == (3, 2)


def test_a_trace_that_fails_leaves_no_hook_in_the_network():
    network = sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    mine = network[0].register_forward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Surgery(network, torch.zeros(1, 5))
    assert [list(module._forward_hooks) for module in network] == [[mine.id], [], []]
    Surgery(network, torch.zeros(1, 4))
    assert [list(module._forward_hooks) for module in network] == [[mine.id], [], []]


def test_the_weights_that_a_method_sees_cannot_be_changed():
    for group in Surgery(Convolutional(), IMAGE).groups:
        for weights in (group.w_in, group.w_out):
            with pytest.raises(ValueError, match="read-only"):
                weights[0] = 0


def test_it_traces_in_inference_mode_and_refuses_weights_that_were_made_there():
    network = Returning(lambda y, _: y)
    with torch.inference_mode():
        assert names(network, torch.zeros(1, 4)) == ["a", "b"]
        with pytest.raises(CompressionError, match="built in torch"):
            Surgery(Returning(lambda y, _: y), torch.zeros(1, 4))
