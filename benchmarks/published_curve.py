"""How long one run of the published protocol takes, against the matrix products alone.

    DTCBENCH_DATA_DIR=… python benchmarks/published_curve.py

Prints seconds of the 34 cycles (magnitude), seconds of the bare forward and weight-gradient products of
the same shapes on the same threads, and their ratio, all in one process: the ratio is what compares
between machines, and between quiet and busy hours of one.
"""

from __future__ import annotations

import time

import torch

from dtcbench import registry
from dtcbench.energy.segments import PhaseTimer
from dtcbench.plan.cell import Cell, Choice
from dtcbench.plan.protocol import Published
from dtcbench.record import Result
from dtcbench.training.determinism import make_deterministic
from dtcbench.training.loop import to_device
from dtcbench.training.protocols import run
from dtcbench.training.training_run import CellContext

PROTOCOL = Published(name="published")
CELL = Cell(
    protocol=PROTOCOL.choice,
    model=Choice(name="mlp", options={"widths": [512], "bias": False}),
    dataset=Choice(name="mnist"),
    method=Choice(name="magnitude-published"),
    solver=None,
    sparsity=None,
    seed=42424242,
)


def curve() -> tuple[Result, float]:
    """One run from the memory-mapped files to the last cycle, and its seconds."""
    begin = time.perf_counter()
    splits = registry.datasets.get("mnist")()
    train, test = to_device(splits, torch.device("cpu"))
    phases = PhaseTimer(lambda: None)
    result = run(CellContext(CELL, splits, train, test, phases))
    return result, time.perf_counter() - begin


def products(widths: list[int]) -> float:
    """Seconds of the first layer's two products per step, with nothing else around them."""
    x = torch.rand(PROTOCOL.batch_size, 784)
    begin = time.perf_counter()
    for width in widths:
        weights, gradient = torch.rand(width, 784), torch.rand(PROTOCOL.batch_size, width)
        for _ in range(PROTOCOL.cycle_steps):
            torch.mm(x, weights.t())
            torch.mm(gradient.t(), x)
    return time.perf_counter() - begin


def main() -> None:
    make_deterministic(PROTOCOL.threads)
    result, seconds = curve()
    bare = products([cycle.layers[0].width_before for cycle in result.cycles])
    print(f"{len(result.cycles)} cycles, final accuracy {result.accuracy:.16f}")
    print(f"whole run {seconds:.1f} s (train {result.train_s:.1f}, evaluate {result.evaluate_s:.1f})")
    print(f"bare matrix products {bare:.1f} s; ratio {seconds / bare:.2f}")


if __name__ == "__main__":
    main()
