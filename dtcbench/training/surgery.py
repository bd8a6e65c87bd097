"""Smaller networks: the prunable groups of any network, and taking neurons out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from dtcbench.dtc.selection import Indices
from dtcbench.errors import CompressionError, UserError
from dtcbench.registry import Groups
from dtcbench.training.copies import copied, outline
from dtcbench.training.grouping import found_groups
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.propagation import propagate
from dtcbench.training.settings import Trials
from dtcbench.training.shrinking import carry_over, refuse_optimizer, shrink
from dtcbench.training.tracing import ForwardPass, each

WIDER: Mapping[Groups, tuple[Groups, ...]] = {
    "simple": ("coupled", "approximate"),
    "coupled": ("approximate",),
    "approximate": (),
}
"""By what may go, the kinds with which more may."""
SEE_GROUPS = "see `dtcbench list --groups`"


class NoGroupError(CompressionError):
    """A network has no prunable group of the kind that may go; `lacking` says so without the remedy."""

    def __init__(self, lacking: str, remedy: str) -> None:
        super().__init__(f"{lacking}; {remedy}")
        self.lacking = lacking


class Surgery:
    """A network's prunable groups, and how to shrink them."""

    def __init__(self, model: nn.Module, example: Any, groups: Groups = "simple") -> None:
        """Trace `model` on one sample [1, …] (or a tuple or dict of its arguments) and try a cut of each group.

        Both happen on copies of the network: its mode, gradients, statistics and hooks stay as they are.
        UserError for another kind of groups; CompressionError if the weights have no gradients because they were made
        in torch.inference_mode().
        """
        if groups not in WIDER:
            raise UserError(f"groups {groups!r}: write {' or '.join(map(repr, WIDER))}")
        if any(parameter.is_inference() for parameter in model.parameters()):
            raise CompressionError(
                "the network was built in torch.inference_mode(), which allows no gradients; build it outside"
            )
        self._model = model
        forward, copy = _traced(model, example)
        found = [group for group in found_groups(forward, model) if _is_wanted(group, groups)]
        trials = Trials(model, copy, lambda network: propagate(network, _beside(example, network)), forward)
        self.groups, self.refused = trials.accepted(found)
        """`refused`: by the name of each other group that was found, why it cannot be cut."""
        self.products = forward.products
        """For each product of a weight or an activation with another, the axes whose lengths multiply to its
        multiplications; they shrink with the groups."""

    def cut(self, kept: Mapping[str, ArrayLike], optimizer: torch.optim.Optimizer | None) -> dict[str, Indices]:
        """Take all neurons but these out of the groups of these names, in place; returns them as arrays.

        All groups are checked before the first is cut: UserError or CompressionError if the neurons or the optimiser's
        state cannot be kept so.
        """
        groups = [group for group in self.groups if group.name in kept]
        indices = {group.name: _checked(group, kept[group.name]) for group in groups}
        refuse_optimizer(optimizer, groups)
        with torch.inference_mode(False):
            for group in groups:
                self._shrink(group, indices[group.name], optimizer)
        return indices

    def shrink(self, group: PrunableGroup, kept: Indices, optimizer: torch.optim.Optimizer | None) -> None:
        """Take all neurons but `kept` out of the group, in place and in their order.

        The optimiser's state is carried over to the new, smaller parameters; frozen ones stay frozen.
        CompressionError if no neuron would be kept or one that does not exist.
        """
        self._shrink(group, _checked(group, kept), optimizer)

    def _shrink(self, group: PrunableGroup, kept: Indices, optimizer: torch.optim.Optimizer | None) -> None:
        for replaced in shrink(group, kept, self._model):
            carry_over(replaced, optimizer)
        _forget_computed(self._model)


def _forget_computed(model: nn.Module) -> None:
    """A network may keep what it computed of its weights for evaluation until it trains again, as LeViT its biases."""
    modes = {module: module.training for module in model.modules()}
    model.train()
    for module, training in modes.items():
        module.training = training


def _traced(model: nn.Module, example: Any) -> tuple[ForwardPass, Callable[[nn.Module], nn.Module]]:
    """The pass of a copy of the network, and how to copy it: as an outline, unless the network looks at values."""
    try:
        return propagate(outline(model), _moved(example, torch.device("meta"))), outline
    except Exception:  # a network may raise anything, and says on its own device what it really is
        return propagate(copied(model), _beside(example, model)), copied


def _beside(example: Any, network: nn.Module) -> Any:
    """The example on the network's device."""
    return _moved(example, next((parameter.device for parameter in network.parameters()), torch.device("cpu")))


def _moved(example: Any, device: torch.device) -> Any:
    return each(example, lambda tensor: tensor.detach().to(device))


def lacking(surgery: Surgery, groups: Groups) -> str:
    """Why nothing can be removed from a network without a group of this kind."""
    refused = [f"group {name}: {why}" for name, why in surgery.refused.items()][:1]
    return "; ".join([f"the network has no prunable group of kind {groups}", *refused])


def _is_wanted(group: PrunableGroup, groups: Groups) -> bool:
    match groups:
        case "simple":
            return group.is_simple
        case "coupled":
            return group.approximate is None
        case "approximate":
            return True


def checked_indices(group: PrunableGroup, kept: ArrayLike, by: str = "cut() was given") -> Indices:
    """The neurons as an array [k]; CompressionError, which begins with `by`, if the group cannot be cut to them."""
    indices = np.asarray(kept)
    if indices.size == 0:
        raise CompressionError(f"0 of {group.width} neurons would be kept; lower the sparsity or widen the layer")
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise CompressionError(f"{by} an array of {indices.dtype} {indices.shape}, not a list of whole numbers")
    if len(np.unique(indices)) != len(indices):
        raise CompressionError(f"{by} {len(indices)} neurons, {len(np.unique(indices))} of them different")
    first, last = indices.min(), indices.max()
    if first < 0 or last >= group.width:
        raise CompressionError(f"{by} neurons {first} to {last}; the group has 0 to {group.width - 1}")
    return indices.astype(np.int64)


def _checked(group: PrunableGroup, kept: ArrayLike) -> Indices:
    try:
        return checked_indices(group, kept)
    except CompressionError as error:
        raise CompressionError(f"group {group.name}, width {group.width}: {error}") from None
