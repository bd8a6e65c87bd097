"""Cells of a plan that cannot be run, whatever their weights: nothing can be removed from their network, or a layer
would keep no neuron, or too few to measure.

The networks' widths and the protocol's schedule tell, before the first cell is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import torch

from dtcbench import registry
from dtcbench.datasets.description import sample
from dtcbench.dtc.selection import Method, Target
from dtcbench.errors import CompressionError, UserError
from dtcbench.models.packages import ArchitectureError, package_of
from dtcbench.plan.cell import Cell
from dtcbench.plan.document import Mistake, SuiteError
from dtcbench.plan.grid import Plan
from dtcbench.plan.joule_budget import has_joule_budget
from dtcbench.plan.protocol import Published, Standard, from_choice
from dtcbench.training.checkpoint import CheckpointError
from dtcbench.training.network import build, outlined
from dtcbench.training.surgery import SEE_GROUPS, WIDER, lacking
from dtcbench.training.targets import Widths, where

_Network = tuple[Widths, str]
"""The widths of a network; and why nothing can be removed from it, empty if something can."""


def impossible(plan: Plan) -> list[str]:
    """One line for each kind of cell that cannot be run with any solver and seed: the cell, the place and the reason.

    Networks are built without their weights. If a network cannot be built here, for example because its data set is not
    on this machine, nothing is said of its cells.
    """
    found: dict[tuple[int, int, registry.Groups, int, int, float | None], str | None] = {}
    networks: dict[tuple[int, int, registry.Groups], _Network | None] = {}
    for cell in plan.cells:  # cells share their choices, so identity tells kinds apart
        network = id(cell.model), id(cell.dataset), cell.groups
        kind = *network, id(cell.protocol), id(cell.method), cell.sparsity
        if cell.is_dense or kind in found:
            continue
        if network not in networks:
            networks[network] = _network(cell)
        why = _obstacle(cell, networks[network])
        found[kind] = why and f"{replace(cell, solver=None).label.rpartition(' seed ')[0]}: {why}"
    return [line for line in found.values() if line]


def misnamed(plan: Plan) -> list[str]:
    """A line for each model of the plan whose library, if it is installed here, does not have its architecture."""
    found: dict[str, None] = {}
    for cell in _inputs(plan):
        if package_of(registry.models.get(cell.model.name)):
            try:
                shape, classes = sample(cell.dataset.name, cell.dataset.values)
                with torch.device("meta"):
                    build(cell.model, shape, classes, torch.Generator("cpu").manual_seed(0))
            except ArchitectureError as error:
                found[str(error)] = None
            except UserError:
                continue
    return list(found)


def misfitting(plan: Plan) -> list[str]:
    """A line for each checkpoint that a model of the plan starts from and that does not fit it, as far as its network
    can be built here."""
    found: dict[str, None] = {}
    for cell in _inputs(plan):
        if "weights" not in cell.model.options:
            continue
        try:
            outlined(cell.model, *sample(cell.dataset.name, cell.dataset.values))
        except CheckpointError as error:
            found[str(error)] = None
        except UserError:
            continue
    return list(found)


def refuse_impossible(plan: Plan, file: str) -> None:
    """SuiteError, naming the suite `file`, if cells of the plan cannot be run."""
    if mistaken := misnamed(plan) or misfitting(plan):
        raise SuiteError([Mistake(file, 0, "", line) for line in mistaken])
    if found := impossible(plan):
        raise SuiteError([Mistake(file, 0, "", f"{line}, or name these cells under `exclude`") for line in found])


def _obstacle(cell: Cell, network: _Network | None) -> str | None:
    """The error with which a cell like this would end; None if it can be run, or if nothing is known of its network."""
    if network is None:
        return None
    widths, why = network
    if why and registry.methods.bind(cell.method.name, cell.method.values).removal != "never":
        return f"model {cell.model.name}: {without_group(cell, why)}"
    return obstacle(cell, widths)


def without_group(cell: Cell, why: str) -> str:
    """The error of a cell whose network has nothing to remove, with the remedy in a suite's words."""
    if cell.protocol.name == "published":
        return f"{why}; choose another model: protocol published cuts Linear layers; {SEE_GROUPS}"
    others = " or ".join(f"{{name: {cell.method.name}, groups: {kind}}}" for kind in WIDER[cell.groups])
    return f"{why}; {f'write {others}; ' if others else 'choose another model; '}{SEE_GROUPS}"


def obstacle(cell: Cell, widths: Widths) -> str | None:
    """The error with which a cell like this would end if its groups have these widths; None if it can be run."""
    method = registry.methods.bind(cell.method.name, cell.method.values)
    protocol = from_choice(cell.protocol)
    targets = (
        _of_published(protocol, method, widths)
        if isinstance(protocol, Published)
        else _of_standard(protocol, method, cell, widths)
    )
    for place, width, target in targets:
        try:
            method.refuse(width, target)
        except CompressionError as error:
            return f"{place}: {error}"
    return None


_Targets = Iterator[tuple[str, int, Target]]
"""The place as an error names it, the group's width there, and its target."""


def _of_standard(protocol: Standard, method: Method, cell: Cell, widths: Widths) -> _Targets:
    """The targets of protocol `standard`: in all of its cycles, or at once for a method that begins small or removes
    neurons after training.

    A method with a budget of FLOPs goes through all cycles on a copy of the network before it begins.
    """
    if has_joule_budget(cell):
        return  # it removes nothing, and goes through no cycles
    sparsity = cell.sparsity or 0.0
    fractions = list(protocol.removals(sparsity, cell.when).values())
    if method.removal == "start" and method.budget != "flops":
        fractions = fractions[-1:]
    in_cycles = method.removal == "scored" and method.budget == "steps"
    keep = protocol.kept_at_once(sparsity, cell.when) if sparsity else 1.0
    for cycle, (before, after) in enumerate(pairwise([1.0, *fractions])):
        for group, width in widths.items():
            left, target = round(width * before), Target(keep, round(width * after))
            if target.count != left:
                yield where(group, left, target, cycle) if in_cycles else f"group {group}, width {left}", left, target


def _of_published(protocol: Published, method: Method, widths: Widths) -> _Targets:
    """The targets of protocol `published`, by the method's own rule."""
    target, cycle, left = Target(protocol.keep, None), 0, dict(widths)
    while max(left.values(), default=0) > protocol.stop_width:
        for group, width in left.items():
            if width > protocol.stop_width:
                yield where(group, width, target, cycle), width, target
                left[group] = method.left(width, target)
        cycle += 1


def _inputs(plan: Plan) -> Iterable[Cell]:
    """A cell for each model and data set that the plan brings together."""
    return {(cell.model.label, cell.dataset.label): cell for cell in plan.cells}.values()


def _network(cell: Cell) -> _Network | None:
    """Of the cell; None if it cannot be built here."""
    try:
        shape, classes = sample(cell.dataset.name, cell.dataset.values)
        _, surgery = outlined(cell.model, shape, classes, cell.groups)
    except UserError:
        return None
    widths = {group.name: group.width for group in surgery.groups}
    return widths, "" if widths else lacking(surgery, cell.groups)
