"""The numbers that modules keep of their own widths, which change with a cut.

Torch's layers say what theirs mean. Of other modules any whole number may be such a width: `self.num_heads`,
`self.split_size`. A cut is tried on a copy, with every choice of numbers that it may change, until the smaller copy
does the same operations on the same axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations, islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from dtcbench.training.axes import Atom, Axis, Product, Sum, atoms, factored, resolved
from dtcbench.training.groups import PrunableGroup, Setting
from dtcbench.training.network_tensors import NetworkTensors
from dtcbench.training.shrinking import shrink
from dtcbench.training.tracing import ForwardPass

Copied = Callable[[nn.Module], nn.Module]
Traced = Callable[[nn.Module], ForwardPass]
_Kind = tuple[str, str, int | None]
"""A setting's class of module, attribute and place: alike in every layer of a network."""
_Asked = tuple[list[Setting], list[Setting]]
"""Numbers that are lengths of a group's axes, and numbers that may be."""
_MOVES = ("stride", "kernel_size", "padding", "dilation", "output_padding", "output_size", "scale_factor", "training")
_MOST_TRIALS = 40
_ARRANGED = ("view", "_unsafe_view", "_reshape_alias", "clone", "expand", "alias", "squeeze", "unsqueeze")
"""Operations that compute nothing; which of them run can depend on whether a length is 1."""


class Trials:
    """Tries cuts of a network's groups on copies of it."""

    def __init__(self, model: nn.Module, copied: Copied, trace: Traced, first: ForwardPass) -> None:
        """`first` is the pass in which the groups were found; `copied` makes copies of the network to trace."""
        self._model, self._copied, self._trace, self._first = model, copied, trace, first
        self._tensors = NetworkTensors(model)

    def accepted(self, groups: Sequence[PrunableGroup]) -> tuple[list[PrunableGroup], dict[str, str]]:
        """The groups that can be cut, each with its settings, and by name why the others cannot."""
        refused: dict[str, str] = {}
        asked = {group: self._candidates(group) for group in groups}
        for group, (sure, _) in asked.items():
            group.settings = tuple(sure)
        if groups and self._failure(groups) is None:
            return list(groups), refused
        alike: dict[Any, list[PrunableGroup]] = {}
        for group, (_, maybe) in asked.items():
            alike.setdefault((self._kinds(maybe), self._layers(group)), []).append(group)
        for (kinds, _), same in alike.items():
            self._settle(same, asked, kinds, refused)
        return [group for group in groups if group.name not in refused], refused

    def _settle(
        self,
        same: list[PrunableGroup],
        asked: Mapping[PrunableGroup, _Asked],
        kinds: frozenset[_Kind],
        refused: dict[str, str],
    ) -> None:
        """Find the settings of groups that are alike: what one of them needs, the others most often need too."""
        choices, waiting = list(_choices(kinds)), [] if self._failure(same) is None else list(same)
        while waiting:
            group = waiting.pop(0)
            chosen, failure = self._search(group, asked[group], choices)
            if chosen is None:
                refused[group.name] = failure
                choices = choices[:2]  # the search failed; of the others only the likeliest are tried
                continue
            for other in waiting:
                other.settings = self._with(asked[other], chosen)
            if not waiting or self._failure(waiting) is None:
                return
            choices = [chosen, *choices]

    def _search(
        self, group: PrunableGroup, asked: _Asked, choices: Sequence[set[_Kind]]
    ) -> tuple[set[_Kind] | None, str]:
        """The first choice of kinds of settings with which the group can be cut; None and why not if there is none."""
        first = ""
        for choice in choices:
            group.settings = self._with(asked, choice)
            failure = self._failure([group])
            if failure is None:
                return choice, ""
            first = first or failure
        return None, first

    def _kinds(self, settings: Sequence[Setting]) -> frozenset[_Kind]:
        return frozenset(map(self._kind, settings))

    def _layers(self, group: PrunableGroup) -> tuple[Any, ...]:
        """What kinds of layers hold the group."""
        owners = ((self._tensors.owners(name)[0], number) for (name, number), _ in group.places)
        return tuple((type(module).__name__, attribute, number) for (_, module, attribute), number in owners)

    def _with(self, asked: _Asked, kinds: set[_Kind]) -> tuple[Setting, ...]:
        sure, maybe = asked
        return (*sure, *(setting for setting in maybe if self._kind(setting) in kinds))

    def _kind(self, setting: Setting) -> _Kind:
        return type(self._model.get_submodule(setting.module)).__name__, setting.attribute, setting.place

    def _failure(self, groups: Sequence[PrunableGroup]) -> str | None:
        """Why a copy without half of each group's units is not the same network but for its widths; None if it is."""
        copied = self._copied(self._model)
        tensors, widths = NetworkTensors(copied), {group.unit: group.width for group in groups}
        try:
            for group in groups:
                shrink(
                    replace(group, tensors=tensors), np.arange(max(min(2, group.width - 1), group.width // 2)), copied
                )
            expected = _outlined(self._first)
            found = _outlined(self._trace(copied))
        except Exception as error:  # a network may raise anything
            return str(error).partition("\n")[0] or type(error).__name__
        finally:
            for unit, width in widths.items():
                unit.size = width
        return None if found == expected else "cut smaller, it computes something else"

    def _candidates(self, group: PrunableGroup) -> _Asked:
        """Numbers that are lengths of the group's axes, and numbers that may be."""
        sure: list[Setting] = []
        maybe: list[Setting] = []
        for path, module in self._around(group).items():
            axes = {
                attribute: self._first.axes[self._tensors.name_of(tensor)]
                for attribute, tensor in self._held(module)
                if tensor is not None and self._tensors.name_of(tensor) in self._first.axes
            }
            known = _known(path, module, axes) if axes else None
            if known is None:
                maybe += self._guessed(path, module, group)
            else:
                sure += [setting for setting in known if group.unit in set(atoms(setting.axis))]
        return sure, maybe

    def _held(self, module: nn.Module) -> Iterator[tuple[str, torch.Tensor | None]]:
        """A module's parameters and buffers; in place of a parametrized one, the one of its shape that it is of."""
        yield from [*module._parameters.items(), *module._buffers.items()]
        if parametrize.is_parametrized(module):
            computing = self._copied(module)  # to compute a weight may draw numbers, or change a buffer
            for name, originals in module.get_submodule("parametrizations").named_children():
                shape = getattr(computing, name).shape
                yield name, next((one for one in originals.parameters(recurse=False) if one.shape == shape), None)

    def _around(self, group: PrunableGroup) -> dict[str, nn.Module]:
        """The modules that own the group's tensors, and all modules that these lie in."""
        found: dict[str, nn.Module] = {}
        for (name, _), _ in group.places:
            for path, module, _ in self._tensors.owners(name):
                found[path] = module
                while path:
                    path = path.rpartition(".")[0]
                    found[path] = self._model.get_submodule(path)
        return found

    def _guessed(self, path: str, module: nn.Module, group: PrunableGroup) -> Iterator[Setting]:
        inside = set(module.modules())
        axes = [
            part
            for (name, _), axis in group.places
            if any(owner in inside for _, owner, _ in self._tensors.owners(name))
            for part in _parts(axis)
            if group.unit in set(atoms(part))
        ]
        for attribute, value in vars(module).items():
            if attribute.startswith("_") or attribute in _MOVES:
                continue
            for place, number in enumerate(value) if type(value) in (tuple, list) else [(None, value)]:
                if type(number) is int and number > 1:
                    fitting = next((axis for axis in axes if axis.size == number), None)
                    if fitting is not None:
                        yield Setting(path, attribute, place, fitting)


def _choices(kinds: frozenset[_Kind]) -> Iterator[set[_Kind]]:
    """None of the kinds, all of them, and then few; no more than a network's forward passes may take."""
    order = sorted(kinds, key=str)
    counts = dict.fromkeys((0, len(order), 1, 2, 3))
    choices = chain.from_iterable(combinations(order, count) for count in counts)
    return (set(choice) for choice in islice(choices, _MOST_TRIALS))


def _known(path: str, module: nn.Module, axes: dict[str, tuple[Axis, ...]]) -> list[Setting] | None:
    """What the layers of torch and transformers keep, whose tensors have these axes; None for other modules.

    None too for a layer whose weight is computed from others, unless one of these has its shape, as in
    torch.nn.utils.prune.
    """
    names = ("weight", "weight_orig", "running_mean", "weight_hh_l0")
    weight = next((axes[name] for name in names if name in axes), None)
    if weight is None:
        return None
    found: dict[str, Axis]
    match module:
        case nn.Linear():
            found = {"out_features": weight[0], "in_features": weight[1]}
        case nn.Embedding():
            found = {"embedding_dim": weight[1]}
        case nn.modules.conv._ConvNd():
            group, _ = factored(weight[0], [module.groups, weight[0].size // module.groups])
            sides = [weight[0], Product((group, weight[1]))]
            writes, reads = reversed(sides) if module.transposed else sides
            found = {"out_channels": writes, "in_channels": reads, "groups": group}
        case nn.modules.batchnorm._NormBase():
            found = {"num_features": weight[0]}
        case nn.GroupNorm():
            group, _ = factored(weight[0], [module.num_groups, weight[0].size // module.num_groups])
            found = {"num_channels": weight[0], "num_groups": group}
        case nn.LayerNorm() | nn.RMSNorm():
            return [Setting(path, "normalized_shape", place, axis) for place, axis in enumerate(weight)]
        case nn.RNNBase() if "weight_ih_l0" in axes:
            found = {"hidden_size": weight[1], "input_size": axes["weight_ih_l0"][1]}
        case _ if type(module).__name__ == "Conv1D":  # of transformers: a Linear layer, its weight transposed
            found = {"nx": weight[0], "nf": weight[1]}
        case _:
            return None
    return [Setting(path, attribute, None, axis) for attribute, axis in found.items()]


def _parts(axis: Axis) -> Iterator[Axis]:
    """The axis, its pieces, and what lies next to each other in its grids."""
    axis = resolved(axis)
    yield axis
    if isinstance(axis, Sum):
        for piece in axis.parts:
            yield from _parts(piece)
    elif isinstance(axis, Product):
        for start, end in combinations(range(len(axis.parts) + 1), 2):
            if end - start < len(axis.parts):
                yield from _parts(Product(axis.parts[start:end]))


def _outlined(forward: ForwardPass) -> list[Any]:
    """What a pass computes, and what the axes of the results are made of: equal for equal structures."""
    order: dict[Atom, int] = {}

    def made_of(axis: Axis) -> Any:
        axis = resolved(axis)
        if axis.size == 1:
            return 1
        if isinstance(axis, Atom):
            return order.setdefault(axis, len(order)), axis.size, bool(axis.fixed)
        parts = [made_of(part) for part in axis.parts if isinstance(axis, Sum) or part.size != 1]
        return parts[0] if len(parts) == 1 else (type(axis).__name__, *parts)

    weights = [(name, *map(made_of, axes)) for name, axes in forward.axes.items()]
    return weights + [
        (name, numbers, [[made_of(dim.axis) for dim in dims] for dims in results])
        for name, numbers, results in forward.log
        if name not in _ARRANGED
    ]
