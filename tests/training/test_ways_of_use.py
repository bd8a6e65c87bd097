"""Using a cell's final network: which networks run, how windows are filled, and what leaves the result alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import cell, choice, context, published_cell
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dtcbench import registry
from dtcbench.plan.metering import Using
from dtcbench.training.compressor import Compressor
from dtcbench.training.determinism import torch_generator
from dtcbench.training.network import build
from dtcbench.training.rounding import rounded, rounded_width
from dtcbench.training.use import Stopwatch, used
from dtcbench.unavailable import Unavailable


class Device:
    """A device that queues passes, each of `pass_s` seconds, and a clock that moves while it is waited for."""

    def __init__(self, pass_s, first_s=0.0):
        self.now_s, self.queued_s, self.pass_s, self.first_s, self.passes = 100.0, 0.0, pass_s, first_s, 0
        self.waits = 0

    def take(self, *_):
        self.queued_s += self.pass_s + (0 if self.passes else self.first_s)
        self.passes += 1

    def synchronize(self):
        self.now_s, self.queued_s = self.now_s + self.queued_s, 0.0
        self.waits += 1

    def stopwatch(self, **using):
        return Stopwatch(Using(**{"window": "1s", **using}), self.synchronize, lambda: self.now_s)


def final(model, groups="simple", sparsity=0.6, **options):
    """The context of a cell, and its network after a compression; batch norms have statistics."""
    the_cell = replace(
        cell("random"),
        model=choice(registry.models, model, **options),
        method=choice(registry.methods, "random", groups=groups),
    )
    the_context = context(the_cell)
    network = build(the_cell.model, (1, 8, 8), 10, torch_generator(0, "init"))
    network.train()(the_context.test.first(64).x)
    compressor = Compressor(network, the_context.example, "random", groups=groups, seed=0)
    compressor.compress(sparsity)
    return the_context, compressor


@pytest.mark.parametrize(
    ("model", "groups", "options", "widths"),
    [
        ("mlp", "simple", {"widths": [37, 21]}, [(16, 64), (8, 16)]),
        ("lenet-5", "simple", {"padding": 4}, [(6, 1, 5, 5), (8, 6, 5, 5)]),  # six channels at first, and no more
        ("resnet-20", "coupled", {}, [(8, 1, 3, 3), (8, 8, 3, 3)]),
    ],
)
def test_rounded_widths_are_multiples_of_8_and_the_network_computes_the_same(model, groups, options, widths):
    the_context, compressor = final(model, groups, **options)
    x = the_context.test.first(32).x
    wide = rounded(the_context, compressor)
    weights = [one for one in wide.parameters() if one.ndim > 1]
    assert [tuple(one.shape) for one in weights[:2]] == widths
    with torch.no_grad():
        torch.testing.assert_close(wide.eval()(x), compressor.model.eval()(x), rtol=0, atol=1e-5)


def test_a_network_whose_widths_are_multiples_is_not_measured_twice():
    the_context, compressor = final("mlp", widths=[40], sparsity=0.6)
    assert "this is the network as it was pruned" in rounded(the_context, compressor).reason
    dense = Compressor(compressor.model, the_context.example, "dense")
    assert isinstance(rounded(the_context, dense), Unavailable)


@pytest.mark.parametrize(
    ("width", "entries", "most", "padded"),
    [(9, 1, 100, 16), (16, 1, 100, 16), (9, 1, 12, 12), (3, 64, 8, 3), (3, 12, 8, 4), (1, 4, 8, 2)],
)
def test_what_counts_is_the_length_of_an_axis_so_heads_are_rounded_less(width, entries, most, padded):
    assert rounded_width(width, entries, most) == padded


def test_windows_hold_the_same_passes_and_wait_for_the_device_at_their_ends_alone():
    device = Device(pass_s=0.25)
    ran = device.stopwatch(window="10s", windows=7).time(device.take)
    assert ran.passes == 40
    assert [window.seconds for window in ran.windows] == [10.0] * 7
    assert ran.latencies_s == (0.25,) * 7
    before = 3 + 1 + 2 + 4 + 8 + 16  # first ones; the pilot's, until it took a quarter of a window
    assert device.passes == before + 7 * (40 + 4)
    assert device.waits < device.passes


def test_a_slow_first_pass_does_not_shorten_the_windows():
    device = Device(pass_s=0.001, first_s=5.0)
    device.synchronize()
    ran = device.stopwatch().time(device.take)
    assert ran.passes == pytest.approx(1000, abs=1)


def test_a_pass_longer_than_a_window_is_one_window():
    ran = Device(pass_s=3.0)
    assert ran.stopwatch().time(ran.take).passes == 1


def test_every_way_is_there_in_order_and_graphs_have_a_reason_on_the_cpu():
    the_context, compressor = final("mlp", widths=[37, 21])
    clock = iter(np.arange(0.0, 1e4, 0.25))
    stopwatch = Stopwatch(Using(batch_sizes=[1, 300], window="0.5s"), lambda: None, lambda: float(next(clock)))
    ways = list(used(the_context, compressor, stopwatch))
    assert [(w.widths, w.mode, w.batch_size) for w in ways] == [
        (widths, mode, size)
        for widths in ("pruned", "rounded")
        for mode in ("eager", "cuda-graph")
        for size in (1, 300)
    ]
    for one in ways:
        assert isinstance(one.ran, Unavailable) == (one.mode == "cuda-graph")
        if one.mode == "cuda-graph":
            assert one.ran.reason == "the network ran on the CPU, which has no CUDA graphs"
    assert ways[0].flops < ways[-1].flops


class Choosy(nn.Module):
    """A layer that refuses large batches, as a device that is full."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, set()

    def forward(self, x):
        self.seen.add((len(x), self.training, torch.is_grad_enabled()))
        if len(x) > 100:
            raise torch.OutOfMemoryError("tried to allocate 2.00 GiB")
        return self.inner(x)


def test_a_batch_too_large_takes_no_other_way_with_it_and_networks_are_evaluated():
    the_context, compressor = final("mlp", widths=[37, 21])
    compressor.model = choosy = Choosy(compressor.model)
    clock = iter(np.arange(0.0, 1e4, 0.25))
    stopwatch = Stopwatch(Using(batch_sizes=[1, 300], window="0.5s"), lambda: None, lambda: float(next(clock)))
    ran = [way.ran for way in used(the_context, compressor, stopwatch) if (way.widths, way.mode) == ("pruned", "eager")]
    assert not isinstance(ran[0], Unavailable)
    assert ran[1].reason == "OutOfMemoryError: tried to allocate 2.00 GiB"
    assert choosy.seen >= {(1, False, False), (300, False, False)}


class Conversions(TorchDispatchMode):
    """Counts how often a tensor of this shape is converted to bfloat16."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        options = kwargs or {}
        is_conversion = any(one is torch.bfloat16 for one in (*args, *options.values()))
        self.count += is_conversion and args[0].shape == self.shape
        return function(*args, **options)


@pytest.mark.parametrize(
    ("protocol", "expected", "conversions"),
    [
        (cell().protocol, (torch.float32, False), 0),
        (published_cell("random").protocol, (torch.float32, False), 0),
        (cell(precision="tf32").protocol, (torch.float32, True), 0),
        (cell(precision="bf16").protocol, (torch.bfloat16, False), 2),  # one for each batch size
    ],
    ids=["float32", "published", "tf32", "bf16"],
)
def test_passes_are_in_the_protocol_s_precision_and_weights_are_converted_once(protocol, expected, conversions):
    def tf32():
        return torch.backends.cuda.matmul.allow_tf32

    the_context, compressor = final("mlp", widths=[37, 21])
    the_context = replace(the_context, cell=replace(the_context.cell, protocol=protocol))
    computed = set()

    def look(layer, given, output):
        if output.device.type == "cpu":  # FLOPs are counted on a copy
            computed.add((output.dtype, tf32()))

    layer = next(one for one in compressor.model.modules() if isinstance(one, nn.Linear))
    layer.register_forward_hook(look)
    clock = iter(np.arange(0.0, 1e4, 0.25))
    stopwatch = Stopwatch(Using(batch_sizes=[1, 300], window="0.5s"), lambda: None, lambda: float(next(clock)))
    with Conversions(layer.weight.shape) as seen:
        ran = [way.ran for way in used(the_context, compressor, stopwatch) if way.mode == "eager"]
    assert not any(isinstance(one, Unavailable) for one in ran)
    assert (computed, seen.count) == ({expected}, conversions)
    assert (tf32(), torch.is_autocast_enabled("cpu")) == (False, False)
