"""Smaller tensors in place of a group's, in the network and in its optimiser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dtcbench.errors import UserError
from dtcbench.training.axes import positions
from dtcbench.training.groups import PrunableGroup

Replaced = tuple[torch.Tensor, torch.Tensor, dict[int, torch.Tensor]]
"""A tensor before and after a cut, and by axis the indices that are left."""


def shrink(group: PrunableGroup, kept: NDArray[np.int64], model: nn.Module) -> list[Replaced]:
    """Take all but the units `kept` out of the group of `model`, in place and in their order; what was replaced."""
    replaced: list[Replaced] = []
    names: dict[str, dict[int, NDArray[np.int64]]] = {}
    for (name, number), axis in group.places:
        names.setdefault(name, {})[number] = positions(axis, {group.unit: kept})
    for name, by_axis in names.items():
        old = group.tensors.get(name)
        index = {number: torch.from_numpy(left).to(old.device) for number, left in by_axis.items()}
        new = selected(old.detach(), index)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, old.requires_grad)
            new.grad = None if old.grad is None else selected(old.grad, index)
        group.tensors.put(name, new)
        replaced.append((old, new, index))
    group.unit.size = len(kept)
    for setting in group.settings:
        setting.write(model)
    return replaced


def selected(tensor: torch.Tensor, index: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """The tensor at these indices of these axes."""
    for axis, left in index.items():
        tensor = tensor.index_select(axis, left)
    return tensor


def refuse_optimizer(optimizer: torch.optim.Optimizer | None, groups: Iterable[PrunableGroup]) -> None:
    """UserError if the optimiser cannot train the groups' parameters on when they are smaller."""
    if optimizer is None:
        return
    name, remedy = type(optimizer).__name__, "use another one, or give no optimizer and make one after each compression"
    # Each parameter once: the consumer of a group may be the producer of the next.
    for parameter in {parameter for group in groups for parameter in group.parameters}:
        for attribute, value in vars(optimizer).items():  # LBFGS has a list of its own, that of the old parameters
            if isinstance(value, list | tuple) and any(item is parameter for item in value):
                raise UserError(f"optimizer {name} also keeps its parameters in {attribute}; {remedy}")
        for key, value in optimizer.state.get(parameter, {}).items():
            if not _can_be_carried_over(value, parameter):
                shape = f" {list(value.shape)}" if isinstance(value, torch.Tensor) else ""
                raise UserError(
                    f"optimizer {name} keeps {key}{shape} for a parameter {list(parameter.shape)}, which cannot be "
                    f"carried over to fewer neurons; {remedy}"
                )


def _can_be_carried_over(value: Any, parameter: nn.Parameter) -> bool:
    if isinstance(value, torch.Tensor):
        return value.shape == parameter.shape or value.numel() == 1
    return not isinstance(value, list | tuple | dict)  # Shampoo's and others' tensors by axis


def carry_over(replaced: Replaced, optimizer: torch.optim.Optimizer | None) -> None:
    """Make the smaller parameter what the optimiser trains, state and all."""
    old, new, index = replaced
    if optimizer is None:
        return
    # A new parameter is a new object: an optimiser that still holds the old one trains nothing.
    for param_group in optimizer.param_groups:
        param_group["params"] = [new if parameter is old else parameter for parameter in param_group["params"]]
    if state := optimizer.state.pop(old, {}):
        optimizer.state[new] = {
            key: selected(value, index) if isinstance(value, torch.Tensor) and value.shape == old.shape else value
            for key, value in state.items()
        }
