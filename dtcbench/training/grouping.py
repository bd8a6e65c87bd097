"""Finding the prunable groups of a network in its forward pass."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from dtcbench.training.axes import Atom, Axis, Product, Sum, atoms, resolved
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.network_tensors import NetworkTensors
from dtcbench.training.tracing import ForwardPass, Place


def found_groups(forward: ForwardPass, model: nn.Module) -> list[PrunableGroup]:
    """The groups of a network that was traced, in the order of the modules that write them; none is tried yet."""
    held: dict[Atom, list[tuple[Place, Axis]]] = {}
    within: set[Atom] = set()
    for name, axes in forward.axes.items():
        for number, axis in enumerate(map(resolved, axes)):
            for atom in dict.fromkeys(atoms(axis)):
                held.setdefault(atom, []).append(((name, number), axis))
            within |= set(_within_others(axis))
    tensors, order = NetworkTensors(model), {path: number for number, (path, _) in enumerate(model.named_modules())}
    groups = []
    for atom, places in held.items():
        written, read = (tuple(p for p, _ in places if p in role) for role in (forward.writes, forward.reads))
        if atom.size > 1 and not atom.fixed and atom not in within and written and read:
            first = min((tensors.owners(name)[0][0] for name, _ in written), key=order.__getitem__)
            groups.append(PrunableGroup(first, atom, tuple(places), written, read, tensors))
    return sorted(_told_apart(groups), key=lambda group: order[group.name.partition("#")[0]])


def _told_apart(groups: list[PrunableGroup]) -> list[PrunableGroup]:
    """A module that writes several groups gives its name to the first; the others get a number behind it."""
    seen: dict[str, int] = {}
    for group in groups:
        seen[group.name] = number = seen.get(group.name, 0) + 1
        if number > 1:
            group.name = f"{group.name}#{number}"
    return groups


def _within_others(axis: Axis) -> Iterator[Atom]:
    """The atoms that vary within others that can go, as the dimensions of heads do within the heads."""
    if isinstance(axis, Sum):
        for part in axis.parts:
            yield from _within_others(part)
    elif isinstance(axis, Product):
        free = [part for part in axis.parts if any(not atom.fixed for atom in atoms(part))]
        for part in free[1:]:
            yield from atoms(part)
