"""Every solver on trained layers of growing width: seconds, accuracy of the solution, and what it keeps.

    DTCBENCH_DATA_DIR=… OMP_NUM_THREADS=1 python benchmarks/solvers.py [--cap SECONDS] [WIDTH …] > table.md

Prints Markdown. Each solver runs in a process of its own, on one core, after a small warm-up; one that has not
answered after the cap is stopped, and not tried on wider layers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from dtcbench import registry
from dtcbench.cores import usable
from dtcbench.dtc.lasso import certified_gap
from dtcbench.dtc.recovery import tolerance_of
from dtcbench.dtc.sensing import Array, dct_basis, gaussian_phi, measure, project
from dtcbench.errors import SolverError
from dtcbench.training.determinism import generator, make_deterministic, torch_generator
from dtcbench.training.loop import Samples, ShuffledBatches, accuracy, cross_entropy, to_device

WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)
LAM, F, KEEP, SEED = 0.3, 0.1, 0.5, 0
REFERENCE = "interior-point"
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "cvxpy", "scs", "clarabel")
REPEATS, ENOUGH_S = 7, 5.0


@dataclass(frozen=True)
class Layer:
    """A trained network's hidden layer, measured."""

    model: torch.nn.Sequential
    test: Samples
    theta: Array
    """Θ = Φ Ψ."""
    y: Array

    def objective(self, s: Array) -> Array:
        return ((self.theta @ s - self.y) ** 2).sum(axis=0) + LAM * np.abs(s).sum(axis=0)

    def kept(self, s: Array) -> Array:
        """The half of the neurons with the largest |neuron ray|."""
        ray = np.abs((dct_basis(len(s)) @ s).sum(axis=1))
        return np.sort(np.argsort(ray, kind="stable")[len(ray) - round(KEEP * len(ray)) :])

    def accuracy_with(self, kept: Array) -> float:
        """Test accuracy with the other neurons' outgoing weights at zero."""
        output = self.model.output
        before = output.weight.detach().clone()
        with torch.no_grad():
            mask = torch.zeros(before.shape[1])
            mask[torch.from_numpy(kept)] = 1
            output.weight.mul_(mask)
            result = accuracy(self.model, self.test)
            output.weight.copy_(before)
        return result


def trained(width: int) -> Layer:
    """784-width-10 after 200 steps of Adam on MNIST batches of 128."""
    splits = registry.datasets.bind("mnist", {})()
    train, test = to_device(splits, torch.device("cpu"))
    model = registry.models.get("mlp")(
        splits.input_shape, splits.num_classes, widths=(width,), generator=torch_generator(SEED, "weights")
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for batch in islice(ShuffledBatches(train, 128, SEED), 200):
        optimizer.zero_grad()
        cross_entropy(model(batch.x), batch.y).backward()
        optimizer.step()
    a_in, a_out = project(model.hidden0.weight.detach().numpy(), model.output.weight.detach().numpy())
    phi = gaussian_phi(width, F, generator(SEED, "compress", width))
    return Layer(model, test, phi @ dct_basis(width), measure(phi, a_in, a_out))


Found = tuple[Array, float, float]
"""s, the median seconds, and those of them that verify the duality gap."""


def solving(pipe: Connection, name: str, theta: Array, y: Array) -> None:
    """In a process of its own: warm up, then solve and send (s, median seconds, the check's) or why it failed."""
    make_deterministic(1)
    with threadpool_limits(1):
        solve = registry.solvers.bind(name, {})
        tolerance = tolerance_of(registry.solvers.get(name))
        certified_gap(theta[:2, :16], y[:2], LAM, solve(theta[:2, :16], y[:2], LAM), tolerance.gap)
        pipe.send("ready")
        seconds: list[float] = []
        try:
            while len(seconds) < REPEATS and sum(seconds) < ENOUGH_S:
                begin = time.perf_counter()
                s = solve(theta, y, LAM)
                seconds.append(time.perf_counter() - begin)
                if len(seconds) == 1:
                    pipe.send("once")
        except SolverError as error:
            pipe.send("once")
            pipe.send(str(error))
        else:
            checks: list[float] = []
            while not tolerance.other_objective and len(checks) < REPEATS:
                begin = time.perf_counter()
                certified_gap(theta, y, LAM, s, tolerance.gap)
                checks.append(time.perf_counter() - begin)
            pipe.send((s, statistics.median(seconds), statistics.median(checks or [0.0])))


def answer(name: str, layer: Layer, cap: float) -> Found | str:
    """What is found, or why there is nothing."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=solving, args=(theirs, name, layer.theta, layer.y))
    process.start()
    try:
        ours.recv()
        if not ours.poll(cap):
            return f"over {cap:g} s"
        ours.recv()
        return ours.recv()
    finally:
        process.terminate()
        process.join()


def row(name: str, layer: Layer, found: Found, reference: Found, lars_s: float) -> str:
    s, seconds, check_s = found
    best, kept = layer.objective(reference[0]), layer.kept(s)
    gap = float(np.max((layer.objective(s) - best) / best))
    shown = "another objective" if tolerance_of(registry.solvers.get(name)).other_objective else f"{max(gap, 0):.1e}"
    overlap = len(np.intersect1d(kept, layer.kept(reference[0]))) / len(kept)
    counts = " + ".join(str(count) for count in np.count_nonzero(s, axis=0))
    ratio = f"{seconds / lars_s:.2f}" if lars_s else "–"
    times = f"{seconds:.4g} | {ratio} | {check_s / seconds:.3f}"
    return f"| {name} | {times} | {shown} | {counts} | {overlap:.3f} | {layer.accuracy_with(kept):.4f} |"


def table(width: int, cap: float, given_up: dict[str, str]) -> None:
    """Print one width's table; solvers that took too long are added to `given_up`."""
    layer = trained(width)
    n = len(layer.y)
    print(f"\n## m = {width}, n = {n} (dense test accuracy {accuracy(layer.model, layer.test):.4f})\n")
    print("| solver | seconds | × LARS | check | gap | non-zeros (in + out) | overlap | test accuracy |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    found = {name: answer(name, layer, cap) for name in registry.solvers.names() if name not in given_up}
    reference, lars = found[REFERENCE], found["lars"]
    if isinstance(reference, str):
        raise SystemExit(f"{REFERENCE}: {reference}")
    for name in registry.solvers.names():
        result = found.get(name, given_up.get(name, ""))
        if isinstance(result, str):
            print(f"| {name} | {result} | | | | | | |")
        else:
            print(row(name, layer, result, reference, 0 if isinstance(lars, str) else lars[1]))
        if isinstance(result, str) and result.startswith("over"):
            given_up[name] = f"not run: {result} at m = {width}"
    print(end="", flush=True)


def machine() -> str:
    """The processor, its cores and memory, and the versions of what solves."""
    information = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in information.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"{(names or [platform.processor()])[0]}, {usable()} cores, {memory:.0f} GiB; {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("widths", nargs="*", type=int, default=list(WIDTHS))
    parser.add_argument("--cap", type=float, default=30.0, help="seconds after which a solver is stopped")
    given = parser.parse_args()
    make_deterministic(1)
    print(f"Machine: {machine()}.")
    given_up: dict[str, str] = {}
    for width in given.widths:
        table(width, given.cap, given_up)


if __name__ == "__main__":
    main()
