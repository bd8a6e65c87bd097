"""Using a cell's final network: forward passes in several ways of use, timed window by window.

docs/use.md explains the rules. The joules of the windows are the meter's (`energy/use.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TypeVar, get_args

import torch
from torch import nn

from dtcbench.energy.segments import Interval
from dtcbench.energy.use import Ran, Way
from dtcbench.plan.metering import Mode, Using
from dtcbench.plan.protocol import from_choice
from dtcbench.record import Widths
from dtcbench.text import error_line
from dtcbench.training.compressor import Compressor
from dtcbench.training.flops import inference_flops
from dtcbench.training.loop import computing_in
from dtcbench.training.rounding import rounded
from dtcbench.training.training_run import CellContext
from dtcbench.unavailable import Unavailable

NO_GRAPH = Unavailable("the network ran on the CPU, which has no CUDA graphs")
_FIRST_PASSES = 3
"""Passes before anything is timed: they load kernels and reserve memory."""
_PILOT_SHARE = 0.25
"""Of a window: how long the passes take that say how many passes a window has."""
_ALONE_SHARE = 0.1
"""Of a window's passes: how many are taken one by one beside it."""
Pass = Callable[[], object]
"""Takes one forward pass, which may still be queued on the device when this returns."""
Value = TypeVar("Value")


@dataclass(frozen=True)
class Stopwatch:
    """How windows are timed."""

    using: Using
    synchronize: Callable[[], None]
    """Waits until the device has finished its queued work."""
    clock: Callable[[], float] = time.monotonic
    """Seconds; the clock of the energy sampler."""

    def time(self, take: Pass) -> Ran:
        """Take passes until so many windows are full: in each, the passes one after another, then some one by one.

        The number of passes is the same in every window; a pilot before the first counts them, and warms the device.
        """
        for _ in range(_FIRST_PASSES):
            take()
        passes = 1
        while (pilot_s := self._in_a_row(take, passes).seconds) < _PILOT_SHARE * self.using.window:
            passes *= 2
        passes = math.ceil(passes * self.using.window / pilot_s)
        windows, latencies_s = [], []
        for _ in range(self.using.windows):
            windows.append(self._in_a_row(take, passes))
            latencies_s.append(self._alone(take, math.ceil(_ALONE_SHARE * passes)))
        return Ran(passes, tuple(windows), tuple(latencies_s))

    def _in_a_row(self, take: Pass, passes: int) -> Interval:
        self.synchronize()
        begin_s = self.clock()
        for _ in range(passes):
            take()
        self.synchronize()
        return Interval(begin_s, self.clock())

    def _alone(self, take: Pass, passes: int) -> float:
        """Seconds of one pass that is waited for, mean over so many."""
        begin_s = self.clock()
        for _ in range(passes):
            take()
            self.synchronize()
        return (self.clock() - begin_s) / passes


def used(context: CellContext, compressor: Compressor, stopwatch: Stopwatch) -> Iterator[Way]:
    """Use the cell's final network in every way: its widths, by the modes, by the batch sizes.

    A way that cannot be had has the reason in place of its numbers, and takes no other with it.
    """
    networks = {"pruned": compressor.model, "rounded": _tried(partial(rounded, context, compressor))}
    for widths, mode, size in product(get_args(Widths), get_args(Mode), stopwatch.using.batch_sizes):
        network = networks[widths]
        if isinstance(network, Unavailable):
            yield Way(widths, mode, size, network, network)
        else:
            flops = _tried(partial(inference_flops, network, context.example))
            yield Way(widths, mode, size, flops, _tried(partial(_ran, network, mode, size, context, stopwatch)))


def _ran(network: nn.Module, mode: Mode, size: int, context: CellContext, stopwatch: Stopwatch) -> Ran | Unavailable:
    """On the first test samples, again and again where there are fewer than the batch has.

    The protocol's precision holds for all passes together, so that autocast converts the weights once, before any is
    timed; in torch's inference mode it would convert them in every pass.
    """
    precision = from_choice(context.cell.protocol).precision
    with torch.no_grad(), computing_in(precision, context.example.device):
        x = context.test.take(torch.arange(size) % len(context.test)).x
        network.eval()
        if mode == "eager":
            return stopwatch.time(partial(network, x))
        return stopwatch.time(_captured(network, x)) if x.is_cuda else NO_GRAPH


def _captured(network: nn.Module, x: torch.Tensor) -> Pass:
    """The replay of a forward pass that was captured once, as torch's notes on CUDA graphs have it."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(_FIRST_PASSES):
            network(x)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(x)
    return graph.replay


def _tried(compute: Callable[[], Value | Unavailable]) -> Value | Unavailable:
    """Its value, or what it raised: too large a batch, a network that no graph can hold."""
    try:
        return compute()
    except Exception as error:
        return Unavailable(error_line(error))
