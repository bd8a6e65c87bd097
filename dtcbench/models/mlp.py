"""Fully connected networks."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from dtcbench.models.shapes import Size
from dtcbench.registry import register_model


@register_model("mlp")
def mlp(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    generator: torch.Generator,
    widths: Annotated[Sequence[Size], Field(min_length=1)] = (512,),
    bias: bool = True,
) -> nn.Sequential:
    """Flatten, then Linear and ReLU per hidden width, then a Linear to the logits.

    Initialised as torch's Linear is (uniform within ±1/√fan_in, weights and biases), but from
    `generator`, first layer first. Sizes: input_shape without the batch axis.
    """
    sizes = [math.prod(input_shape), *widths, num_classes]
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for depth, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = depth == len(widths)
        layers["output" if last else f"hidden{depth}"] = _linear(fan_in, fan_out, bias, generator)
        if not last:
            layers[f"relu{depth}"] = nn.ReLU()
    return nn.Sequential(layers)


def _linear(fan_in: int, fan_out: int, bias: bool, generator: torch.Generator) -> nn.Linear:
    device = torch.get_default_device()  # which `skip_init` does not look at
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out, bias=bias, device=device)  # draws nothing
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
    return layer
