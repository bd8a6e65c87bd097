"""The networks of torchvision."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from dtcbench.errors import UserError
from dtcbench.models.packages import (
    Arguments,
    Package,
    Pixels,
    constructed,
    fit_images,
    fitted_shape,
    give_logits,
    needs,
    refuse_arguments,
    refuse_unknown,
)
from dtcbench.registry import register_model

TORCHVISION = Package("torchvision", {"architecture": "resnet18"})
_TAKEN = ("weights", "weights_backbone", "progress", "num_classes", "image_size", "input_size")


@register_model("torchvision")
@needs(TORCHVISION)
def torchvision(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    generator: torch.Generator,
    architecture: str = "",
    arguments: Arguments = {},  # noqa: B006 - never changed
    size: Pixels = 0,
) -> nn.Module:
    """A classifier of torchvision, such as `{name: torchvision, architecture: resnet18}`.

    [b, C, H, W] -> [b, num_classes]; UserError for samples that are not images of one or three channels.
    torchvision's networks take three: a grey image is repeated.

    Parameters
    ----------
    architecture : a name of `torchvision.models.list_models(module=torchvision.models)`
    arguments : of its constructor, beside the number of classes and the size of the images
    size : pixels a side that images are brought to (bilinear) before the network sees them; 0 leaves them
    """
    models = TORCHVISION.module().models
    refuse_unknown("torchvision", architecture, models.list_models(module=models))
    refuse_arguments("torchvision", arguments, _TAKEN)
    channels, *sides = fitted_shape("torchvision", input_shape, size)
    if channels not in (1, 3):
        raise UserError(f"model torchvision: images of {channels} channels; choose images of 1 or 3, or model timm")
    given: dict[str, Any] = {**arguments, "num_classes": num_classes}
    if architecture.startswith("vit_"):
        given["image_size"] = sides[0]
    elif architecture.startswith("maxvit_"):
        given["input_size"] = tuple(sides)
    network = constructed(partial(models.get_model, architecture, weights=None, **given), generator)
    fit_images(network, size, repeats=3 // channels)
    give_logits(network)
    return network
