"""LeNet-300-100 and LeNet-5."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from dtcbench.errors import UserError
from dtcbench.models.initialisation import Chain, drawn, xavier_normal
from dtcbench.models.shapes import Size, image_shape
from dtcbench.registry import register_model

Layers = OrderedDict[str, nn.Module]


@register_model("lenet-300-100")
def lenet_300_100(input_shape: tuple[int, ...], num_classes: int, *, generator: torch.Generator) -> Chain:
    """LeNet-300-100: two hidden layers of 300 and 100 neurons.

    [b, C, H, W] -> [b, num_classes]; UserError for samples that are not images. Architecture: LeCun et al. 1998,
    §III-C, with ReLU. Initialisation: Glorot normal, as Frankle & Carbin 2019 (Figure 2) start this network.

    Dense accuracy on MNIST in the literature: 98.36 % (error 1.64 %: Han et al. 2015, Table 1, 267 K parameters);
    96.95 % in 1998 (error 3.05 %, undistorted training data: LeCun et al., Figure 9).
    """
    shape = image_shape("lenet-300-100", input_shape)

    def make() -> Chain:
        layers = Layers(flatten=nn.Flatten())
        return Chain(_with_classifier(layers, [math.prod(shape), 300, 100, num_classes]), xavier_normal)

    return drawn(make, generator)


@register_model("lenet-5")
def lenet_5(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    generator: torch.Generator,
    channels: Annotated[Sequence[Size], Field(min_length=2, max_length=2)] = (6, 16),
    widths: Annotated[Sequence[Size], Field(min_length=1)] = (120, 84),
    padding: Annotated[int, Field(ge=0)] = 2,
) -> Chain:
    """LeNet-5: two 5×5 convolutions, each pooled, then fully connected layers.

    [b, C, H, W] -> [b, num_classes]; UserError for samples that are not images or below 16 − 2·padding pixels a side.
    Architecture: LeCun et al. 1998, §II-B, in today's form: ReLU, max-pooling, every channel connected, linear
    outputs. `padding` is the first convolution's: 2 makes MNIST's 28×28 the 32×32 of the paper. Caffe's LeNet,
    which most of the compression literature calls LeNet-5 (431 K parameters), is
    `{channels: [20, 50], widths: [500], padding: 0}`. Initialisation: Glorot normal, as for lenet-300-100.

    Dense accuracy on MNIST in the literature: 99.05 % (error 0.95 %, undistorted: LeCun et al. 1998, Figure 9);
    Caffe's form 99.20 % (error 0.80 %: Han et al. 2015, Table 1).
    """
    depth, height, width = image_shape("lenet-5", input_shape)
    sides = [_pooled_twice(height, padding), _pooled_twice(width, padding)]
    if min(sides) < 1:
        smallest, remedy = 16 - 2 * padding, math.ceil((16 - min(height, width)) / 2)
        raise UserError(
            f"lenet-5: images of {height}×{width} are too small for padding {padding}; "
            f"the smallest are {smallest}×{smallest}; set padding to {remedy}"
        )

    def make() -> Chain:
        layers = Layers()
        for place, (c_in, c_out) in enumerate(itertools.pairwise([depth, *channels])):
            layers[f"conv{place}"] = nn.Conv2d(c_in, c_out, 5, padding=0 if place else padding)
            layers[f"relu{place}"] = nn.ReLU()
            layers[f"pool{place}"] = nn.MaxPool2d(2)
        layers["flatten"] = nn.Flatten()
        sizes = [channels[-1] * math.prod(sides), *widths, num_classes]
        return Chain(_with_classifier(layers, sizes), xavier_normal)

    return drawn(make, generator)


def _pooled_twice(side: int, padding: int) -> int:
    """Pixels left of a side after both convolutions and their poolings."""
    return ((side + 2 * padding - 4) // 2 - 4) // 2


def _with_classifier(layers: Layers, sizes: list[int]) -> Layers:
    """`layers`, then a Linear and a ReLU per hidden size, then a Linear to the logits."""
    for place, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes[:-1])):
        layers[f"hidden{place}"] = nn.Linear(fan_in, fan_out)
        layers[f"hidden_relu{place}"] = nn.ReLU()
    layers["output"] = nn.Linear(sizes[-2], sizes[-1])
    return layers
