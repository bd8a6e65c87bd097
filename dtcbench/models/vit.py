"""Vision transformers."""

from __future__ import annotations

import math

import torch
from torch import nn

from dtcbench.errors import UserError
from dtcbench.models.initialisation import drawn, redraw, small_normal
from dtcbench.models.shapes import Size, image_shape
from dtcbench.models.transformer import TransformerBlock, check_heads
from dtcbench.registry import register_model


class ViT(nn.Module):
    """Patches of an image, embedded with their positions, through transformer layers, to class logits."""

    # The positions are an embedding, not a bare parameter, so that whoever looks for what can be pruned
    # finds nothing but layers.

    def __init__(
        self, image: tuple[int, int, int], num_classes: int, patch: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        channels, *sides = image
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Embedding(math.prod(side // patch for side in sides), width)
        self.layers = nn.ModuleList(TransformerBlock(width, heads, bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, num_classes)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all parameters anew from their present shapes."""
        redraw(self, small_normal, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, C, H, W] -> [b, num_classes]."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)  # [b, T, width]
        tokens = tokens + self.positions(torch.arange(tokens.shape[1], device=x.device))
        for layer in self.layers:
            tokens = layer(tokens)
        out: torch.Tensor = self.output(self.norm(tokens).mean(1))
        return out


@register_model("vit-tiny")
def vit_tiny(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    generator: torch.Generator,
    patch: Size = 4,
    width: Size = 192,
    depth: Size = 12,
    heads: Size = 3,
) -> ViT:
    """ViT-Tiny for small images: a plain vision transformer over 4×4 patches.

    [b, C, H, W] -> [b, num_classes]; UserError for samples that are not images, a patch that does not divide the
    sides, heads that do not divide the width. Architecture: Dosovitskiy et al. 2021, in the sizes of DeiT-Ti
    (Touvron et al. 2021, Table 1); the mean over all tokens in place of a class token (Beyer et al. 2022). The
    feed-forward widths can be pruned, attention stays whole. Initialisation: normal of 0.02 in every weight, biases 0.

    Dense accuracy on CIFAR-10 in the literature, from scratch and for other sizes: 91.01 % (7 layers of 384,
    6.3 M parameters, 200 epochs with AutoAugment: github.com/omihub777/ViT-CIFAR); 80 % after 200 epochs and 88 %
    after 500 (patch 4: github.com/kentaroy47/vision-transformers-cifar10).
    """
    image = image_shape("vit-tiny", input_shape)
    check_heads("vit-tiny", width, heads)
    common = math.gcd(*image[1:])
    if common % patch:
        fitting = [str(size) for size in range(1, common + 1) if common % size == 0]
        raise UserError(
            f"vit-tiny: images of {image[1]}×{image[2]} cannot be cut into patches of {patch}×{patch}; "
            f"set patch to one of {', '.join(fitting)}"
        )
    return drawn(lambda: ViT(image, num_classes, patch, width, depth, heads), generator)
