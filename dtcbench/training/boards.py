"""Several GPUs that share one training: the first holds the network, the others copies that follow it.

One process drives all of them, so that there is one optimiser, one choice of neurons and one count of everything. The
parts into which option `accumulate` cuts a batch go to the boards in turn, and their gradients are added in the order
of the parts: to the same bits as on one GPU, for a network that draws no random numbers while it trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import nn

from dtcbench.errors import CompressionError
from dtcbench.training.copies import copied


class Boards:
    """A network and its copies on other devices.

    Parameters
    ----------
    model : the network, whose weights are trained
    others : a device for each copy; none if one board trains
    """

    def __init__(self, model: nn.Module, others: Sequence[torch.device]) -> None:
        self._model, self._others = model, others
        self._copies: list[nn.Module] = []
        self._shapes: list[torch.Size] = []

    def __len__(self) -> int:
        return 1 + len(self._others)

    def follow(self) -> list[nn.Module]:
        """The network and its copies, as it is now: with its weights, and after a compression with its widths."""
        state = list(_state(self._model)) if self._others else []
        if (shapes := [tensor.shape for tensor in state]) != self._shapes:
            self._copies = [copied(self._model).to(device) for device in self._others]
            self._shapes = shapes
        for copy in self._copies:
            copy.zero_grad()
            with torch.no_grad():
                for tensor, own in zip(state, _state(copy), strict=True):
                    own.copy_(tensor)
        return [self._model, *self._copies]

    def add_gradients(self) -> None:
        """Add the copies' gradients to the network's, one copy after the other."""
        for copy in self._copies:
            for parameter, follower in zip(self._model.parameters(), copy.parameters(), strict=True):
                if follower.grad is not None:
                    gradient = follower.grad.to(parameter.device)
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
                    follower.grad = None


def _state(model: nn.Module) -> Iterator[torch.Tensor]:
    return chain(model.parameters(), model.buffers())


def require_no_running_statistics(model: nn.Module) -> None:
    """CompressionError if the network has batch norm: its running statistics need every part of a batch in turn."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            raise CompressionError(
                f"{name} is a batch norm, whose running statistics need every part of a batch in turn; set "
                "resources.gpus: 1, or choose a network without one"
            )


def require_no_dropout(model: nn.Module) -> None:
    """CompressionError if a module drops out: torch seeds all GPUs alike, so that the parts of one turn share a mask.

    Dropout is seen by what modules keep of it, as `p` of `nn.Dropout` or `drop_prob` of a DropPath; a number that
    stands in the code of a `forward` is not.
    """
    for name, module in model.named_modules():
        drops = any(word in type(module).__name__.lower() for word in ("drop", "stochastic"))  # StochasticDepth
        for attribute, value in vars(module).items():
            is_rate = "drop" in attribute or (drops and attribute == "p")
            if is_rate and isinstance(value, float) and value > 0:
                raise CompressionError(
                    f"{name} drops out ({attribute} = {value:g}), and GPUs that are seeded alike would draw the same "
                    "masks for different samples; set dropout 0, or resources.gpus: 1"
                )
