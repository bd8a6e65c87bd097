"""Where the parameters and buffers of a network stand."""

from __future__ import annotations

import torch
from torch import nn


class NetworkTensors:
    """A network's parameters and buffers by their first name; one that stands in several places is one."""

    def __init__(self, model: nn.Module) -> None:
        self._owners: dict[str, list[tuple[str, nn.Module, str]]] = {}
        self._names: dict[int, str] = {}
        for path, module in model.named_modules():
            for attribute, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None:
                    name = self._names.setdefault(id(tensor), f"{path}.{attribute}" if path else attribute)
                    self._owners.setdefault(name, []).append((path, module, attribute))

    def name_of(self, tensor: torch.Tensor) -> str:
        """The name of a tensor of the network."""
        return self._names[id(tensor)]

    def owners(self, name: str) -> list[tuple[str, nn.Module, str]]:
        """Path, module and attribute of every place where it stands."""
        return self._owners[name]

    def get(self, name: str) -> torch.Tensor:
        """The tensor of this name."""
        _, module, attribute = self._owners[name][0]
        found: torch.Tensor = getattr(module, attribute)
        return found

    def put(self, name: str, tensor: torch.Tensor) -> None:
        """Another tensor in all its places."""
        for _, module, attribute in self._owners[name]:
            setattr(module, attribute, tensor)
