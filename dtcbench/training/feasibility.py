"""Cells of a plan that cannot be run, whatever their weights: their network cannot be built, or nothing can be removed
from it, or a layer would keep no neuron, or too few to measure.

The networks' widths and the protocol's schedule tell, before the first cell is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dtcbench import registry
from dtcbench.cycles import Cycles
from dtcbench.datasets.description import described, sample
from dtcbench.dtc.selection import Method, Target
from dtcbench.errors import AbsentError, CompressionError, UserError
from dtcbench.plan.cell import Cell
from dtcbench.plan.document import Mistake, SuiteError
from dtcbench.plan.grid import Plan
from dtcbench.plan.joule_budget import has_joule_budget
from dtcbench.plan.protocol import Published, from_choice
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.network import outlined
from dtcbench.training.recipe import misfit
from dtcbench.training.surgery import SEE_GROUPS, WIDER, lacking
from dtcbench.training.targets import Widths, where

_Kind = tuple[int, int, registry.Groups]
"""Of a network: its model, its data set and what may go. Cells share their choices, so identity tells kinds apart."""


@dataclass(frozen=True)
class _Network:
    """What is known of a network without its weights."""

    groups: Sequence[PrunableGroup]
    lacking: str
    """Why nothing can be removed from it; empty if something can."""


def feasible(plan: Plan, file: str) -> Plan:
    """The plan, with a note on each network that this machine cannot build, as another one may.

    Networks are built without their weights. SuiteError, naming the suite `file`, if cells cannot be run: a network
    cannot be built or does not take the data, its groups cannot be cut as the protocol has it, or the protocol does not
    train on the data.
    """
    networks = _networks(plan)
    failures = [one for one in networks.values() if not isinstance(one, _Network)]
    mistakes = [str(one) for one in failures if not isinstance(one, AbsentError)]
    if mistaken := dict.fromkeys([*mistakes, *_unlearnable(plan)]):
        raise SuiteError([Mistake(file, 0, "", line) for line in mistaken])
    if found := impossible(plan, networks):
        raise SuiteError([Mistake(file, 0, "", f"{line}, or name these cells under `exclude`") for line in found])
    absent = dict.fromkeys(f"{one}; whether its cells can be run is not known before" for one in failures)
    return replace(plan, notes=(*plan.notes, *absent))


def _unlearnable(plan: Plan) -> Iterator[str]:
    """A line for each protocol that cannot train on a data set of the plan, and for each regression that seeds ask
    claims of, as far as the data set can be described here."""
    for cell in {(cell.dataset.label, cell.protocol.label): cell for cell in plan.cells}.values():
        try:
            shape, _, task = described(cell.dataset.name, cell.dataset.values)
        except UserError:
            continue  # a network's failure says it
        why = misfit(from_choice(cell.protocol), shape, task)
        if why is None and task == "regression" and (growing := plan.suite.growing):
            why = f"seeds {growing} grow until claims are decided, and no claim is about R2; write a number of seeds"
        if why:
            yield f"data set {cell.dataset.label}: {why}"


def impossible(plan: Plan, networks: Mapping[_Kind, _Network | ValueError]) -> list[str]:
    """A line for each kind of cell that cannot be run with any solver and seed: the cell, the place and the reason."""
    found: dict[tuple[_Kind, int, int, float | None], str | None] = {}
    for cell in plan.cells:
        network = networks.get(_kind(cell))
        kind = _kind(cell), id(cell.protocol), id(cell.method), cell.sparsity
        if not cell.is_dense and kind not in found and isinstance(network, _Network):
            why = _obstacle(cell, network)
            found[kind] = why and f"{replace(cell, solver=None).label.rpartition(' seed ')[0]}: {why}"
    return [line for line in found.values() if line]


def _obstacle(cell: Cell, network: _Network) -> str | None:
    """The error with which a cell like this would end; None if it can be run."""
    method = registry.methods.bind(cell.method.name, cell.method.values)
    if network.lacking and method.removal != "never":
        return f"model {cell.model.name}: {without_group(cell, network.lacking)}"
    for group in network.groups:
        try:
            method.refuse_group(group)
        except CompressionError as error:
            return f"model {cell.model.name}: group {group.name}, width {group.width}: {error}"
    widths = {group.name: group.width for group in network.groups}
    if (found := _refusal(cell, widths)) is None:
        return None
    name, why = found
    noun = next(group.noun for group in network.groups if group.name == name)
    fitting = (part / 100 for part in range(round(100 * (cell.sparsity or 0)) - 1, 0, -1))
    highest = next((one for one in fitting if not _refusal(replace(cell, sparsity=one), widths)), None)
    most = f", and sparsity {highest:g} is the highest of whole per cents that fits" if highest else ""
    return f"{why.replace(' neurons would', f' {noun} would')} (group {name} has {widths[name]} {noun}{most})"


def without_group(cell: Cell, why: str) -> str:
    """The error of a cell whose network has nothing to remove, with the remedy in a suite's words."""
    if cell.protocol.name == "published":
        return f"{why}; choose another model: protocol published cuts Linear layers; {SEE_GROUPS}"
    others = " or ".join(f"{{name: {cell.method.name}, groups: {kind}}}" for kind in WIDER[cell.groups])
    return f"{why}; {f'write {others}; ' if others else 'choose another model; '}{SEE_GROUPS}"


def obstacle(cell: Cell, widths: Widths) -> str | None:
    """The error with which a cell like this would end if its groups have these widths; None if it can be run."""
    found = _refusal(cell, widths)
    return found and found[1]


def _refusal(cell: Cell, widths: Widths) -> tuple[str, str] | None:
    """The group that cannot be cut, and the error."""
    method = registry.methods.bind(cell.method.name, cell.method.values)
    protocol = from_choice(cell.protocol)
    targets = (
        _of_published(protocol, method, widths)
        if isinstance(protocol, Published)
        else _in_cycles(protocol, method, cell, widths)
    )
    for group, place, width, target in targets:
        try:
            method.refuse(width, target)
        except CompressionError as error:
            return group, f"{place}: {error}"
    return None


_Targets = Iterator[tuple[str, str, int, Target]]
"""A group, the place as an error names it, the group's width there, and its target."""


def _in_cycles(protocol: Cycles, method: Method, cell: Cell, widths: Widths) -> _Targets:
    """The targets of a training in cycles: in all of them, or at once for a method that begins small or removes
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
                place = where(group, left, target, cycle) if in_cycles else f"group {group}, width {left}"
                yield group, place, left, target


def _of_published(protocol: Published, method: Method, widths: Widths) -> _Targets:
    """The targets of protocol `published`, by the method's own rule."""
    target, cycle, left = Target(protocol.keep, None), 0, dict(widths)
    while max(left.values(), default=0) > protocol.stop_width:
        for group, width in left.items():
            if width > protocol.stop_width:
                yield group, where(group, width, target, cycle), width, target
                left[group] = method.left(width, target)
        cycle += 1


def _kind(cell: Cell) -> _Kind:
    return id(cell.model), id(cell.dataset), cell.groups


def _networks(plan: Plan) -> dict[_Kind, _Network | ValueError]:
    """Each network of the plan, or the error with which building or tracing it ends."""
    kinds = {_kind(cell): cell for cell in plan.cells}
    cut = {_kind(cell)[:2] for cell in plan.cells if not cell.is_dense}
    return {kind: _network(cell) for kind, cell in kinds.items() if not cell.is_dense or kind[:2] not in cut}


def _network(cell: Cell) -> _Network | ValueError:
    try:
        shape, classes = sample(cell.dataset.name, cell.dataset.values)
        _, surgery = outlined(cell.model, shape, classes, cell.groups)
    except (UserError, CompressionError) as error:
        return error
    return _Network(surgery.groups, "" if surgery.groups else lacking(surgery, cell.groups))
