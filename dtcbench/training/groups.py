"""The prunable groups of a network: neurons, channels or heads that go together, and everything that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dtcbench.dtc.sensing import Weights
from dtcbench.training.axes import Atom, Axis, Product, Sum, resolved, units
from dtcbench.training.network_tensors import NetworkTensors
from dtcbench.training.tracing import Place

_NORMS = nn.modules.batchnorm._BatchNorm
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALISING = (_NORMS, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Setting:
    """A whole number that a module keeps of itself, and the axis whose length it is."""

    module: str
    attribute: str
    place: int | None
    """In a tuple or list."""
    axis: Axis

    def write(self, model: nn.Module) -> None:
        """Give the module the axis's present length."""
        module, size = model.get_submodule(self.module), resolved(self.axis).size
        kept = vars(module)[self.attribute]
        setattr(module, self.attribute, size if self.place is None else _with(kept, self.place, size))


@dataclass(eq=False)
class PrunableGroup:
    """Neurons, channels or heads that go together."""

    name: str
    """The first module that writes them."""
    unit: Atom
    places: tuple[tuple[Place, Axis], ...]
    """Every axis of a parameter or buffer that holds them, with what the axis is made of."""
    written: tuple[Place, ...]
    """The axes of weights that compute them."""
    read: tuple[Place, ...]
    """The axes of weights that they go into."""
    tensors: NetworkTensors
    settings: tuple[Setting, ...] = ()

    @property
    def width(self) -> int:
        """m, the number of neurons, channels or heads at present."""
        return self.unit.size

    @property
    def noun(self) -> str:
        """What the units are: neurons, also those that are channels; or heads, or channel groups, of several each."""
        axes = dict(self.places)
        if not any(_is_of_several(axes[place], self.unit) for place in self.written):
            return "neurons"
        return "heads" if self.tensors.get(self.written[0][0]).dim() == 2 else "channel groups"

    @property
    def approximate(self) -> str | None:
        """Why the network without some of them is another than the one that ignores them; None if it is the same."""
        return self.unit.approximate

    @property
    def on_gpu(self) -> bool:
        """Whether its weights lie on a GPU."""
        return self.tensors.get(self.written[0][0]).is_cuda

    @property
    def incoming(self) -> torch.Tensor:
        """Incoming weights [m, fan_in, …]; of several layers [m, their weights in a row]."""
        return _incoming([self._by_unit(place).detach() for place in self.written])

    @property
    def outgoing(self) -> torch.Tensor:
        """Outgoing weights [fan_out, m, …]; of several layers [their weights in a row, m]."""
        return _outgoing([self._by_unit(place).detach() for place in self.read])

    @property
    def w_in(self) -> Weights:
        """`incoming` as a read-only array."""
        return _array(self.incoming)

    @property
    def w_out(self) -> Weights:
        """`outgoing` as a read-only array."""
        return _array(self.outgoing)

    @property
    def sensitivity(self) -> Weights | None:
        """Σ g · w over each neuron's outgoing weights [m], g from the last backward pass; None if it left none.

        The gradient of the loss by a gate on the neuron's output.
        """
        weights = [(place, self.tensors.get(place[0])) for place in self.read]
        known = [(place, weight, weight.grad) for place, weight in weights if weight.grad is not None]
        if not known:
            return None
        products = _array(_outgoing([self._by_unit(place, grad * weight) for place, weight, grad in known]))
        total: Weights = products.sum(axis=(0, *range(2, products.ndim)))
        return total

    @property
    def parts(self) -> list[torch.Tensor]:
        """Each [m, k]: the parameters that go with the neurons, tensor by tensor, with their gradients."""
        return [self._by_unit(place).flatten(1) for place, _ in self.places if self._is_parameter(place)]

    @property
    def scales(self) -> list[torch.Tensor]:
        """Each [m, k]: those of them that are the scale of a normalisation."""
        norms = [place for place, _ in self.places if self._is_parameter(place) and self._is_scale(place[0])]
        return [self._by_unit(place).flatten(1) for place in norms]

    @property
    def producers(self) -> list[str]:
        """The modules that compute them, by name."""
        return self._modules(self.written)

    @property
    def consumers(self) -> list[str]:
        """The modules that read them, by name."""
        return self._modules(self.read)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters that shrink with the group."""
        held = [self.tensors.get(name) for name in dict.fromkeys(name for (name, _), _ in self.places)]
        return [tensor for tensor in held if isinstance(tensor, nn.Parameter)]

    @property
    def is_simple(self) -> bool:
        """Whether it lies between two Linear or Conv2d layers, with nothing but batch norms on the way."""
        if len(self.written) != 1 or len(self.read) != 1 or self.approximate:
            return False
        ((made, rows),), ((used, columns),) = self.written, self.read
        axes = dict(self.places)
        if (rows, columns) != (0, 1) or not (_is_plain(self.tensors, made) and _is_plain(self.tensors, used)):
            return False
        if axes[made, 0] is not self.unit or not _leads(axes[used, 1], self.unit):
            return False
        ((producer, _, _),) = self.tensors.owners(made)
        rest = [name for (name, _), _ in self.places if name not in (made, used, f"{producer}.bias")]
        return all(isinstance(module, _NORMS) for name in rest for _, module, _ in self.tensors.owners(name))

    @torch.no_grad()
    def silence(self, removed: NDArray[np.int64]) -> None:
        """Take the outgoing weights of these units to zero: what a cut without them must equal."""
        axes = dict(self.places)
        for place in self.read:
            name, number = place
            entries = np.flatnonzero(np.isin(units(axes[place], self.unit), removed))
            weight = self.tensors.get(name)
            weight.index_fill_(number, torch.from_numpy(entries).to(weight.device), 0.0)

    def _modules(self, places: Sequence[Place]) -> list[str]:
        return list(dict.fromkeys(self.tensors.owners(name)[0][0] for name, _ in places))

    def _by_unit(self, place: Place, values: torch.Tensor | None = None) -> torch.Tensor:
        """A weight, or other values of its shape, as [m, entries of each unit, the other axes]."""
        name, number = place
        found = (self.tensors.get(name) if values is None else values).movedim(number, 0)
        if (order := self._order(place)) is not None:
            found = found[torch.from_numpy(order).to(found.device)]
        return found.reshape(self.width, len(found) // self.width, *found.shape[1:])

    @property
    def reader(self) -> nn.Module | None:
        """The first layer without channel groups that reads them; None if there is none."""
        return None if self._entrance is None else self.tensors.owners(self._entrance[0])[0][1]

    def as_read(self, x: torch.Tensor) -> Weights:
        """Of the reader's input the neurons' values [b, m, …]: of images [b, m, height, width], flattened or not."""
        place = self._entrance
        if place is None:
            raise ValueError(f"group {self.name} has no reader")
        found = x.movedim(1 if isinstance(self.reader, _CONVOLUTIONS) else -1, 1)
        if (order := self._order(place)) is not None:
            found = found[:, torch.from_numpy(order).to(found.device)]
        axis = dict(self.places)[place]
        inner = [found.shape[1] // self.width]
        if axis is self.unit:
            inner = []
        elif isinstance(axis, Product) and axis.parts[0] is self.unit:
            inner = [part.size for part in axis.parts[1:]]
        return _array(found.reshape(len(x), self.width, *inner, *found.shape[2:]))

    @property
    def _entrance(self) -> Place | None:
        """The axis of the reader's weight that they go into."""
        layers = ((place, self.tensors.owners(place[0])[0]) for place in self.read)
        return next((place for place, (_, module, name) in layers if name == "weight" and _is_layer(module)), None)

    def _is_scale(self, name: str) -> bool:
        _, module, attribute = self.tensors.owners(name)[0]
        return attribute == "weight" and self.tensors.get(name).ndim == 1 and _normalises(module)

    def _is_parameter(self, place: Place) -> bool:
        return isinstance(self.tensors.get(place[0]), nn.Parameter)

    def _order(self, place: Place) -> NDArray[np.int64] | None:
        """The entries of an axis, unit by unit; None if that is how they are."""
        axis = dict(self.places)[place]
        if axis is self.unit:
            return None
        of_unit = units(axis, self.unit)
        order = np.argsort(of_unit, kind="stable")[np.count_nonzero(of_unit < 0) :]
        return None if np.array_equal(order, np.arange(axis.size)) else order


def _incoming(parts: list[torch.Tensor]) -> torch.Tensor:
    if len(parts) > 1:
        return torch.cat([part.reshape(len(part), -1) for part in parts], 1)
    (part,) = parts
    return part[:, 0] if part.shape[1] == 1 else part.reshape(len(part), -1, *part.shape[3:])


def _outgoing(parts: list[torch.Tensor]) -> torch.Tensor:
    if len(parts) > 1:
        return torch.cat([part.reshape(len(part), -1).T for part in parts])
    (part,) = parts  # [m, entries, fan_out, …]
    part = part.movedim(2, 0)
    return part[:, :, 0] if part.shape[2] == 1 else part


def _normalises(module: nn.Module) -> bool:
    """Whether a module is a normalisation; those of other libraries are known by their names."""
    return isinstance(module, _NORMALISING) or "norm" in type(module).__name__.lower()


def _is_plain(tensors: NetworkTensors, name: str) -> bool:
    """Whether it is the weight of one Linear or Conv2d layer without channel groups, and not computed from others."""
    if len(tensors.owners(name)) > 1:
        return False
    ((_, module, attribute),) = tensors.owners(name)
    is_layer = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    return is_layer and attribute == "weight"


def _is_layer(module: nn.Module) -> bool:
    """Whether it is called with its input alone, whose features its weight's axis goes through."""
    is_convolution = isinstance(module, _CONVOLUTIONS) and module.groups == 1
    return is_convolution or isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"  # as GPT-2 has it


def _leads(axis: Axis, unit: Atom) -> bool:
    """Whether each unit has the same number of entries in a row."""
    return axis is unit or (isinstance(axis, Product) and axis.parts[0] is unit)


def _with(kept: Sequence[int], place: int, size: int) -> Sequence[int]:
    changed = list(kept)
    changed[place] = size
    return changed if isinstance(kept, list) else tuple(changed)


def arrays(tensors: Sequence[torch.Tensor]) -> tuple[Weights, ...]:
    """The tensors as arrays, read-only."""
    return tuple(map(_array, tensors))


def _array(tensor: torch.Tensor) -> Weights:
    """Read-only, because it may share the network's memory."""
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16, and sums of float16 lose digits.
    array: Weights = (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy().view()
    array.flags.writeable = False
    return array


def _is_of_several(axis: Axis, unit: Atom) -> bool:
    """Whether the axis has several indices for each one of the unit, as a grid of heads and their dimensions has."""
    axis = resolved(axis)
    if isinstance(axis, Product):
        return unit in axis.parts and axis.size > unit.size
    return isinstance(axis, Sum) and any(_is_of_several(part, unit) for part in axis.parts)
