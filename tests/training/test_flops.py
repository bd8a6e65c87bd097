import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from cells import OWN_MODELS
from torch import nn
from torch.nn import functional

from dtcbench import registry
from dtcbench.errors import CompressionError
from dtcbench.models.mlp import mlp
from dtcbench.training import flops
from dtcbench.training.flops import inference_flops, training_flops
from dtcbench.training.free_widths import FlopsOfWidths
from dtcbench.training.surgery import Surgery

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


@pytest.mark.parametrize("name", OWN_MODELS)
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


REGISTERED = {
    "gpt-nano": (511_561_728, 170_520_576),
    "lenet-300-100": (3_872_400, 1_905_200),
    "lenet-5": (4_397_040, 1_772_880),
    "mlp": (6_322_176, 3_155_968),
    "resnet-20": (242_421_504, 81_102_080),
    "resnet-56": (752_029_440, 250_971_392),
    "vgg-16": (1_875_671_040, 626_403_328),
    "vit-tiny": (2_154_048_768, 718_409_472),
}
"""FLOPs of training and of inference, as the records of shipped suites have them."""


@pytest.mark.parametrize("name", OWN_MODELS)
def test_training_costs_thrice_the_forward_pass_but_for_the_gradient_of_the_samples(name):
    shape, dtype = ((8,), torch.int64) if name.startswith("gpt") else ((3, 32, 32), torch.float32)
    with torch.device("meta"):
        network = registry.models.bind(name, {})(shape, 10, generator=torch.Generator("cpu"))
        example = torch.zeros(1, *shape, dtype=dtype)
    training, forward = training_flops(network, example), inference_flops(network, example)
    first = FlopsOfWidths(Surgery(network, example).products[:1], [])({}) if dtype.is_floating_point else 0
    assert training == 3 * forward - first
    assert (training, forward) == REGISTERED[name]


CONVOLUTIONS = {
    "1d": lambda **options: nn.Conv1d(4, 8, 3, **options),
    "2d": lambda **options: nn.Conv2d(4, 8, (3, 2), **options),
    "3d": lambda **options: nn.Conv3d(4, 8, 2, **options),
    "transposed 1d": lambda **options: nn.ConvTranspose1d(4, 8, 3, **options),
    "transposed 2d": lambda **options: nn.ConvTranspose2d(4, 8, (3, 2), **options),
    "transposed 3d": lambda **options: nn.ConvTranspose3d(4, 8, 2, **options),
}


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("settings", [{}, {"stride": 2}, {"dilation": 2}], ids=["plain", "stride", "dilation"])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_convolution_multiplies_and_adds_as_often_as_ones_sum_up_to(kind, settings, groups):
    """Of ones, and without padding, a convolution's outputs are the numbers of its products."""
    layer = CONVOLUTIONS[kind](groups=groups, bias=False, **settings)
    nn.init.ones_(layer.weight)
    samples = torch.ones(1, 4, *(7, 6, 5)[: layer.weight.ndim - 2])
    products = int(layer(samples).sum())
    assert inference_flops(layer, samples) == 2 * products
    assert training_flops(layer, samples) == 2 * 2 * products  # the samples need no gradient
    assert training_flops(nn.Sequential(nn.PReLU(), layer), samples) == 3 * 2 * products
    layer.weight.requires_grad_(False)
    assert training_flops(nn.Sequential(nn.PReLU(), layer), samples) == 2 * 2 * products


@pytest.mark.parametrize(
    ("layer", "shape", "training"),
    [
        (nn.Conv1d(6, 8, 5, padding=2, stride=2), (1, 6, 20), 14_400),
        (nn.Conv2d(6, 8, 3, padding=1, dilation=2), (1, 6, 12, 10), 207_360),
        (nn.Conv3d(6, 8, 3, padding=1), (1, 6, 5, 4, 3), 466_560),
        (nn.ConvTranspose1d(6, 8, 5, padding=2, stride=2), (1, 6, 20), 28_800),
        (nn.ConvTranspose2d(6, 8, 3, padding=1, stride=2, output_padding=1), (1, 6, 5, 4), 51_840),
        (nn.ConvTranspose3d(6, 8, 3, padding=1), (1, 6, 5, 4, 3), 466_560),
    ],
    ids=["1d", "2d", "3d", "transposed 1d", "transposed 2d", "transposed 3d"],
)
def test_convolutions_without_groups_cost_what_torch_counts(layer, shape, training):
    """Padding counts as if it were samples."""
    assert training_flops(nn.Sequential(nn.PReLU(), layer), torch.zeros(shape)) == training


def test_a_depthwise_convolution_costs_its_own_kernels_alone():
    network = nn.Sequential(nn.Conv2d(64, 64, 1, bias=False), nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False))
    pointwise, depthwise = 2 * 64 * 64 * 8 * 8, 2 * 64 * 3 * 3 * 8 * 8
    assert training_flops(network, torch.zeros(1, 64, 8, 8)) == 2 * pointwise + 3 * depthwise == 1_269_760


def mobile(width):
    """A block of MobileNetV2: widened, filtered channel by channel, narrowed."""
    return nn.Sequential(
        *(nn.Conv2d(width, 6 * width, 1, bias=False), nn.BatchNorm2d(6 * width), nn.ReLU6()),
        *(nn.Conv2d(6 * width, 6 * width, 3, padding=1, groups=6 * width, bias=False), nn.BatchNorm2d(6 * width)),
        *(nn.ReLU6(), nn.Conv2d(6 * width, width, 1, bias=False), nn.BatchNorm2d(width)),
    )


def shuffled(width):
    """A block of ShuffleNet: convolutions in groups, their channels shuffled."""
    return nn.Sequential(
        *(nn.Conv2d(width, width, 1, groups=4), nn.ChannelShuffle(4)),
        *(nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Conv2d(width, width, 1, groups=4)),
    )


def decoder(width):
    """Upsampled by transposed convolutions in groups."""
    return nn.Sequential(
        *(nn.Conv2d(width, width, 3, groups=2), nn.ReLU()),
        *(nn.ConvTranspose2d(width, width, 4, stride=2, groups=8), nn.Conv2d(width, width, 1)),
    )


@pytest.mark.parametrize("block", [mobile, shuffled, decoder])
def test_so_it_does_with_convolutions_in_groups(block):
    first, example = nn.Conv2d(3, 16, 3), torch.zeros(1, 3, 9, 9)
    network = nn.Sequential(first, block(16))
    assert training_flops(network, example) == 3 * inference_flops(network, example) - inference_flops(first, example)


class Around(nn.Module):
    """Two layers, and whatever is odd between them."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.kept = {}

    def forward(self, x):
        return self.last(self.odd(self.norm(self.first(x))))

    def odd(self, hidden):
        return hidden


class Item(Around):
    def odd(self, hidden):
        return hidden * (1 + hidden.abs().max().item())


class Decides(Around):
    def odd(self, hidden):
        return hidden if hidden.sum() > 1e9 else hidden.relu()


class Converts(Around):
    def odd(self, hidden):
        return hidden * float(hidden.detach().cpu().numpy().var())


class Routes(Around):
    def odd(self, hidden):
        (chosen,) = (hidden[:, 0] == hidden[:, 0]).nonzero(as_tuple=True)
        return torch.zeros_like(hidden).index_add(0, chosen, hidden[chosen])


class Elsewhere(Around):
    def __init__(self):
        super().__init__()
        self.shift = torch.eye(6)  # no buffer: it stays where it is

    def odd(self, hidden):
        return hidden + functional.embedding(torch.arange(1), self.shift)


class Remembers(Around):
    def odd(self, hidden):
        self.kept["hidden"] = [hidden]
        return hidden


class RemembersAndLooks(Item):
    def odd(self, hidden):
        self.kept["hidden"] = hidden
        return super().odd(hidden)


class Draws(Item):
    def odd(self, hidden):
        return super().odd(hidden * random.random() * np.random.rand() * torch.rand(1))  # noqa: NPY002, S311


class Insists(Around):
    """As some networks do where they are evaluated."""

    def odd(self, hidden):
        if not torch.is_grad_enabled():
            assert hidden.device.type != "meta"
        return hidden


ODD = [Item, Decides, Converts, Routes, Elsewhere, Remembers, RemembersAndLooks, Draws, Insists]
FOUR = torch.zeros(1, 4)


@pytest.mark.parametrize("odd", ODD)
def test_networks_that_look_at_values_or_keep_what_they_computed_are_counted(odd):
    network = odd()
    network(torch.rand(5, 4))  # whatever it keeps, it keeps now
    for count in (training_flops, inference_flops):
        assert count(network, FOUR) == count(Around(), FOUR) > 0


@pytest.mark.parametrize("odd", ODD)
def test_counting_changes_nothing(odd):
    network = odd()
    network(torch.rand(5, 4)).sum().backward()
    network.norm.eval()

    def state():
        tensors = [*network.state_dict().values(), *(parameter.grad for parameter in network.parameters())]
        modes = [module.training for module in network.modules()]
        switches = (
            torch.backends.cudnn.enabled,
            torch.backends.mkldnn.enabled,
            torch.backends.mha.get_fastpath_enabled(),
        )
        drawn = torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
        return [tensor.tolist() for tensor in tensors], modes, switches, drawn, torch.is_grad_enabled()

    before, kept = state(), dict(network.kept)
    for count in (training_flops, inference_flops):
        count(network, FOUR)
    assert state() == before
    assert all(network.kept[name] is value for name, value in kept.items())


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_weight_norm_can_be_counted():
    plain = training_flops(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), FOUR)
    normed = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.utils.weight_norm(nn.Linear(4, 2)))
    normed(FOUR)
    assert training_flops(normed, FOUR) == plain


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.projected = nn.Linear(8, 24)

    def forward(self, x):
        query, key, value = self.projected(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)


class Looking(nn.Module):
    """The network in it, after a look at the samples."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        output = self.network(x + x.max().item())
        return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize(
    ("network", "forward"),
    [
        # Of five places: the projections, queries by keys, and attention by values.
        (Attention(), 2 * (5 * 8 * 24 + 2 * 2 * 5 * 5 * 4)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2 * (5 * (4 * 64 + 2 * 128) + 2 * 2 * 5 * 5 * 4)),
        (nn.LSTM(8, 6, batch_first=True), 2 * 5 * 4 * 6 * (8 + 6)),
        (nn.GRU(8, 6, batch_first=True), 2 * 5 * 3 * 6 * (8 + 6)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_fused_kernels_count_as_the_products_they_are(network, forward):
    example = torch.zeros(1, 5, 8)
    assert inference_flops(Looking(network), example) == forward
    assert 2 * forward <= training_flops(Looking(network), example) <= 3 * forward


def test_a_network_is_counted_for_inference_as_it_is_evaluated():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.helper = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.body(x) + self.helper(x) if self.training else self.body(x)

    assert inference_flops(Deep(), FOUR) == 2 * 4 * 3
    assert training_flops(Deep(), FOUR) == 2 * 2 * 2 * 4 * 3


@pytest.mark.parametrize("forward", [lambda x: x.argmax(-1), lambda x: x.detach()], ids=["argmax", "detach"])
def test_a_network_that_cannot_learn_is_refused(forward):
    class Blind(Around):
        def odd(self, hidden):
            return hidden

        def forward(self, x):
            return forward(super().forward(x))

    with pytest.raises(CompressionError, match="no gradient reaches its parameters; give forward an output"):
        training_flops(Blind(), FOUR)
