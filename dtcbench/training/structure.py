"""One traced forward pass of a network: torch-pruning's graph, and the shapes that its layers saw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from dtcbench.errors import CompressionError

PrunableLayer = nn.Linear | nn.Conv2d
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)


class Structure:
    """What one forward pass shows of a network; also on torch's meta device, where tensors have no values."""

    def __init__(self, model: nn.Module, example: torch.Tensor) -> None:
        """Run `model` on one sample [1, …]; its mode, gradients, hooks and frozen layers stay as they are.

        CompressionError if its weights have no gradients because they were made in torch.inference_mode().
        """
        if any(parameter.is_inference() for parameter in model.parameters()):
            raise CompressionError(
                "the network was built in torch.inference_mode(), which allows no gradients; build it outside"
            )
        self.inputs: defaultdict[nn.Module, list[torch.Size]] = defaultdict(list)
        """The shape of each input of each Linear, Conv2d and normalisation layer, one for each time it was called."""
        self.last: set[nn.Module] = set()
        """The Linear and Conv2d layers whose neurons reach an output of the network through no other such layer."""
        self._layers: dict[Any, nn.Module] = {}  # by the autograd node of their output
        with _traceable(model):
            for module in model.modules():
                if isinstance(module, (PrunableLayer, *NORMS)):
                    module.register_forward_hook(self._note, with_kwargs=True)
            if example.is_inference():
                example = example.clone()
            # Without `forward_fn` torch-pruning would unpack the batch, and hide the model's own error.
            self.graph = tp.DependencyGraph().build_dependency(model, example, forward_fn=self._forward, verbose=False)

    def takes_neurons(self, producer: PrunableLayer, module: nn.Module) -> bool:
        """Whether `module` reads the producer's neurons along the axis that it weighs or scales.

        They lie on the last axis behind a Linear layer, and on axis 1 behind a Conv2d, where flattening leaves those of
        a sample in a row. `module` may still read another axis of the same length.
        """
        if isinstance(producer, nn.Linear):
            return all(len(shape) == 2 or _reads_last_axis(module) for shape in self.inputs[module])
        batches = {shape[0] for shape in self.inputs[producer] if len(shape) == 4}
        return all(
            shape[0] in batches and (len(shape) == 2 or not _reads_last_axis(module)) for shape in self.inputs[module]
        )

    def _forward(self, network: nn.Module, samples: torch.Tensor) -> Any:
        output = network(samples)
        waiting = [tensor.grad_fn for tensor in _tensors(output)]
        seen = set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in self._layers:
                self.last.add(self._layers[node])
            else:
                waiting += [before for before, _ in node.next_functions]
        self._layers.clear()  # the nodes hold the tensors of the pass
        return output

    def _note(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: torch.Tensor) -> None:
        samples: torch.Tensor = (*inputs, *named.values())[0]
        self.inputs[module].append(samples.shape)
        if isinstance(module, PrunableLayer):
            self._layers[output.grad_fn] = module


def _reads_last_axis(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.LayerNorm)


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    """The tensors in an output of a network, however nested."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)


@contextmanager
def _traceable(model: nn.Module) -> Iterator[None]:
    """Everything with a gradient, as tracing needs it; afterwards modes, hooks and frozen parameters as they were."""
    modes = {module: module.training for module in model.modules()}
    hooks = {module: set(module._forward_hooks) for module in model.modules()}
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for module, kept in hooks.items():
            for added in set(module._forward_hooks) - kept:
                del module._forward_hooks[added]
                module._forward_hooks_with_kwargs.pop(added, None)
        for parameter in frozen:
            parameter.requires_grad_(False)
