"""Residual networks for CIFAR."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from dtcbench.models.initialisation import Chain, drawn, kaiming_normal
from dtcbench.models.shapes import Size, image_shape
from dtcbench.registry import register_model


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut without parameters (option A).

    The inner width, between the convolutions, can be pruned; the residual stream stays whole.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.stride = 1 if c_in == c_out else 2
        self.added_channels = c_out - c_in
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.relu2 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, c_in, H, W] -> [b, c_out, ⌈H/stride⌉, ⌈W/stride⌉]."""
        change = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added_channels))
        out: torch.Tensor = self.relu2(change + shortcut)
        return out


def _resnet(
    name: str, depth: int, input_shape: tuple[int, ...], num_classes: int, generator: torch.Generator, width: int
) -> Chain:
    image = image_shape(name, input_shape)
    return drawn(partial(_make, image, (depth - 2) // 6, num_classes, width), generator)


def _make(image: tuple[int, int, int], blocks: int, num_classes: int, width: int) -> Chain:
    channels, *sides = image
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(channels, width, 3, padding=1, bias=False), bn=nn.BatchNorm2d(width), relu=nn.ReLU()
    )
    c_in = width
    for number in range(3 * blocks):
        c_out = width * 2 ** (number // blocks)
        layers[f"block{number + 1}"] = ResidualBlock(c_in, c_out)
        c_in = c_out
    # The mean over what two halvings leave; adaptive pooling is not deterministic on CUDA.
    layers["pool"] = nn.AvgPool2d(((sides[0] + 3) // 4, (sides[1] + 3) // 4))
    layers["flatten"] = nn.Flatten()
    layers["output"] = nn.Linear(c_in, num_classes)
    return Chain(layers, kaiming_normal)


@register_model("resnet-20")
def resnet_20(input_shape: tuple[int, ...], num_classes: int, *, generator: torch.Generator, width: Size = 16) -> Chain:
    """ResNet-20 for CIFAR: nine residual blocks of width, 2·width and 4·width channels.

    [b, C, H, W] of any size -> [b, num_classes]; UserError for samples that are not images. Architecture: He et al.
    2016, §4.2, shortcuts of option A (every second pixel, zero channels added at the end). Initialisation: He et
    al. 2015, normal by fan-out; batch norm 1 and 0.

    Dense accuracy on CIFAR-10 in the literature: 91.25 % (He et al. 2016, Table 6, error 8.75 %, 0.27 M parameters;
    SGD of 64 k steps, weight decay, crops and flips).
    """
    return _resnet("resnet-20", 20, input_shape, num_classes, generator, width)


@register_model("resnet-56")
def resnet_56(input_shape: tuple[int, ...], num_classes: int, *, generator: torch.Generator, width: Size = 16) -> Chain:
    """ResNet-56 for CIFAR: 27 residual blocks of width, 2·width and 4·width channels.

    Otherwise as resnet-20. Dense accuracy on CIFAR-10 in the literature: 93.03 % (He et al. 2016, Table 6, error
    6.97 %, 0.85 M parameters; trained as their ResNet-20).
    """
    return _resnet("resnet-56", 56, input_shape, num_classes, generator, width)
