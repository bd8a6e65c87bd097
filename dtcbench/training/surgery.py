"""Smaller networks: the prunable groups of a chain of layers, and taking neurons out of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dtcbench.dtc.selection import Kept

_PASSED_THROUGH = (nn.ReLU, nn.Flatten)
"""Layers that leave each neuron on its own."""


@dataclass(frozen=True)
class PrunableGroup:
    """A hidden width with exactly one producing and one consuming layer."""

    name: str
    """The producer's name in the model."""
    producer: nn.Linear
    consumer: nn.Linear

    @property
    def width(self) -> int:
        """m, the number of neurons at present."""
        return self.producer.out_features

    @property
    def w_in(self) -> NDArray[np.floating]:
        """Incoming weights [m, fan_in]."""
        return self.producer.weight.detach().cpu().numpy()

    @property
    def w_out(self) -> NDArray[np.floating]:
        """Outgoing weights [fan_out, m]."""
        return self.consumer.weight.detach().cpu().numpy()


def prunable_groups(model: nn.Module) -> list[PrunableGroup]:
    """The groups of a chain of Linear layers, from the input on.

    ValueError for a model that is no such chain.
    """
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"{type(model).__name__} is not a chain of layers; only nn.Sequential can be compressed")
    linear: list[tuple[str, nn.Linear]] = []
    for name, layer in model.named_children():
        if isinstance(layer, nn.Linear):
            linear.append((name, layer))
        elif not isinstance(layer, _PASSED_THROUGH):
            raise ValueError(f"layer {name} ({type(layer).__name__}) cannot be compressed through")
    return [PrunableGroup(name, layer, after) for (name, layer), (_, after) in itertools.pairwise(linear)]


def shrink(group: PrunableGroup, kept: Kept, optimizer: torch.optim.Optimizer | None) -> None:
    """Take all neurons but `kept` (indices, in their new order) out of the group, in place.

    The optimiser's state is carried over to the new, smaller parameters.
    """
    index = torch.from_numpy(kept).to(group.producer.weight.device)
    _replace(group.producer, "weight", index, 0, optimizer)
    if group.producer.bias is not None:
        _replace(group.producer, "bias", index, 0, optimizer)
    _replace(group.consumer, "weight", index, 1, optimizer)
    group.producer.out_features = group.consumer.in_features = len(kept)


def _replace(
    layer: nn.Linear, name: str, index: torch.Tensor, axis: int, optimizer: torch.optim.Optimizer | None
) -> None:
    old = getattr(layer, name)
    new = nn.Parameter(old.detach().index_select(axis, index), requires_grad=old.requires_grad)
    setattr(layer, name, new)
    if optimizer is not None:
        _carry_over(optimizer, old, new, index, axis)


def _carry_over(
    optimizer: torch.optim.Optimizer, old: nn.Parameter, new: nn.Parameter, index: torch.Tensor, axis: int
) -> None:
    # A new parameter is a new object: an optimiser that still holds the old one trains nothing.
    for param_group in optimizer.param_groups:
        param_group["params"] = [new if parameter is old else parameter for parameter in param_group["params"]]
    state = optimizer.state.pop(old, {})
    if state:
        optimizer.state[new] = {
            key: value.index_select(axis, index)
            if isinstance(value, torch.Tensor) and value.shape == old.shape
            else value
            for key, value in state.items()
        }
