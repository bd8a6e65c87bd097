"""Copies of networks that share nothing with them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


def copied(network: nn.Module) -> nn.Module:
    """A copy that shares nothing with `network`; tensors that it has computed and kept lose their history.

    torch copies no tensor with a history: a mask or an activation that a forward pass has left in an attribute, the
    weight of an old `weight_norm`.
    """
    return _copied(network, {})


def outline(network: nn.Module) -> nn.Module:
    """A copy on the meta device: shapes without values, which takes no memory."""
    kept = [value for module in network.modules() for value in vars(module).values() if isinstance(value, torch.Tensor)]
    memo: dict[int, Any] = {}
    for tensor in [*network.parameters(), *network.buffers(), *kept]:
        empty = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return _copied(network, memo)


def _copied(network: nn.Module, memo: dict[int, Any]) -> nn.Module:
    with _ForgettingHistory():
        return copy.deepcopy(network, memo)


class _ForgettingHistory(TorchFunctionMode):
    """Copies tensors with a history without it, wherever a network keeps them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))
