"""What a method asks to see of a network at work: gradients of the loss, and activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from dtcbench.dtc.selection import Method
from dtcbench.dtc.sensing import Weights
from dtcbench.errors import CompressionError, UserError
from dtcbench.training.groups import PrunableGroup, arrays
from dtcbench.training.loop import Loss
from dtcbench.training.propagation import called
from dtcbench.training.tracing import each, tensors

Batches = Iterable[tuple[Any, Any]]
"""Of pairs (x, y): x is what a Compressor's `example` is, for many samples; y is for the loss."""


def observed(
    method: Method, model: nn.Module, groups: list[PrunableGroup], batches: Batches, loss: Loss
) -> dict[str, dict[str, Any]]:
    """Per group what the method asks to see of it, by the name of the field of `Group`; errors as below."""
    seen: dict[str, dict[str, Any]] = {group.name: {} for group in groups}
    of_loss, of_layers = method.sensitivity_samples, method.activation_samples
    if of_loss and of_layers:  # they may be given by an iterator, which yields them once
        batches = list(first(batches, max(of_loss, of_layers)))
    if of_loss:
        for name, found in sensitivities(model, groups, batches, of_loss, loss).items():
            seen[name]["sensitivities"] = found
    if of_layers:
        for name, found in activations(model, groups, batches, of_layers, method.observe).items():
            seen[name]["activations"] = found
    if method.uses_parameters:
        for group in groups:
            seen[group.name] |= {"parts": arrays(group.parts), "scales": arrays(group.scales)}
    return seen


def sensitivities(
    model: nn.Module, groups: list[PrunableGroup], batches: Batches, samples: int, loss: Loss
) -> dict[str, Weights]:
    """Per group the sensitivities [batches, m] over the first `samples`; the network is afterwards as it was.

    A group whose outgoing weights get no gradient has none. CompressionError without a batch or a gradient; UserError
    if the batches are not pairs, or the loss is not a scalar.
    """
    seen: dict[str, list[Weights]] = {group.name: [] for group in groups}
    gradients = {parameter: parameter.grad for parameter in model.parameters()}
    try:
        with _in_evaluation(model), torch.inference_mode(False), torch.enable_grad():
            for x, y in first(batches, samples):
                model.zero_grad()
                _differentiable(loss(called(model, x), y)).backward()
                for group in groups:
                    if (sensitivity := group.sensitivity) is not None:
                        seen[group.name].append(sensitivity)
    finally:
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
    return {name: np.stack(found) for name, found in seen.items() if found}


def activations(
    model: nn.Module,
    groups: list[PrunableGroup],
    batches: Batches,
    samples: int,
    observe: Callable[[Weights], Weights],
) -> dict[str, Weights]:
    """Per group what `observe` keeps [b, …] of its activations [b, m, …], for the first `samples` samples.

    They are the input of the first layer that reads the group: after normalisation, activation and pooling. A group
    that no layer reads, as attention may, has none. CompressionError without a batch; UserError if the batches are not
    pairs.
    """
    shown: dict[str, torch.Tensor] = {}
    seen: dict[str, list[Weights]] = {group.name: [] for group in groups}
    with ExitStack() as hooks, _in_evaluation(model), torch.no_grad():
        for group in groups:
            if (layer := group.reader) is not None:
                show = partial(_show, shown, group.name)
                hooks.enter_context(layer.register_forward_pre_hook(show, with_kwargs=True))
        for x, _ in first(batches, samples):
            shown.clear()
            called(model, x)
            for group in groups:
                if group.name in shown:
                    seen[group.name].append(observe(group.as_read(shown[group.name])))
    return {name: np.concatenate(found) for name, found in seen.items() if found}


def first(batches: Batches, samples: int) -> Iterator[tuple[Any, Any]]:
    """The batches of the first `samples` samples; CompressionError if there is no batch.

    The first tensor in x says how many samples it has; the tensors of that length are cut with it.
    """
    left = samples
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise UserError(f"batches holds a {type(batch).__name__}, not a pair; give batches=[(x, y), …]")
        x, y = each(batch, lambda tensor: tensor.clone() if tensor.is_inference() else tensor)
        count = next((len(tensor) for tensor in tensors(x) if tensor.dim()), None)
        if count is None:
            raise UserError(f"batches holds a {type(x).__name__} without a tensor as x; give what `example` is")
        yield each((x, y), partial(_cut, count, left))
        left -= count
        if left <= 0:
            return
    if left == samples:
        raise CompressionError("the method looks at training samples; give compress(…, batches=[(x, y), …])")


def _cut(count: int, left: int, tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:left] if tensor.dim() and len(tensor) == count else tensor


def _show(
    shown: dict[str, torch.Tensor], name: str, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    x, *_ = [*args, *kwargs.values()]
    shown.setdefault(name, x)  # a layer that runs twice shows its first input


@contextmanager
def _in_evaluation(model: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, so that looking moves no statistics of normalisation; then in its modes again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


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
