"""What is known of a forward pass: the axes of its tensors, and which weights compute and read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from dtcbench.training.axes import ONE, Atom, Axis, blur, fix, resolved, unify

Place = tuple[str, int]
"""A parameter's or buffer's name in the network, and one of its axes."""


@dataclass(frozen=True)
class Dim:
    """One axis of a tensor in the pass."""

    axis: Axis
    places: frozenset[Place] = frozenset()
    """Where it comes from, if the tensor is a parameter or computed from parameters alone."""


Dims = tuple[Dim, ...]


class ForwardPass:
    """The axes of all tensors of a network's forward passes."""

    def __init__(self, model: nn.Module) -> None:
        self.axes: dict[str, tuple[Axis, ...]] = {}
        """Of each parameter and buffer that the pass uses, by its first name."""
        self.reads: set[Place] = set()
        """Axes of weights that are summed over with an activation: they read its features."""
        self.writes: set[Place] = set()
        """The other axes of such weights: they write features."""
        self.products: list[tuple[Axis, ...]] = []
        """Of each product, the axes whose lengths multiply to the number of its multiplications."""
        self.log: list[tuple[str, tuple[float, ...], list[Dims]]] = []
        """Each operation, the numbers that it computes with, and the axes of its results."""
        self._names: dict[int, str] = {}
        named = [*model.named_parameters(), *model.named_buffers()]
        self._kept = [tensor for _, tensor in named]  # so that no other tensor gets the number of one
        for name, tensor in reversed(named):
            self._names[id(tensor)] = name
        self._dims: Any = WeakIdKeyDictionary()

    def record(self, call: Call, found: Sequence[Dims]) -> None:
        """The axes of an operation's results."""
        for tensor, dims in zip(call.results, found, strict=True):
            if [dim.axis.size for dim in dims] != list(tensor.shape):
                raise AssertionError(f"{call.name}: {[dim.axis.size for dim in dims]} for {list(tensor.shape)}")
            self._dims[tensor] = dims
        self.log.append((call.name, call.numbers, list(found)))

    def dims(self, tensor: torch.Tensor) -> Dims:
        """The axes of a tensor of the pass."""
        known: Dims | None = self._dims.get(tensor)
        if known is not None:
            return known
        name = self._names.get(id(tensor))
        if name is None:
            found = fresh(tensor.shape, "a constant of the network")
        else:
            self.axes[name] = tuple(Atom(size) if size != 1 else ONE for size in tensor.shape)
            found = tuple(Dim(atom, frozenset({(name, number)})) for number, atom in enumerate(self.axes[name]))
        self._dims[tensor] = found
        return found

    def enter(self, tensor: torch.Tensor) -> None:
        """A tensor of the network's input, whose axes are as they are."""
        self._dims[tensor] = fresh(tensor.shape, "the input's")

    def fix(self, value: Any, reason: str) -> None:
        """Fix every axis of the tensors in a value, however nested."""
        for tensor in tensors(value):
            for dim in self.dims(tensor):
                fix(dim.axis, reason)

    def contract(self, one: Dims, left: Dim, other: Dims, right: Dim) -> None:
        """Sum over `left`, one of the axes of `one`, with `right`, one of `other`."""
        unify(left.axis, right.axis)
        if right.places:
            self._reads(right, other)
        elif left.places:
            self._reads(left, one)
        else:
            blur(left.axis, "multiplied with another activation, and summed")

    def _reads(self, read: Dim, dims: Dims) -> None:
        self.reads |= read.places
        for dim in dims:
            if dim is not read:
                self.writes |= dim.places


@dataclass
class Call:
    """One operation of the pass."""

    forward: ForwardPass
    func: Any
    args: Any
    kwargs: Any
    result: Any

    @property
    def name(self) -> str:
        """Without namespace and overload, and without the underscore of an operation in place."""
        name: str = self.func.overloadpacket.__name__
        return name.removesuffix("_") if name.rstrip("_") else name

    @property
    def numbers(self) -> tuple[float, ...]:
        """What it computes with besides tensors: fractions and, element by element, whole numbers too."""
        found = tuple(_numbers((self.args, self.kwargs), int if torch.Tag.pointwise in self.func.tags else float))
        if self.name == "lift_fresh" and self.result.dim() == 0 and not self.result.is_meta:
            found += (self.result.item(),)
        return found

    @property
    def results(self) -> list[torch.Tensor]:
        return list(tensors(self.result))

    def get(self, place: int, name: str, default: Any = None) -> Any:
        """An argument by its place or its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def dims(self, place: int = 0, name: str = "self") -> Dims:
        """The axes of a tensor argument."""
        return self.forward.dims(self.get(place, name))


Rule = Callable[[Call], list[Dims]]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """How the operations of these names treat axes."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a value, however nested."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def each(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The value with its tensors changed, however nested; mappings become dicts, lists become tuples."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: each(item, change) for name, item in value.items()}
    return tuple(each(item, change) for item in value) if isinstance(value, tuple | list) else value


def _numbers(value: Any, whole: type[float]) -> Iterator[float]:
    if isinstance(value, (float, whole)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _numbers(item, whole)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item, whole)


def unknown(call: Call) -> list[Dims]:
    """Of an operation without a rule: nothing that it touches can lose an index."""
    reason = f"{call.name} has no rule"
    call.forward.fix((call.args, call.kwargs), reason)
    return [fresh(tensor.shape, reason) for tensor in call.results]


def fresh(sizes: Sequence[int], reason: str | None = None) -> Dims:
    """Axes of their own, fixed if there is a reason for it."""
    return tuple(Dim(ONE if size == 1 else Atom(size, reason)) for size in sizes)


def met(operands: Sequence[Dims]) -> Dims:
    """Of operands that meet by broadcasting: aligned at their last axes, and those of length 1 meet any."""
    with_axes = [dims for dims in operands if dims]
    weights = all(any(dim.places for dim in dims) for dims in with_axes)
    found: list[Dim] = []
    for place in range(1, max((len(dims) for dims in with_axes), default=0) + 1):
        here = [dims[-place] for dims in with_axes if len(dims) >= place]
        wide = [dim for dim in here if dim.axis.size != 1] or here[:1]
        for dim in wide[1:]:
            unify(wide[0].axis, dim.axis)
        places = frozenset().union(*(dim.places for dim in here)) if weights else frozenset()
        found.append(Dim(resolved(wide[0].axis), places))
    return tuple(reversed(found))
