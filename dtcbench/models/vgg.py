"""VGG for CIFAR."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from dtcbench.errors import UserError
from dtcbench.models.initialisation import Chain, drawn, kaiming_normal
from dtcbench.models.shapes import Size, image_shape
from dtcbench.registry import register_model

_STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""(channels as a multiple of the base width, convolutions) between two poolings: configuration D."""
_SMALLEST = 2 ** (len(_STAGES) - 1)


@register_model("vgg-16")
def vgg_16(input_shape: tuple[int, ...], num_classes: int, *, generator: torch.Generator, width: Size = 64) -> Chain:
    """VGG-16 for CIFAR: thirteen 3×3 convolutions with batch norm, one linear classifier.

    [b, C, H, W] -> [b, num_classes]; UserError for samples that are not images or below 16 pixels a side.
    Architecture: Simonyan & Zisserman 2015, Table 1, configuration D, as the compression literature uses it on
    CIFAR: batch norm in place of biases, four max-poolings, then the mean over the remaining pixels and one Linear
    (Liu et al. 2017, Network Slimming). `width` is the first stage's. Initialisation: He et al. 2015, normal by
    fan-out; batch norm 1 and 0.

    Dense accuracy on CIFAR-10 in the literature: 93.25 % with one more hidden layer of 512 (Li et al. 2017, Pruning
    Filters, Table 1, error 6.75 %, 15 M parameters); 92.64 % with one Linear (github.com/kuangliu/pytorch-cifar).
    """
    image = image_shape("vgg-16", input_shape)
    if min(image[1:]) < _SMALLEST:
        raise UserError(
            f"vgg-16: images of {image[1]}×{image[2]} are too small for four poolings; the smallest are "
            f"{_SMALLEST}×{_SMALLEST}; choose larger images, or resnet-20, which takes any size"
        )
    return drawn(partial(_make, image, num_classes, width), generator)


def _make(image: tuple[int, int, int], num_classes: int, width: int) -> Chain:
    c_in, *sides = image
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, (multiple, convolutions) in enumerate(_STAGES, 1):
        if stage > 1:
            layers[f"pool{stage - 1}"] = nn.MaxPool2d(2)
        for place in range(1, convolutions + 1):
            layers[f"conv{stage}_{place}"] = nn.Conv2d(c_in, multiple * width, 3, padding=1, bias=False)
            layers[f"bn{stage}_{place}"] = nn.BatchNorm2d(multiple * width)
            layers[f"relu{stage}_{place}"] = nn.ReLU()
            c_in = multiple * width
    # The mean over the remaining pixels; adaptive pooling is not deterministic on CUDA.
    layers["mean"] = nn.AvgPool2d((sides[0] // _SMALLEST, sides[1] // _SMALLEST))
    layers["flatten"] = nn.Flatten()
    layers["output"] = nn.Linear(c_in, num_classes)
    return Chain(layers, kaiming_normal)
