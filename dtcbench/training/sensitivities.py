"""Sensitivities of a network's neurons: gradients of the loss, for methods that use them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn

from dtcbench.dtc.sensing import Weights
from dtcbench.errors import CompressionError, UserError
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.loop import Loss

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def sensitivities(
    model: nn.Module, groups: list[PrunableGroup], batches: Batches, samples: int, loss: Loss
) -> dict[str, Weights]:
    """Per group the sensitivities [batches, m] over the first `samples`; the network is afterwards as it was.

    A group whose outgoing weights get no gradient has none. CompressionError without a batch or a gradient; UserError
    if the batches are not pairs, or the loss is not a scalar.
    """
    seen: dict[str, list[Weights]] = {group.name: [] for group in groups}
    modes = {module: module.training for module in model.modules()}
    gradients = {parameter: parameter.grad for parameter in model.parameters()}
    model.eval()  # this must not move the statistics of normalisation
    try:
        with torch.inference_mode(False), torch.enable_grad():
            for x, y in _first(batches, samples):
                model.zero_grad()
                _differentiable(loss(model(x), y)).backward()
                for group in groups:
                    if (sensitivity := group.sensitivity) is not None:
                        seen[group.name].append(sensitivity)
    finally:
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        for module, training in modes.items():
            module.training = training
    return {name: np.stack(found) for name, found in seen.items() if found}


def _first(batches: Batches, samples: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of the first `samples` samples; CompressionError if there is no batch."""
    left = samples
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise UserError(f"batches holds a {type(batch).__name__}, not a pair; give batches=[(x, y), …]")
        x, y = (values.clone() if values.is_inference() else values for values in batch)
        yield x[:left], y[:left]
        left -= len(x)
        if left <= 0:
            return
    if left == samples:
        raise CompressionError("the method uses gradients of the loss; give compress(…, batches=[(x, y), …])")


def _differentiable(value: torch.Tensor) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        shape = f"shape {list(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
        raise UserError(f"the loss gave {shape}; it must return one number as a tensor, such as a mean")
    if not value.requires_grad:
        raise CompressionError(
            "the loss has no gradient: all layers are frozen, or the loss is detached; unfreeze the layers that the "
            "groups feed, or use a method without gradients"
        )
    return value
