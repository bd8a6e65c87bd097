"""Random changes to training images, decided by the cell's generator alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PADDING = 4


def crop_flip(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image of `x` [b, C, H, W] padded by four zeros on all sides, cropped and perhaps flipped.

    The crop is of the image's own size, at one of 9 × 9 places; half of the images are mirrored
    left to right. Source: He et al., Deep Residual Learning (CVPR 2016), section 4.2. As there the
    images are normalised before they are padded, so that the border is the mean pixel.

    Parameters
    ----------
    generator : a CPU generator, whatever the device of `x`: the draws are the same on all

    Returns
    -------
    A new batch [b, C, H, W] of the type and on the device of `x`.
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
    places = rows[:, :, None] * (width + 2 * PADDING) + columns[:, None, :]  # [b, H, W]
    padded = torch.nn.functional.pad(x, (PADDING,) * 4).flatten(2)
    places = places.flatten(1)[:, None].expand(b, channels, -1)
    return padded.gather(2, places).view(b, channels, height, width)
