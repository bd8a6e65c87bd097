"""Smaller networks: the prunable groups of any network, and taking neurons out of them.

torch-pruning traces which layers depend on each other, and shrinks them. The choice of the neurons and the optimiser's
state are dtcbench's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch_pruning as tp
from numpy.typing import ArrayLike, NDArray
from torch import nn

from dtcbench.dtc.selection import Indices
from dtcbench.errors import CompressionError, UserError
from dtcbench.training.structure import NORMS, PrunableLayer, Structure

_POOLS = ("MaxPool2DWithIndices", "AvgPool2D", "AdaptiveMaxPool2D", "AdaptiveAvgPool2D")
_NEURON_WISE = (
    *("Relu", "Gelu", "Silu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "Hardtanh", "Hardswish", "Softplus", "Mish"),
    *("T", "Addmm", "Mm"),  # the operations of a Linear layer over a sequence
)
"""Autograd's names, without `Backward`, of operations that leave each neuron on its own."""


@dataclass(frozen=True)
class PrunableGroup:
    """A hidden width with exactly one producing and one consuming layer."""

    name: str
    """The producer's name in the model."""
    producer: PrunableLayer
    consumer: PrunableLayer
    """After flattening, each channel of the producer has `spread` inputs in a row here."""
    spread: int
    members: tuple[nn.Module, ...]
    """Every module whose parameters shrink when the group is cut: the layers and their norms."""

    @property
    def width(self) -> int:
        """m, the number of neurons (or channels) at present."""
        return len(self.producer.weight)

    @property
    def w_in(self) -> NDArray[np.floating]:
        """Incoming weights [m, fan_in, …], read-only."""
        return _array(self.producer.weight)

    @property
    def w_out(self) -> NDArray[np.floating]:
        """Outgoing weights [fan_out, m, …], read-only."""
        return self._by_neuron(_array(self.consumer.weight))

    @property
    def sensitivity(self) -> NDArray[np.floating] | None:
        """Σ g · w over each neuron's outgoing weights [m], g from the last backward pass; None if it left none.

        The gradient of the loss by a gate on the neuron's output.
        """
        weight = self.consumer.weight
        if weight.grad is None:
            return None
        products = self._by_neuron(_array(weight.grad * weight))
        total: NDArray[np.floating] = products.sum(axis=(0, *range(2, products.ndim)))
        return total

    def _by_neuron(self, outgoing: NDArray[np.floating]) -> NDArray[np.floating]:
        return outgoing if self.spread == 1 else outgoing.reshape(len(outgoing), self.width, self.spread)


class Surgery:
    """A network's prunable groups, and how to shrink them."""

    def __init__(self, model: nn.Module, example: torch.Tensor) -> None:
        """Trace `model` on one sample [1, …]; its mode, gradients and frozen layers stay as they are."""
        self._names = {module: name for name, module in model.named_modules()}
        self._uses: Counter[torch.Tensor] = Counter(
            parameter for _, parameter in model.named_parameters(remove_duplicate=False)
        )
        self._structure = Structure(model, example)
        self._graph = self._structure.graph
        found = (self._group(layer) for layer in model.modules() if isinstance(layer, PrunableLayer))
        self.groups = [group for group in found if group is not None]

    def cut(self, kept: Mapping[str, ArrayLike], optimizer: torch.optim.Optimizer | None) -> dict[str, Indices]:
        """Take all neurons but these out of the groups of these names, in place; returns them as arrays.

        All groups are checked before the first is cut: UserError or CompressionError if the neurons or the optimiser's
        state cannot be kept so.
        """
        groups = [group for group in self.groups if group.name in kept]
        indices = {group.name: _checked(group, kept[group.name]) for group in groups}
        refuse_optimizer(optimizer, groups)
        with torch.inference_mode(False):
            for group in groups:
                # Only the published random baseline gives an order of its own, which its bits depend on.
                shrink = self.shrink if is_ascending(indices[group.name]) else slice_linear
                shrink(group, indices[group.name], optimizer)
        return indices

    def shrink(self, group: PrunableGroup, kept: Indices, optimizer: torch.optim.Optimizer | None) -> None:
        """Take all neurons but `kept` (ascending indices) out of the group, in place.

        The optimiser's state is carried over to the new, smaller parameters; frozen ones stay frozen.
        CompressionError if no neuron would be kept or one that does not exist. ValueError if `kept` is not ascending:
        torch-pruning keeps the order of the neurons.
        """
        if not is_ascending(kept):
            raise ValueError(f"group {group.name}: the neurons kept are not in ascending order")
        kept = _checked(group, kept)
        width = group.width
        before = [(module, dict(module.named_parameters(recurse=False))) for module in group.members]
        removed = np.setdiff1d(np.arange(width), kept).tolist()
        self._dependents(group.producer, removed).prune(record_history=False)
        for module, parameters in before:
            axis = 1 if module is group.consumer else 0
            for name, old in parameters.items():
                new: nn.Parameter = getattr(module, name)
                if new is not old:
                    spread = old.shape[axis] // width  # each neuron has so many entries in a row
                    index = torch.from_numpy((kept[:, None] * spread + np.arange(spread)).ravel())
                    carry_over(old, new, index.to(new.device), axis, optimizer)

    def _dependents(self, layer: nn.Module, indices: list[int]) -> Any:
        pruner = self._graph.get_pruner_of_module(layer)
        return self._graph.get_pruning_group(layer, pruner.prune_out_channels, indices)

    def _group(self, producer: PrunableLayer) -> PrunableGroup | None:
        """The group that `producer` makes; None if its width is an output, a residual stream or shared."""
        if producer not in self._graph.module2node or producer in self._structure.last or not _is_plain(producer):
            return None
        width = len(producer.weight)
        if self._uses[producer.weight] > 1:  # another layer's weight too: cutting one would untie them
            return None
        consumers: list[tuple[PrunableLayer, int]] = []
        members: list[nn.Module] = [producer]
        for item in list(self._dependents(producer, list(range(width))))[1:]:
            module, is_input = item.dep.target.module, not self._graph.is_out_channel_pruning_fn(item.dep.handler)
            if isinstance(module, PrunableLayer) and is_input and _is_plain(module):
                consumers.append((module, len(item.idxs)))
            elif isinstance(module, NORMS) and _norms_neurons(module, width) and _is_plain(module):
                members.append(module)
            elif not _is_neuron_wise(item.dep.target, producer):
                return None
        if len(consumers) != 1:
            return None
        ((consumer, inputs),) = consumers
        if self._uses[consumer.weight] > 1:
            return None
        # Every input of the consumer must come from a neuron: torch-pruning maps flattened channels
        # wrongly in a network that also has Linear layers over sequences.
        if inputs != consumer.weight.shape[1] or inputs % width:
            return None
        members.append(consumer)
        if not all(self._structure.takes_neurons(producer, member) for member in members[1:]):
            return None
        if isinstance(producer, nn.Linear) and inputs > width:  # flattened, neuron j has every width-th input
            return None
        return PrunableGroup(self._names[producer], producer, consumer, inputs // width, tuple(members))


def is_ascending(indices: Indices) -> bool:
    """Whether each index is greater than the one before it."""
    return bool((np.diff(indices) > 0).all())


def checked_indices(group: PrunableGroup, kept: ArrayLike, by: str = "cut() was given") -> Indices:
    """The neurons as an array [k]; CompressionError, which begins with `by`, if the group cannot be cut to them, in
    this order."""
    indices = np.asarray(kept)
    if indices.size == 0:
        raise CompressionError(f"0 of {group.width} neurons would be kept; lower the sparsity or widen the layer")
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise CompressionError(f"{by} an array of {indices.dtype} {indices.shape}, not a list of whole numbers")
    if len(np.unique(indices)) != len(indices):
        raise CompressionError(f"{by} {len(indices)} neurons, {len(np.unique(indices))} of them different")
    first, last = indices.min(), indices.max()
    if first < 0 or last >= group.width:
        raise CompressionError(f"{by} neurons {first} to {last}; the group has 0 to {group.width - 1}")
    indices = indices.astype(np.int64)
    if not (is_ascending(indices) or _is_pair_of_linear_layers(group)):
        raise CompressionError(
            "only two Linear layers without a norm between them can have their neurons in another order; "
            "give a sparsity or counts, not keep alone, or another method"
        )
    return indices


def _checked(group: PrunableGroup, kept: ArrayLike) -> Indices:
    try:
        return checked_indices(group, kept)
    except CompressionError as error:
        raise CompressionError(f"group {group.name}, width {group.width}: {error}") from None


def refuse_optimizer(optimizer: torch.optim.Optimizer | None, groups: Iterable[PrunableGroup]) -> None:
    """UserError if the optimiser cannot train the groups' parameters on when they are smaller."""
    if optimizer is None:
        return
    name, remedy = type(optimizer).__name__, "use another one, or give no optimizer and make one after each compression"
    # Each parameter once: the consumer of a group may be the producer of the next.
    for parameter in {parameter for group in groups for module in group.members for parameter in module.parameters()}:
        for attribute, value in vars(optimizer).items():  # LBFGS has a list of its own, that of the old parameters
            if isinstance(value, list | tuple) and any(item is parameter for item in value):
                raise UserError(f"optimizer {name} also keeps its parameters in {attribute}; {remedy}")
        for key, value in optimizer.state.get(parameter, {}).items():
            if not _can_be_carried_over(value, parameter):
                shape = f" {list(value.shape)}" if isinstance(value, torch.Tensor) else ""
                raise UserError(
                    f"optimizer {name} keeps {key}{shape} for a parameter {list(parameter.shape)}, which cannot be "
                    f"carried over to fewer neurons; {remedy}"
                )


def _can_be_carried_over(value: Any, parameter: nn.Parameter) -> bool:
    if isinstance(value, torch.Tensor):
        return value.shape == parameter.shape or value.numel() == 1
    return not isinstance(value, list | tuple | dict)  # Shampoo's and others' tensors by axis


def slice_linear(group: PrunableGroup, kept: Indices, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Take all neurons but `kept` out of a group of two Linear layers, in place, and put them in its order.

    Sums over neurons are rounded in their order, so protocol `published` needs it. It is also the oracle of
    `Surgery.shrink`. ValueError for a group with other layers.
    """
    producer, consumer = group.producer, group.consumer
    if not _is_pair_of_linear_layers(group):
        raise ValueError(f"group {group.name} is not a pair of Linear layers")
    index = torch.from_numpy(kept).to(producer.weight.device)
    for layer, name, axis in ((producer, "weight", 0), (producer, "bias", 0), (consumer, "weight", 1)):
        old = getattr(layer, name)
        if old is not None:
            new = nn.Parameter(old.detach().index_select(axis, index))
            setattr(layer, name, new)
            carry_over(old, new, index, axis, optimizer)
    producer.out_features = consumer.in_features = len(kept)


def _is_pair_of_linear_layers(group: PrunableGroup) -> bool:
    return [isinstance(module, nn.Linear) for module in group.members] == [True, True]


def carry_over(
    old: nn.Parameter, new: nn.Parameter, index: torch.Tensor, axis: int, optimizer: torch.optim.Optimizer | None
) -> None:
    """Make `new`, which is `old` at `index` along `axis`, what the optimiser trains, state and all."""
    new.requires_grad_(old.requires_grad)
    if optimizer is None:
        return
    # A new parameter is a new object: an optimiser that still holds the old one trains nothing.
    for param_group in optimizer.param_groups:
        param_group["params"] = [new if parameter is old else parameter for parameter in param_group["params"]]
    state = optimizer.state.pop(old, {})
    if state:
        optimizer.state[new] = {
            key: value.index_select(axis, index)
            if isinstance(value, torch.Tensor) and value.shape == old.shape
            else value
            for key, value in state.items()
        }


def _is_plain(layer: nn.Module) -> bool:
    """Whether the layer has no channel groups, and its weights are its own, not computed from other parameters."""
    is_grouped = isinstance(layer, nn.Conv2d) and layer.groups > 1
    return not is_grouped and {"weight", "bias"} <= layer._parameters.keys()


def _norms_neurons(norm: nn.Module, width: int) -> bool:
    """Whether the norm has one scale per neuron: torch-pruning cuts the last axis of others."""
    return not isinstance(norm, nn.LayerNorm) or norm.normalized_shape == (width,)


def _is_neuron_wise(node: Any, producer: PrunableLayer) -> bool:
    if isinstance(node.module, tp.ops._ReshapeOp):
        return True  # whether it flattens is seen at the consumer's inputs
    if not isinstance(node.module, tp.ops._ElementWiseOp):
        return False
    operation = str(node.module._grad_fn).partition("Backward")[0]
    if operation in _POOLS or operation == "Mean":  # over the last axes, where a Linear layer's neurons lie
        return isinstance(producer, nn.Conv2d) and (operation in _POOLS or _means_pixels(node.grad_fn))
    return operation in _NEURON_WISE


def _means_pixels(mean: Any) -> bool:
    """Whether the mean is over height and width of [b, C, H, W] alone."""
    # Negative axes are saved modulo 2**64, which four divides.
    return len(mean._saved_self_sym_sizes) == 4 and {axis % 4 for axis in mean._saved_dim} <= {2, 3}


def _array(tensor: torch.Tensor) -> NDArray[np.floating]:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16, and sums of float16 lose digits.
    array = (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()
    array.flags.writeable = False  # it may share the network's memory
    return array
