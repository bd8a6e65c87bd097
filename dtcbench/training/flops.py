"""Floating-point operations of a network, counted by torch's own counter, never converted to energy."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def inference_flops(model: nn.Module, example: torch.Tensor) -> int:
    """FLOPs of the forward pass of one sample, `example` [1, …]."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _on_meta(model)(_pair(example))
    return int(counter.get_total_flops()) // 2


def training_flops(model: nn.Module, example: torch.Tensor) -> int:
    """FLOPs of the forward and backward pass of one sample, `example` [1, …]; the optimiser's are not counted."""
    with FlopCounterMode(display=False) as counter:
        _on_meta(model)(_pair(example)).sum().backward()
    return int(counter.get_total_flops()) // 2


def _on_meta(model: nn.Module) -> nn.Module:
    # Shapes alone decide the count, and the real model keeps its gradients and statistics.
    return copy.deepcopy(model).to("meta")


def _pair(example: torch.Tensor) -> torch.Tensor:
    # In training mode batch norm refuses a single value per channel.
    return example.to("meta").expand(2, *example.shape[1:])
