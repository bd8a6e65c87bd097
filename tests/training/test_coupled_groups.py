"""Groups of several producers and consumers: a cut network is the one whose units were silenced."""

import copy
import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import cell, choice, context
from coupled_networks import FAMILIES, IMAGE, Concatenated, Depthwise, Residual, SwiGLU, WithAuxiliary, samples
from torch import nn
from torch.nn.utils import parametrize, prune

from dtcbench import registry
from dtcbench.errors import CompressionError
from dtcbench.training import propagation, settings
from dtcbench.training.compressor import Compressor
from dtcbench.training.network_file import NetworkFile
from dtcbench.training.protocols import trained
from dtcbench.training.surgery import Surgery

GROUPS = [(build, shape, name) for build, (shape, widths) in FAMILIES.items() for name in widths]


def built(build):
    torch.manual_seed(0)
    network = build().double()
    for module in network.modules():  # statistics that a cut at the wrong place would show
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias)
    return network.eval()


def group_of(network, shape, name):
    surgery = Surgery(network, samples(shape, 1), "coupled")
    return surgery, next(group for group in surgery.groups if group.name == name)


def kept_of(group):
    return np.random.default_rng(0).permutation(group.width)[: max(1, group.width // 2)]


@pytest.mark.parametrize(("build", "shape", "widths"), [(build, *found) for build, found in FAMILIES.items()])
def test_every_family_has_its_groups(build, shape, widths):
    surgery = Surgery(built(build), samples(shape, 1), "coupled")
    assert {group.name: group.width for group in surgery.groups} == widths
    assert surgery.refused == {}


@pytest.mark.parametrize(("build", "shape", "name"), GROUPS)
def test_a_cut_network_is_the_one_whose_units_were_silenced(build, shape, name):
    smaller, silenced, x = built(build), built(build), samples(shape, 3)
    surgery, group = group_of(smaller, shape, name)
    _, whole = group_of(silenced, shape, name)
    kept = kept_of(group)
    whole.silence(np.setdiff1d(np.arange(group.width), kept))
    assert (silenced(x) - built(build)(x)).abs().max() > 1e-3
    surgery.shrink(group, kept, None)
    for network in (smaller, silenced):
        network.eval()
    assert (smaller(x) - silenced(x)).abs().max() < 1e-9
    assert group.w_in.shape[0] == group.w_out.shape[1] == group.width == len(kept)


@pytest.mark.parametrize(("build", "shape", "name"), GROUPS)
def test_a_cut_network_trains_on_with_its_optimisers_state_and_is_stored(build, shape, name):
    network, x = built(build), samples(shape, 3)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)

    def step():
        optimizer.zero_grad()
        network.train()(x).square().sum().backward()
        optimizer.step()

    step()
    surgery, group = group_of(network, shape, name)
    kept = kept_of(group)
    for parameter in network.parameters():
        optimizer.state[parameter]["exp_avg"].copy_(parameter)
    surgery.cut({name: kept}, optimizer)
    for parameter in network.parameters():
        assert torch.equal(optimizer.state[parameter]["exp_avg"], parameter)
    held = {id(parameter) for parameters in optimizer.param_groups for parameter in parameters["params"]}
    assert held == {id(parameter) for parameter in network.parameters()}
    before = [parameter.detach().clone() for parameter in network.parameters()]
    step()
    assert all(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))

    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    read = built(build)
    Surgery(read, samples(shape, 1), "coupled").cut({name: kept}, None)
    read.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(read.eval()(x), network.eval()(x))


class Doubling(nn.Module):
    def forward(self, weight):
        return 2 * weight


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["0", "2", "4"])
@pytest.mark.parametrize(
    "compute",
    [
        lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
        lambda layer: parametrize.register_parametrization(layer, "weight", Doubling()),
    ],
    ids=["prune", "parametrize"],
)
def test_a_layer_whose_weight_is_computed_is_cut_as_others_are(compute, name, bias):
    def computing():
        torch.manual_seed(0)
        layers = [nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 8, bias=bias), nn.ReLU(), nn.Linear(8, 9), nn.Linear(9, 3)]
        compute(layers[2])
        return nn.Sequential(*layers).double()

    smaller, silenced, x = computing(), computing(), samples((6,), 3)
    surgery = Surgery(smaller, x[:1], "coupled")
    group, whole = (
        next(group for group in found.groups if group.name.partition(".")[0] == name)
        for found in (surgery, Surgery(silenced, x[:1], "coupled"))
    )
    kept = kept_of(group)
    whole.silence(np.setdiff1d(np.arange(group.width), kept))
    surgery.shrink(group, kept, None)
    assert len(kept) == group.width < whole.width
    assert (smaller(x) - silenced(x)).abs().max() < 1e-9
    linear = [layer for layer in smaller if isinstance(layer, nn.Linear)]
    assert [(layer.out_features, layer.in_features) for layer in linear] == [layer.weight.shape for layer in linear]


def test_the_projections_of_a_gate_sum_over_both_its_producers():
    network = built(SwiGLU)
    _, group = group_of(network, (5, 6), "gate")
    assert group.producers == ["gate", "up"]
    assert group.consumers == ["down"]
    incoming = network.gate.weight.sum(1) + network.up.weight.sum(1)
    np.testing.assert_allclose(group.w_in.sum(1), incoming.detach())
    np.testing.assert_allclose(group.w_out.sum(0), network.down.weight.detach().sum(0))


def test_the_projections_of_a_stream_sum_over_all_that_write_and_read_it():
    network = built(Residual)
    _, group = group_of(network, IMAGE, "stem")
    assert (group.producers, group.consumers) == (["stem", "outer"], ["inner", "last"])
    incoming = network.stem.weight.sum((1, 2, 3)) + network.outer.weight.sum((1, 2, 3))
    outgoing = network.inner.weight.sum((0, 2, 3)) + network.last.weight.sum((0, 2, 3))
    np.testing.assert_allclose(group.w_in.sum(1), incoming.detach())
    np.testing.assert_allclose(group.w_out.sum(0), outgoing.detach())


def test_a_depthwise_kernel_belongs_to_its_channel_and_is_not_read():
    _, group = group_of(built(Depthwise), IMAGE, "expand")
    assert group.producers == ["expand", "excite"]
    assert group.consumers == ["squeeze", "project"]
    assert "depthwise.weight" in {name for (name, _), _ in group.places}


@pytest.mark.parametrize("build", [Residual, Concatenated, Depthwise])
def test_torch_pruning_cuts_the_same_weights(build):
    tp = pytest.importorskip("torch_pruning")
    ours, theirs = built(build), built(build)
    surgery, group = group_of(ours, IMAGE, next(iter(FAMILIES[build][1])))
    kept = np.sort(kept_of(group))
    removed = np.setdiff1d(np.arange(group.width), kept).tolist()
    graph = tp.DependencyGraph().build_dependency(theirs, samples(IMAGE, 1))
    layer = theirs.get_submodule(group.name)
    graph.get_pruning_group(layer, tp.prune_conv_out_channels, removed).prune()
    surgery.shrink(group, kept, None)
    expected = theirs.state_dict()
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def normalised(norm):
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), norm, nn.Linear(8, 3)).double()


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.RMSNorm(8), nn.Softmax(-1)], ids=lambda norm: type(norm).__name__)
def test_a_width_that_is_normalised_over_is_approximate_and_goes_only_if_asked_for(norm):
    network, example = normalised(norm), samples((6,), 1)
    assert Surgery(network, example, "simple").groups == Surgery(network, example, "coupled").groups == []
    (group,) = Surgery(network, example, "approximate").groups
    assert group.width == 8
    assert not group.is_simple
    assert re.match("normalised|reduced by mean", group.approximate)
    with pytest.raises(CompressionError, match="of kind coupled; give groups='approximate', and see"):
        Compressor(network, example, "magnitude", groups="coupled")
    compressor = Compressor(network, example, "magnitude", groups="approximate")
    compressor.compress(0.5)
    assert network[0].out_features == network[3].in_features == 4
    assert network(samples((6,), 5)).shape == (5, 3)


class HardCoded(nn.Module):
    """Heads whose number stands in its code, in each of its layers."""

    def __init__(self, layers=1):
        super().__init__()
        self.mixes = nn.ModuleList(nn.Linear(6, 12) for _ in range(layers))
        self.backs = nn.ModuleList(nn.Linear(12, 6) for _ in range(layers))

    def forward(self, x):
        for mix, back in zip(self.mixes, self.backs, strict=True):
            x = back(mix(x).view(len(x), 3, 4).cumsum(2).flatten(1))
        return x


def test_a_group_that_cannot_be_cut_is_refused_by_its_name():
    surgery = Surgery(HardCoded(), torch.zeros(1, 6), "approximate")
    assert surgery.groups == []
    assert list(surgery.refused) == ["mixes.0"]
    with pytest.raises(CompressionError, match=r"no prunable group of kind approximate; group mixes\.0: "):
        Compressor(HardCoded(), torch.zeros(1, 6), "magnitude", groups="approximate")


def test_the_search_for_what_a_cut_must_change_is_short_however_deep_the_network(monkeypatch):
    traced = []
    monkeypatch.setattr(
        settings.Trials,
        "_failure",
        lambda self, groups, plain=settings.Trials._failure: traced.append(groups) or plain(self, groups),
    )
    surgery = Surgery(HardCoded(30), torch.zeros(1, 6), "approximate")
    assert len([name for name in surgery.refused if name.startswith("mixes")]) == 30
    assert len(traced) < 2 * 60 + 2 * settings._MOST_TRIALS


def test_a_pass_that_never_ends_is_refused(monkeypatch):
    class Endless(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.output = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x):
            while True:
                x = x + 1

    monkeypatch.setattr(propagation, "_MOST_OPERATIONS", 1000)
    with pytest.raises(CompressionError, match="a forward pass of more than 1000 operations is not followed"):
        Surgery(Endless(), torch.zeros(1, 6))


class Scaled(nn.Module):
    """Divides its hidden values by the root of their number."""

    def __init__(self, scale):
        super().__init__()
        self.hidden, self.output, self.width, self.scale = nn.Linear(6, 8), nn.Linear(8, 3), 8, scale

    def forward(self, x):
        hidden = torch.relu(self.hidden(x))
        return self.output(hidden / self.scale(self, hidden))


@pytest.mark.parametrize(
    ("scale", "names"),
    [
        (lambda network, hidden: math.sqrt(network.width), ["hidden"]),
        (lambda network, hidden: math.sqrt(hidden.shape[1]), []),
        (lambda network, hidden: hidden.shape[1], []),
        (lambda network, hidden: torch.tensor(float(hidden.shape[1])).sqrt(), []),
    ],
)
def test_a_network_that_computes_with_its_width_at_the_time_has_no_group_there(scale, names):
    surgery = Surgery(Scaled(scale), torch.zeros(1, 6), "coupled")
    assert [group.name for group in surgery.groups] == names
    assert ("cut smaller, it computes something else" in surgery.refused.values()) == (not names)


def test_a_head_that_is_there_in_training_alone_reads_what_is_left():
    network = built(WithAuxiliary)
    surgery, group = group_of(network, (6,), "hidden")
    assert group.consumers == ["more", "auxiliary"]
    surgery.shrink(group, np.array([1, 2]), None)
    assert network.auxiliary.in_features == 2
    network.train()(samples((6,), 4)).sum().backward()


def test_the_network_that_is_looked_at_stays_as_it_was():
    network = built(Depthwise).train()
    network.norm1.eval()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    state = torch.get_rng_state()
    Surgery(network, samples(IMAGE, 1), "approximate")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.device.type == "cpu" for parameter in network.parameters())


@pytest.mark.parametrize("method", ["dtc", "random", "dense-matched", "scratch"])
def test_a_cell_with_coupled_groups_trains_to_its_end_and_is_rebuilt_from_its_file(method):
    planned = replace(
        cell(method),
        model=choice(registry.models, "resnet-20", width=4),
        method=choice(registry.methods, method, groups="coupled"),
    )
    work = context(planned)
    _, compressor = trained(work)
    assert {"conv", "block1.conv1"} < set(
        compressor.original_widths
    )  # the stream of the first stage, and a block's own
    wanted = 2 if method != "dense-matched" else 4
    assert {group.width for group in compressor.groups if group.name in ("conv", "block1.conv1")} == {wanted}
    file = NetworkFile.of(planned, work.splits.input_shape, work.splits.num_classes, compressor)
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(NetworkFile.read(file.content()).network()(x), compressor.model.eval()(x))
