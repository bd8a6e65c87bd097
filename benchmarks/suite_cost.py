"""How long a suite for GPUs takes on one board, by its networks' FLOPs and its own times: the table of docs/energy.md.

    python benchmarks/suite_cost.py energy-short energy

Nothing is run. A training takes its FLOPs at `RATE`, and `STEP_S` for each step on top of them; its repeats, the idle
measurements, the cooling and the use take what the suite says. What compressing takes is not in it: on a GPU it was
never measured.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dtcbench import registry
from dtcbench.datasets.description import sample
from dtcbench.plan.cell import Cell
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import Suite, load
from dtcbench.text import duration
from dtcbench.training.flops import compressed_flops, training_flops
from dtcbench.training.network import blank, outlined
from dtcbench.training.protocols import from_choice

RATE = 20e12
"""FLOPs a second: 30 % of the 67 · 10¹² that NVIDIA's data sheet gives an H100 SXM in float32.
It is taken for bfloat16 too, which may be several times as fast."""
STEP_S = 0.003
"""Seconds of a step beside its arithmetic: launches, the optimiser, the batch. An assumption."""
EVALUATED = 0.1
"""Of the first training, what its evaluations take on top: fifty passes over a tenth of the data, forward alone."""


class Parts(NamedTuple):
    """Seconds of one cell."""

    first: float
    repeats: float
    idle: float
    cooling: float
    """At most."""
    use: float
    """Where nothing is removed, the widths are multiples of 8 already, and half of the ways are not measured."""


def training_s(cell: Cell) -> float:
    """Seconds of one training of the cell; of dense for the joules of another cell, at most."""
    shape, classes = sample(cell.dataset.name, cell.dataset.values)
    network, surgery = outlined(cell.model, shape, classes, cell.groups)
    protocol, method = from_choice(cell.protocol), registry.methods.bind(cell.method.name, cell.method.values)
    samples, example = protocol.steps * protocol.batch_size, blank(shape)
    if method.removal == "start":
        for group in surgery.groups:
            surgery.shrink(group, np.arange(round(group.width * (1 - cell.sparsity))), None)
    if method.removal in ("start", "never"):
        flops = training_flops(network, example) * samples
    else:
        flops = compressed_flops(network, example, protocol, cell, samples)
    return flops / RATE + protocol.steps * STEP_S


def parts(cell: Cell, suite: Suite) -> Parts:
    """What the cell takes, part by part."""
    once_s, energy = training_s(cell), suite.energy
    repeats = max(1, math.ceil(energy.min_window / once_s))
    removes = registry.methods.bind(cell.method.name, cell.method.values).removal != "never"
    use_s = suite.use.seconds((4 if removes else 2) * len(suite.use.batch_sizes))
    cooling_s = energy.cool_down.at_least + (energy.cool_down.at_most if energy.cool_down.below_c else 0.0)
    return Parts(once_s * (1 + EVALUATED), repeats * once_s, 2 * energy.idle, cooling_s, use_s)


def lines(suite: Suite) -> Iterator[str]:
    cells = expand(suite).cells
    of_row = {row: parts(cell, suite) for row, cell in {cell.row: cell for cell in cells}.items()}
    found = [of_row[cell.row] for cell in cells]
    yield f"{suite.name}: {len(cells)} cells"
    trainings = {(cell.model.label, cell.method.name, cell.sparsity): of_row[cell.row].first for cell in cells}
    for (model, method, sparsity), first_s in trainings.items():
        yield f"  {model}, {method} at {sparsity:g}: a training of {first_s / (1 + EVALUATED):.0f} s"
    for name in Parts._fields:
        yield f"  {name}: {duration(sum(getattr(one, name) for one in found))}"
    yield f"  together: {duration(sum(map(sum, found)))}"


def main() -> None:
    for name in sys.argv[1:]:
        print("\n".join(lines(load(name))), flush=True)


if __name__ == "__main__":
    main()
