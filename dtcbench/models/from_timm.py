"""The networks of timm."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch
from torch import nn

from dtcbench.models.packages import (
    Arguments,
    Package,
    Pixels,
    constructed,
    fit_images,
    fitted_shape,
    needs,
    refuse_arguments,
    refuse_unknown,
)
from dtcbench.registry import register_model

TIMM = Package(
    "timm",
    {
        "architecture": "vit_tiny_patch16_224",
        "arguments": {"patch_size": 4, "embed_dim": 48, "depth": 2, "num_heads": 3},
    },
)


@register_model("timm")
@needs(TIMM)
def timm(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    generator: torch.Generator,
    architecture: str = "",
    arguments: Arguments = {},  # noqa: B006 - never changed
    size: Pixels = 0,
) -> nn.Module:
    """A classifier of timm, such as `{name: timm, architecture: vit_tiny_patch16_224}`.

    [b, C, H, W] -> [b, num_classes]; UserError for samples that are not images. The network is built for the images'
    channels (timm's `in_chans`), and for their size (`img_size`) where the architecture has one fixed; its attention is
    written out, as fused kernels do not give the same bits everywhere.

    Parameters
    ----------
    architecture : a name of `timm.list_models()`
    arguments : of its constructor, such as `{patch_size: 4, depth: 6}`
    size : pixels a side that images are brought to (bilinear) before the network sees them; 0 leaves them
    """
    package = TIMM.module()
    refuse_unknown("timm", architecture, package.list_models())
    own = inspect.signature(package.create_model).parameters.keys() - {"model_name", "kwargs"}
    refuse_arguments("timm", arguments, {*own, "num_classes", "in_chans", "img_size"})
    channels, *sides = fitted_shape("timm", input_shape, size)
    given: dict[str, Any] = {**arguments, "num_classes": num_classes, "in_chans": channels}
    if package.get_pretrained_cfg(architecture).fixed_input_size:
        given["img_size"] = tuple(sides)
    network = constructed(partial(package.create_model, architecture, **given), generator)
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]
    fit_images(network, size)
    return network
