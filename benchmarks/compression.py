"""What one compression of a layer costs, part by part and width by width, and the solvers beside each other.

    OMP_NUM_THREADS=1 python benchmarks/compression.py [WIDTH …] [--device cuda]
    python benchmarks/compression.py --runs RUN …

Prints Markdown, row by row: milliseconds on one core, the least of several repeats, for a layer of random weights with
f = 0.1 and λ = 0.3. SPAMS takes part if it is installed (`pip install spams-bin`; GPL, no dependency of dtcbench). With
`--device cuda` the weights lie on the GPU, and layers above width 256 are computed there; `copy` is Φ's way there.
`--runs` prints instead, for each run that is named or lies in a folder that is named, the share of compression in the
training that its records hold.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from dtcbench import Run, registry
from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.lasso import certified_gap
from dtcbench.dtc.selection import exact_count
from dtcbench.dtc.sensing import WIDEST_DENSE, Array, basis, gaussian_phi, measure, project
from dtcbench.errors import SolverError
from dtcbench.plan.naming import DEFAULT_SOLVER
from dtcbench.training.determinism import generator, make_deterministic

WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
INPUTS, OUTPUTS, F, LAM, KEEP, SEED = 784, 10, 0.1, 0.3, 0.9, 0
SOLVERS = (DEFAULT_SOLVER, "lars", "ssnal", "scs")
REPEATS, ENOUGH_S, TOO_LONG_S = 20, 2.0, 4.0
"""Of each part; a solver that takes longer than the last is not run on wider layers."""


def timed(part: Callable[[], Any]) -> tuple[float, Any]:
    """The least milliseconds of several calls, and what the last gave."""
    taken: list[float] = []
    while len(taken) < REPEATS and sum(taken) < ENOUGH_S:
        begin = time.perf_counter()
        result = part()
        taken.append(time.perf_counter() - begin)
    return 1000 * min(taken), result


def spams(theta: Array | DeviceMatrix, y: Array, lam: float) -> Array:
    """LARS of SPAMS, which minimises ‖Θ s − y‖² / 2 + λ₁ ‖s‖₁."""
    from spams import lasso

    options = {"lambda1": lam / 2, "mode": 2, "numThreads": 1}
    found: Array = lasso(np.asfortranarray(y), D=np.asfortranarray(np.asarray(theta)), **options).toarray()
    return found


def sensed(phi: Array | DeviceMatrix, a_in: Array, a_out: Array) -> tuple[Array | DeviceMatrix, Array]:
    """Θ and y; once y is here, a GPU has done both."""
    return phi @ basis(phi.shape[1]), measure(phi, a_in, a_out)


def selected(s: Array) -> Array:
    """The neurons that stay: the rays, and the larger of them."""
    ray = np.abs((basis(len(s)) @ s).sum(axis=1))
    kept: Array = exact_count(ray, round(KEEP * len(s)), "smallest", generator(SEED, "compress", len(s)))
    return kept


def layer(width: int, device: torch.device) -> tuple[dict[str, float], Array | DeviceMatrix, Array]:
    """Milliseconds of what comes before the recovery, Θ and y."""
    draws = generator(SEED, "weights", width)
    w_in = draws.normal(size=(width, INPUTS)).astype(np.float32) / np.sqrt(INPUTS)
    w_out = draws.normal(size=(OUTPUTS, width)).astype(np.float32) / np.sqrt(width)
    on_host = device.type == "cpu" or width <= WIDEST_DENSE
    weights: Any = (w_in, w_out) if on_host else [torch.tensor(side, device=device) for side in (w_in, w_out)]
    parts: dict[str, float] = {}
    parts["project"], (a_in, a_out) = timed(lambda: project(*weights))
    parts["draw"], drawn = timed(lambda: gaussian_phi(width, F, generator(SEED, "compress", width)))
    parts["copy"], phi = (0.0, drawn) if on_host else timed(lambda: DeviceMatrix.copied(drawn, device))
    parts["sense"], (theta, y) = timed(lambda: sensed(phi, a_in, a_out))
    return parts, theta, y


def parts_of(width: int, device: torch.device, solve: Callable[..., Array]) -> list[str]:
    """A row: milliseconds of each part, their sum, and the default solver's certified gap."""
    parts, theta, y = layer(width, device)
    parts["recover"], s = timed(lambda: solve(theta, y, LAM))
    parts["select"], _ = timed(lambda: selected(s))
    gap = certified_gap(theta, y, LAM, s, 0.0).max()
    return [*(f"{part:.3g}" for part in (*parts.values(), sum(parts.values()))), f"{gap:.0e}"]


def solvers_at(width: int, device: torch.device, solvers: dict[str, Callable[..., Array]]) -> dict[str, float]:
    """Milliseconds of each solver; those that take too long are taken out."""
    _, theta, y = layer(width, device)
    found: dict[str, float] = {}
    for name, solve in list(solvers.items()):
        with suppress(SolverError):
            found[name], _ = timed(partial(solve, theta, y, LAM))
            if found[name] > 1000 * TOO_LONG_S:
                del solvers[name]
    return found


def row(*cells: object) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def runs_in(folder: str) -> list[str]:
    """The runs that lie in a folder; if none do, the folder itself or the run of that name."""
    return [str(file.parent) for file in sorted(Path(folder).glob("*/suite.yaml"))] or [folder]


def shares(runs: list[str]) -> None:
    """Print which share of its training time the records' compression took."""
    row("records", "solver", "cells", "compression, share of training")
    row(*["---"] * 4)
    for run in (run for folder in runs for run in runs_in(folder)):
        cells = Run(run).cells
        cells = cells[(cells["status"] == "ok") & (cells["method"].str.startswith("dtc")) & (cells["train_s"] > 0)]
        for (model, solver), group in cells.groupby(["model", "solver"]):
            share = (group["compress_s"] / group["train_s"]).median()
            row(f"{run}: {model}", solver, len(group), f"{100 * share:.2g} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("widths", nargs="*", type=int)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="where the weights lie")
    parser.add_argument("--runs", nargs="+", default=[], metavar="RUN", help="whose records' shares are printed")
    given = parser.parse_args()
    if given.runs:
        shares(given.runs)
    else:
        with threadpool_limits(1):
            times(given.widths or WIDTHS, given.device)


def times(widths: Sequence[int], device: torch.device) -> None:
    """Print the parts of a compression width by width, then the solvers."""
    make_deterministic(1)
    solvers: dict[str, Callable[..., Array]] = {name: registry.solvers.bind(name, {}) for name in SOLVERS}
    if find_spec("spams"):
        solvers["SPAMS"] = spams
    default, names = solvers[DEFAULT_SOLVER], list(solvers)
    draws = generator(SEED, "weights")
    for solve in solvers.values():
        solve(draws.normal(size=(40, 80)), draws.normal(size=(40, 2)), LAM)  # imports what it needs
    row("m", "project", "draw", "copy", "sense", "recover", "select", "sum in ms", "gap")
    row(*["---"] * 9)
    for width in widths:
        row(width, *parts_of(width, device, default))
    print()
    row("m", *(f"{name}, ms" for name in names), f"{DEFAULT_SOLVER} / best")
    row(*["---"] * (len(names) + 2))
    for width in widths:
        found = solvers_at(width, device, solvers)
        ratio = found[DEFAULT_SOLVER] / min(found.values())
        row(width, *(f"{found[name]:.3g}" if name in found else "" for name in names), f"{ratio:.2g}")


if __name__ == "__main__":
    main()
