"""Half of a network's channels cut, by dtcbench and by Torch-Pruning, each against the network with them silenced.

All is computed in float64, with the constants that libraries start norms, scales and biases from replaced: a residual
branch scaled by 0 would hide a wrong cut.
"""

from __future__ import annotations

import importlib
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dtcbench.plan.cell import Choice
from dtcbench.training.network import build
from dtcbench.training.surgery import Surgery

CLASSES = 10
EXACT = 1e-9
"""The largest difference, as a share of the largest logit, that rounding explains."""


@dataclass(frozen=True)
class Ours:
    """What dtcbench's cut of all exact groups did."""

    exact: int
    """Groups of which a cut is the network with the channels silenced."""
    approximate: int
    """Groups of which it is not, because a normalisation goes over the width; these are not cut."""
    refused: int
    """Groups that were found and cannot be cut."""
    difference: float
    """Largest |cut − silenced| of the logits, as a share of the largest logit."""
    left: float
    """Share of the parameters that is left when each exact group has lost half of its channels."""
    seconds: float
    """Of the processor, for all of it."""


@dataclass(frozen=True)
class Theirs:
    """What Torch-Pruning's cut did."""

    difference: float
    left: float


def our_cut(model: Choice, shape: tuple[int, ...]) -> Ours:
    """Cut half of each exact group of the network, and train a step before and after."""
    begin = time.process_time()
    network, samples = _network(model, shape), _samples(shape)
    surgery = Surgery(network, samples[:1], "approximate")
    exact = [group for group in surgery.groups if group.approximate is None]
    whole = _count(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9, momentum=0.9)
    with _InDouble():
        _step(network, samples, optimizer)
        unchanged = _logits(network, samples)
        for group in exact:
            group.silence(np.arange(group.width // 2))
        expected = _logits(network, samples)
        if exact and torch.equal(expected, unchanged):
            raise ValueError("silencing half of each group changes no logit, so that nothing can be said of a cut")
        surgery.cut({group.name: np.arange(group.width // 2, group.width) for group in exact}, optimizer)
        difference = _difference(_logits(network, samples), expected)
        _step(network, samples, optimizer)
    return Ours(
        exact=len(exact),
        approximate=len(surgery.groups) - len(exact),
        refused=len(surgery.refused),
        difference=difference,
        left=_count(network) / whole,
        seconds=time.process_time() - begin,
    )


def torch_pruning_cut(model: Choice, shape: tuple[int, ...]) -> Theirs:
    """Cut half of each of Torch-Pruning's groups, by its defaults; only the layers of the output stay whole."""
    tp = importlib.import_module("torch_pruning")  # no dependency: only this comparison uses it

    network, silenced, samples = _network(model, shape), _network(model, shape), _samples(shape)
    whole = _count(network)

    def pruner(of: nn.Module) -> Any:
        last = [module for module in of.modules() if getattr(module, "weight", None) is not None and _is_last(module)]
        return tp.pruner.BasePruner(
            of,
            samples[:1],
            importance=lambda group, **_: torch.arange(float(len(group[0].idxs))),  # the first half goes
            pruning_ratio=0.5,
            ignored_layers=last,
            forward_fn=lambda traced, example: traced(example),  # without it an output object's error is hidden
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of_silenced = pruner(silenced)
        for group in list(of_silenced.step(interactive=True)):
            for item in group:
                if not of_silenced.DG.is_out_channel_pruning_fn(item.dep.handler):
                    _silence(item.dep.target.module, item.idxs)
        pruner(network).step()
    with _InDouble():
        difference = _difference(_logits(network, samples), _logits(silenced, samples))
    return Theirs(difference, _count(network) / whole)


class _InDouble(TorchDispatchMode):
    """Networks that would round to float32 on their way compute in float64 throughout."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {name: torch.float64 if one is torch.float32 else one for name, one in (kwargs or {}).items()}
        return func(*args, **given)


def _network(model: Choice, shape: tuple[int, ...]) -> nn.Module:
    network = build(model, shape, CLASSES, torch.Generator().manual_seed(0)).double().eval()
    generator = torch.Generator().manual_seed(1)
    statistics = [
        buffer
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for buffer in (module.running_mean, module.running_var)
        if buffer is not None
    ]
    with torch.no_grad():
        for tensor in [*network.parameters(), *statistics]:
            if tensor.numel() and (tensor == tensor.flatten()[0]).all():
                tensor.uniform_(0.5, 1.5, generator=generator)
    return network


def _samples(shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    if len(shape) == 1:
        return torch.randint(CLASSES, (2, *shape), generator=generator)
    return torch.randn(2, *shape, generator=generator, dtype=torch.float64)


def _logits(network: nn.Module, samples: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = network(samples)
    return logits


def _step(network: nn.Module, samples: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(samples).square().mean().backward()
    optimizer.step()  # raises if a state does not fit its parameter


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _is_last(module: nn.Module) -> bool:
    return CLASSES in (getattr(module, "out_features", None), getattr(module, "out_channels", None))


@torch.no_grad()
def _silence(module: nn.Module, inputs: list[int]) -> None:
    """Take the weights of these inputs of a layer to zero."""
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and getattr(module, "groups", 1) == 1:
        module.weight.index_fill_(0 if getattr(module, "transposed", False) else 1, torch.tensor(inputs), 0.0)
