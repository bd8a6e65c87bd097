"""A compressed network at widths that hardware likes: every width padded to a multiple of 8 with silent neurons."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from dtcbench.dtc.selection import Indices
from dtcbench.training.axes import units
from dtcbench.training.checkpoint import without
from dtcbench.training.compressor import Compressor
from dtcbench.training.copies import copied
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.network import build
from dtcbench.training.surgery import Surgery
from dtcbench.training.training_run import CellContext
from dtcbench.unavailable import Unavailable

MULTIPLE = 8
"""Of the values along an axis of a weight: below, a GPU's matrix units are partly idle (NVIDIA, Deep Learning
Performance Guide)."""


SAME_WIDTHS = Unavailable("rounding changes no width: this is the network as it was pruned")


def rounded(context: CellContext, compressor: Compressor) -> nn.Module | Unavailable:
    """The cell's final network with every width rounded up to a multiple of 8, at most to what it once was.

    What is added is silent: its weights, biases and scales are 0, so the output is the same wherever the group is exact
    (docs/networks.md). Unavailable if no width changes.
    """
    cell, splits, example = context.cell, context.splits, context.example
    wide = build(without(cell.model), splits.input_shape, splits.num_classes, torch.Generator().manual_seed(0))
    surgery = Surgery(wide.to(example.device), example, cell.groups)
    left = compressor.original_indices
    kept = {group.name: _padded(left[group.name], group) for group in surgery.groups}
    if all(len(kept[name]) == len(indices) for name, indices in left.items()):
        return SAME_WIDTHS
    surgery.cut(kept, None)
    _embed(compressor.model, wide, _entries(wide, {name: len(indices) for name, indices in left.items()}, context))
    return wide


def rounded_width(width: int, entries: int, most: int) -> int:
    """The least number of units, from `width` on, whose values are a multiple of 8; at most `most`.

    Parameters
    ----------
    entries : values of each unit along the axis of a weight, such as the dimensions of a head
    most : units of the original network
    """
    step = MULTIPLE // math.gcd(MULTIPLE, entries)
    return min(most, math.ceil(width / step) * step)


def _padded(kept: Indices, group: PrunableGroup) -> Indices:
    """The neurons that are left, then the first others, as the original network numbers them."""
    axes = dict(group.places)
    entries = math.gcd(*(int(np.count_nonzero(units(axes[place], group.unit) == 0)) for place in group.written))
    count = rounded_width(len(kept), entries, group.width) - len(kept)
    return np.concatenate([kept, np.setdiff1d(np.arange(group.width), kept)[:count]])


def _entries(wide: nn.Module, widths: dict[str, int], context: CellContext) -> dict[str, torch.Tensor]:
    """By name, which entries of each tensor of `wide` belong to the first so many units of its groups, as numbers in a
    tensor of the smaller shape: a copy whose entries are their own numbers is cut."""
    numbers = copied(wide)
    surgery = Surgery(numbers, context.example, context.cell.groups)
    numbers.double()  # exact up to 2**53
    with torch.no_grad():
        for tensor in _floating(numbers).values():
            tensor.copy_(torch.arange(tensor.numel(), device=tensor.device).view(tensor.shape))
    surgery.cut({name: np.arange(width) for name, width in widths.items()}, None)
    return {name: tensor.long() for name, tensor in _floating(numbers).items()}


@torch.no_grad()
def _embed(narrow: nn.Module, wide: nn.Module, entries: dict[str, torch.Tensor]) -> None:
    """Give `wide` the weights of `narrow` at these entries, and 0 elsewhere."""
    values = narrow.state_dict()
    for name, tensor in _floating(wide).items():
        flat = torch.zeros(tensor.numel(), dtype=tensor.dtype, device=tensor.device)
        flat[entries[name].flatten()] = values[name].flatten().to(tensor.dtype)
        tensor.copy_(flat.view(tensor.shape))


def _floating(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's parameters and kept buffers that are floating-point, by name; changing one changes the network."""
    found = network.state_dict().items()
    return {name: one for name, one in found if isinstance(one, torch.Tensor) and one.is_floating_point()}
