"""Random changes to training images. The cell's generator alone decides them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PADDING = 4


def crop_flip(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image of `x` [b, C, H, W], padded by four zeros on all sides, cropped, and mirrored with probability ½.

    The crop has the image's own size and one of 9 × 9 positions. Source: He et al., Deep Residual Learning
    (CVPR 2016), section 4.2. As there, images are normalised before they are padded, so the border is the mean pixel.

    Parameters
    ----------
    generator : a CPU generator for every device of `x`, so that the draws are the same on all

    Returns
    -------
    A new batch [b, C, H, W] with the type and device of `x`.
    """
    import torch

    b, channels, height, width = x.shape
    tops = torch.randint(2 * PADDING + 1, (b, 1), generator=generator)
    lefts = torch.randint(2 * PADDING + 1, (b, 1), generator=generator)
    mirrored = torch.randint(2, (b, 1), generator=generator).bool()
    tops, lefts, mirrored = (drawn.to(x.device) for drawn in (tops, lefts, mirrored))
    rows = tops + torch.arange(height, device=x.device)  # [b, H]
    columns = lefts + torch.arange(width, device=x.device)  # [b, W]
    columns = torch.where(mirrored, columns.flip(1), columns)
    pixels = rows[:, :, None] * (width + 2 * PADDING) + columns[:, None, :]  # [b, H, W]
    padded = torch.nn.functional.pad(x, (PADDING,) * 4).flatten(2)
    pixels = pixels.flatten(1)[:, None].expand(b, channels, -1)
    return padded.gather(2, pixels).view(b, channels, height, width)
