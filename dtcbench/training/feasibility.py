"""Which cells of a plan cannot be run whatever their weights: a layer would be left without a neuron, or with too few
to measure. Known before the first cell, from the networks' widths and the protocol's schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from dtcbench import registry
from dtcbench.datasets.description import sample
from dtcbench.dtc.selection import Method, Target
from dtcbench.errors import CompressionError, UserError
from dtcbench.plan.cell import Cell, Choice
from dtcbench.plan.document import Mistake, SuiteError
from dtcbench.plan.grid import Plan
from dtcbench.plan.protocol import Published, Standard, from_choice
from dtcbench.training.compressor import where
from dtcbench.training.network import outlined

Widths = Mapping[str, int]
"""The width of each prunable group, by name."""


def impossible(plan: Plan) -> list[str]:
    """One line for each kind of cell that cannot be run, whichever its solver and seed: what it is, and where and why
    it would end.

    Networks are built without their weights. A network that cannot be built here, such as one of a data set that is
    not on this machine, is left to its cells.
    """
    found: dict[tuple[int, int, int, int, float | None], str | None] = {}
    widths: dict[tuple[int, int], Widths] = {}
    for cell in plan.cells:  # which share their choices
        network = id(cell.model), id(cell.dataset)
        kind = *network, id(cell.protocol), id(cell.method), cell.sparsity
        if cell.is_dense or kind in found:
            continue
        if network not in widths:
            widths[network] = _widths(cell.model, cell.dataset)
        why = obstacle(cell, widths[network])
        found[kind] = why and f"{replace(cell, solver=None).label.rpartition(' seed ')[0]}: {why}"
    return [line for line in found.values() if line]


def refuse_impossible(plan: Plan, file: str) -> None:
    """SuiteError, which names the suite `file`, where cells of the plan cannot be run."""
    if found := impossible(plan):
        raise SuiteError([Mistake(file, 0, "", f"{line}, or name these cells under `exclude`") for line in found])


def obstacle(cell: Cell, widths: Widths) -> str | None:
    """Why no cell like this can be run with groups of these widths, in the words in which it would end; None if
    nothing is known against it."""
    method = registry.methods.bind(cell.method.name, cell.method.values)
    protocol = from_choice(cell.protocol)
    cuts = (
        _of_published(protocol, method, widths)
        if isinstance(protocol, Published)
        else _of_standard(protocol, method, cell.sparsity or 0.0, widths)
    )
    for place, width, cut in cuts:
        try:
            method.refuse(width, cut)
        except CompressionError as error:
            return f"{place}: {error}"
    return None


_Cuts = Iterator[tuple[str, int, Target]]
"""Where it happens, the group's width then, and the cut."""


def _of_standard(protocol: Standard, method: Method, sparsity: float, widths: Widths) -> _Cuts:
    """The cuts of protocol `standard`: all of its cycles, or the one with which a method begins.

    A method that shares the FLOPs of its sparsity rehearses the cycles before it begins.
    """
    fractions = protocol.fractions(sparsity)
    if method.when == "start" and method.budget == "steps":
        fractions = fractions[-1:]
    in_cycles = method.when == "cycles" and method.budget == "steps"
    keep = protocol.ratio(sparsity) if sparsity else 1.0
    for cycle, (before, after) in enumerate(pairwise([1.0, *fractions])):
        for group, width in widths.items():
            left, cut = round(width * before), Target(keep, round(width * after))
            if cut.count != left:
                yield where(group, left, cut, cycle) if in_cycles else f"group {group}, width {left}", left, cut


def _of_published(protocol: Published, method: Method, widths: Widths) -> _Cuts:
    """The cuts of protocol `published`, by the method's own rule."""
    cut, cycle, left = Target(protocol.keep, None), 0, dict(widths)
    while max(left.values(), default=0) > protocol.stop_width:
        for group, width in left.items():
            if width > protocol.stop_width:
                yield where(group, width, cut, cycle), width, cut
                left[group] = method.left(width, cut)
        cycle += 1


def _widths(model: Choice, dataset: Choice) -> Widths:
    """Empty if the network cannot be built here."""
    try:
        shape, classes = sample(dataset.name, dataset.values)
        _, surgery = outlined(model, shape, classes)
    except UserError:
        return {}
    return {group.name: group.width for group in surgery.groups}
