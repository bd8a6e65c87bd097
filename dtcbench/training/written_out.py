"""The published network's training step, written out: autograd's bits without its fresh buffers.

At these sizes memory traffic costs as much as arithmetic. Autograd and `torch.optim.Adam` allocate new buffers for
every batch, which takes a fair part of a step (`benchmarks/published_curve.py`). Here each is allocated once.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dtcbench.errors import CompressionError
from dtcbench.training.loop import Samples

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8
_aten = torch.ops.aten


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """The layers of a chain Flatten, Linear, ReLU, Linear, …, Linear without biases.

    CompressionError, with the remedy, for any other network: the published recipe is defined for no other.
    """
    layers = [layer for layer in model.children() if isinstance(layer, nn.Linear)]
    shape = [type(layer) for layer in model.children()]
    if shape != [nn.Flatten, *[nn.Linear, nn.ReLU] * (len(layers) - 1), nn.Linear]:
        raise CompressionError("protocol published trains a chain of Linear and ReLU layers only; use the model mlp")
    for name, layer in model.named_children():
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            raise CompressionError(f"protocol published has no biases, the model has {name}.bias; set bias: false")
    return layers


class WrittenOutStep:
    """One batch of a bias-free chain that ends in log-softmax over the batch, cross-entropy of that, and Adam.

    The operations are those of autograd and of `torch.optim.Adam` with its defaults, in their order, so
    the weights are equal to the last bit (a test compares them). The parameters are changed in place.
    """

    def __init__(self, layers: list[nn.Linear], batch_size: int, lr: float) -> None:
        self._weights = [layer.weight.detach() for layer in layers]
        new = self._weights[0].new_empty
        self._outputs = [new(batch_size, len(weight)) for weight in self._weights]
        self._deltas = [new(batch_size, len(weight)) for weight in self._weights[:-1]]
        self._lr, self._taken = lr, 0
        self._gradients = [torch.empty_like(weight) for weight in self._weights]
        self._denominators = [torch.empty_like(weight) for weight in self._weights]
        self._means = [torch.zeros_like(weight) for weight in self._weights]
        self._squares = [torch.zeros_like(weight) for weight in self._weights]

    def __call__(self, batch: Samples) -> torch.Tensor:
        """Learn from at most `batch_size` samples; their loss."""
        inputs, over_batch, over_classes = self._forward(batch)
        one_hot = torch.zeros_like(over_classes).scatter_(1, batch.y[:, None], -1.0 / len(batch))
        delta = _aten._log_softmax_backward_data(one_hot, over_classes, 1, one_hot.dtype)
        delta = _aten._log_softmax_backward_data(delta, over_batch, 0, one_hot.dtype)
        self._backward(inputs, delta)
        self._adam()
        return functional.nll_loss(over_classes, batch.y)

    def _forward(self, batch: Samples) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Each layer's input, and log-softmax over the batch, and over the classes of that."""
        inputs = [batch.x.flatten(1)]
        for weight, buffer in zip(self._weights, self._outputs, strict=True):
            output = torch.mm(inputs[-1], weight.t(), out=buffer[: len(batch)])
            inputs.append(output)
            if weight is not self._weights[-1]:
                output.clamp_min_(0)
        over_batch = functional.log_softmax(inputs.pop(), 0)
        return inputs, over_batch, functional.log_softmax(over_batch, 1)

    def _backward(self, inputs: list[torch.Tensor], delta: torch.Tensor) -> None:
        """Fill each layer's gradient; `delta` [b, classes] is the loss's by the last layer's output."""
        for depth in range(len(inputs) - 1, -1, -1):
            torch.mm(delta.t(), inputs[depth], out=self._gradients[depth])
            if depth > 0:
                buffer = self._deltas[depth - 1][: len(delta)]
                delta = torch.mm(delta, self._weights[depth], out=buffer)
                _aten.threshold_backward.grad_input(delta, inputs[depth], 0, grad_input=delta)

    def _adam(self) -> None:
        """`torch.optim.Adam` (not fused, not for-each), in place."""
        self._taken += 1
        for weight, gradient, mean, square, denominator in zip(
            self._weights, self._gradients, self._means, self._squares, self._denominators, strict=True
        ):
            mean.lerp_(gradient, 1 - _BETA1)
            square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
            torch.sqrt(square, out=denominator).div_((1 - _BETA2**self._taken) ** 0.5).add_(_EPS)
            weight.addcdiv_(mean, denominator, value=-(self._lr / (1 - _BETA1**self._taken)))
