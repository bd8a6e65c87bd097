"""New weights for a network of present widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from dtcbench.errors import CompressionError
from dtcbench.training.randomness import torch_generator


def draw_anew(model: nn.Module, seed: int) -> None:
    """Draw every parameter anew by torch's convention, `reset_parameters`, of the outermost modules that have it.

    Drawn on the CPU, so that a seed means the same weights on every device. CompressionError names a
    parameter that no module draws.
    """
    device = next(model.parameters()).device
    model.cpu()
    drawn: set[nn.Parameter] = set()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_generator(seed, "scratch").initial_seed())  # not CUDA's
        for module, reset in _drawing(model):
            reset()
            drawn.update(module.parameters())
    for name, parameter in model.named_parameters():
        if parameter not in drawn:
            raise CompressionError(f"parameter {name} is drawn by no module; give its module a `reset_parameters`")
    model.to(device)


def _drawing(module: nn.Module) -> Iterator[tuple[nn.Module, Callable[[], Any]]]:
    """The outermost modules that draw their parameters, and their means to."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        yield module, reset
    else:
        for child in module.children():
            yield from _drawing(child)
