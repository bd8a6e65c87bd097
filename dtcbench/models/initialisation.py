"""How a network's parameters are drawn: when it is built, and again after it was made smaller.

Every network here but `mlp` has `reset_parameters(generator=None)`. It draws all weights anew from
their present shapes, in the order of the modules, by the network's own rule; biases become 0, norms 1
and 0, running statistics fresh. The numbers come from `generator`, or from torch's global one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import nn

Fill = Callable[[torch.Tensor, torch.Generator | None], object]
"""Fills one weight [fan_out, fan_in, …] in place with random numbers of the generator."""


class Resettable(Protocol):
    """A network that draws its own parameters."""

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all parameters anew from their present shapes."""

    def to_empty(self, *, device: str) -> object:
        """As nn.Module has it."""


Network = TypeVar("Network", bound=Resettable)


def drawn(make: Callable[[], Network], generator: torch.Generator) -> Network:
    """The network that `make` constructs, on torch's default device, its parameters drawn from `generator` alone."""
    with torch.device("meta"):  # torch's layers draw when they are made, from the global generator
        network = make()
    network.to_empty(device=str(torch.get_default_device()))
    network.reset_parameters(generator)
    return network


class Chain(nn.Sequential):
    """Layers in a row, and the rule for drawing their weights."""

    def __init__(self, layers: OrderedDict[str, nn.Module], fill: Fill) -> None:
        super().__init__(layers)
        self.fill = fill

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all parameters anew from their present shapes."""
        redraw(self, self.fill, generator)


def redraw(network: nn.Module, fill: Fill, generator: torch.Generator | None) -> None:
    """Fill all weights in the order of the modules; biases become 0, norms what torch makes them (1 and 0)."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            fill(module.weight, generator)
            bias = getattr(module, "bias", None)
            if bias is not None:
                nn.init.zeros_(bias)


def xavier_normal(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    """N(0, 2/(fan_in + fan_out)) (Glorot & Bengio 2010)."""
    nn.init.xavier_normal_(weight, generator=generator)


def kaiming_normal(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    """N(0, 2/fan_out) for convolutions, N(0, 2/fan_in) for the classifier (He et al. 2015, §2.2)."""
    convolution = weight.dim() == 4
    nn.init.kaiming_normal_(
        weight, mode="fan_out" if convolution else "fan_in", nonlinearity="relu", generator=generator
    )


def small_normal(weight: torch.Tensor, generator: torch.Generator | None) -> None:
    """N(0, 0.02²), as GPT-2; DeiT's truncated normal too, whose code truncates at ±2, a hundred deviations away."""
    nn.init.normal_(weight, std=0.02, generator=generator)
