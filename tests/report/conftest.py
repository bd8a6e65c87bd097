"""Synthetic tables as a run would give them: five methods, three sparsities, three seeds, some failures."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from dtcbench.analysis import leaderboard
from dtcbench.analysis.leaderboard import ENTROPIES, Leaderboard

METHODS = [("dtc", "lars"), ("dtc", "scs"), ("dtc-published", "scs"), ("magnitude", None), ("random", None)]
LOSS = {"dtc": 0.05, "dtc-published": 0.25, "magnitude": 0.03, "random": 0.12}
"""Accuracy lost at full sparsity."""
HARDWARE = "NVIDIA A100-SXM4-80GB, 80 GiB, 400 W"
METERED = ["energy_j", "mean_power_w", "idle_w", "net_energy_j"]
"""Columns of figures that take a meter."""


@dataclass(frozen=True)
class Tables:
    """The two tables a report is made from."""

    cells: pd.DataFrame
    cycles: pd.DataFrame

    @functools.cached_property
    def leaderboard(self) -> Leaderboard:
        return leaderboard.build(
            self.cells,
            self.cycles,
            suite="quick",
            question="Does DTC keep more accuracy than random removal on a small network?",
        )

    def shuffled(self) -> Tables:
        """The same rows in another order."""
        return Tables(*(t.sample(frac=1, random_state=7).reset_index(drop=True) for t in (self.cells, self.cycles)))

    def failed(self) -> Tables:
        """As if no cell had come to an end."""
        results = self.cells.columns[self.cells.columns.get_loc("accuracy") :]
        nothing = self.cells.assign(status="missing", reason=None, attempt=math.nan, **dict.fromkeys(results))
        return Tables(nothing, self.cycles.iloc[:0])

    def unmeasured(self) -> Tables:
        """As if there had been no meter."""
        nothing = dict.fromkeys(METERED, math.nan) | {"energy_method": "none", "energy_reason": "no meter"}
        cells = self.cells.assign(**nothing, gpu=None, gpu_uuid=None, simulated=None, energy_flags="")
        return Tables(cells, self.cycles.assign(cumulative_j=None))

    def simulated(self) -> Tables:
        """As if the GPU had been a simulation."""
        return Tables(self.cells.assign(simulated=True, gpu="Simulated *GPU*", energy_flags="simulated"), self.cycles)

    def relabelled(self, method: str, label: str) -> Tables:
        """With another name for one method."""
        return Tables(*(t.assign(method=t["method"].replace(method, label)) for t in (self.cells, self.cycles)))


def tables(datasets: list[str], seeds: int) -> Tables:
    """All cells of all `datasets`; one dense cell and some others have failed."""
    grid = [("dense", None, 0.0), *((m, s, p) for p in (0.5, 0.8, 0.95) for m, s in METHODS)]
    identities = [
        {
            "protocol": "standard",
            "protocol_sha256": "0" * 12,
            "model": "mlp(widths=[256])",
            "dataset": dataset,
            "method": method,
            "solver": solver,
            "sparsity": sparsity,
            "seed": seed,
        }
        for dataset, (method, solver, sparsity), seed in itertools.product(datasets, grid, range(seeds))
    ]
    cells = pd.DataFrame([_cell(identity) for identity in identities])
    ok = cells[cells["status"] == "ok"].to_dict("records")
    return Tables(cells, pd.DataFrame([layer for cell in ok for layer in _cycles(cell)]))


def _cell(identity: dict) -> dict:
    key = hashlib.sha256(repr(sorted(identity.items(), key=str)).encode()).hexdigest()
    status, reason = _outcome(identity)
    attempt = math.nan if status == "missing" else 1
    results = _results(identity, key)
    if status != "ok":
        results = dict.fromkeys(results)
    head = {"key": key, "suite": "quick", **identity, "status": status, "reason": reason, "attempt": attempt}
    return {**head, **results}


def _outcome(identity: dict) -> tuple[str, str | None]:
    match identity:
        case {"method": "dtc-published", "sparsity": 0.95}:
            return "error", "keep=0.9 at width 12 with solver scs keeps nobody; use fewer cycles"
        case {"method": "random", "sparsity": 0.8, "seed": 1}:
            return "oom", "CUDA out of memory:\n  tried to allocate 2.00 GiB"
        case {"method": "magnitude", "sparsity": 0.5, "seed": 2}:
            return "missing", None
    return "ok", None


def _results(identity: dict, key: str) -> dict:
    sparsity, method = identity["sparsity"], identity["method"]
    noise = np.random.default_rng(int(key[:8], 16)).normal(0, 0.004)
    training_s, energy_j = 13.5 - 4 * sparsity, 900 * (1 - 0.2 * sparsity) * (1 + noise)
    accuracy = 0.96 - 0.01 * identity["seed"] - LOSS.get(method, 0) * sparsity**3 + noise
    return {
        "accuracy": accuracy,
        "accuracy_before": accuracy - 0.01,
        "accuracy_after": accuracy - 0.03,
        "validation_accuracy": accuracy + 0.002,
        "bits_per_character": math.nan,
        "sparsity_reached": sparsity,
        "parameters": round(203530 * (1 - sparsity)),
        "parameters_dense": 203530,
        "training_flops": 10**9 * (1 - 0.6 * sparsity),
        "inference_flops": round(407060 * (1 - sparsity)),
        "train_s": 12.5 - 4 * sparsity,
        "compress_s": 1.0,
        "evaluate_s": 0.5,
        "wall_s": 15.0,
        "energy_j": energy_j,
        "quantisation_j": 0.0,
        "repeats": 1,
        "energy_method": "counter",
        "energy_reason": None,
        "energy_flags": "short" if sparsity == 0.95 else "",
        "training_s": training_s,
        "mean_power_w": energy_j / training_s,
        "idle_w": 30.0,
        "net_energy_j": energy_j - 30 * training_s,
        "gpu": "NVIDIA A100-SXM4-80GB",
        "gpu_uuid": "GPU-0",
        "simulated": False,
        "cpu_energy_j": math.nan,
        "hardware_class": HARDWARE,
        "stack": hashlib.sha256(b"stack").hexdigest(),
    }


def _cycles(cell: dict) -> list[dict]:
    shared = ["key", "protocol", "protocol_sha256", "model", "dataset", "method", "solver", "seed"]
    measures = cell["method"].startswith("dtc")
    layers = []
    for cycle, group in itertools.product(range(10), [None] if cell["method"] == "dense" else ["fc1", "fc2"]):
        done = (cycle + 1) / 10
        test = cell["accuracy"] - 0.3 * (1 - done) ** 2
        bits = 4.5 - 2 * done * cell["sparsity"] + 0.01 * cell["seed"] + (0.1 if group == "fc2" else 0)
        layers.append(
            {
                **{name: cell[name] for name in shared},
                "sparsity_planned": cell["sparsity"],
                "cycle": cycle,
                "step": 50 * (cycle + 1),
                "sparsity": done * cell["sparsity"],
                "loss": 0.5,
                "cumulative_j": 0.9 * done * cell["energy_j"],
                "validation_before": test + 0.01,
                "validation_after": None if group is None else test - 0.02,
                "test_before": test,
                "test_after": None if group is None else test - 0.03,
                "group": group,
                **dict.fromkeys(["width_before", "width_after", "measurements", "nonzeros", "solver_s"], 1),
                **{name: (bits / (5 if "norm" in name else 1) - ("out" in name) / 10) if measures else None
                   for name in ENTROPIES},
            }
        )  # fmt: skip
    return layers


@pytest.fixture(scope="session")
def run() -> Tables:
    """One dataset, three seeds."""
    return tables(["digits"], 3)


@pytest.fixture(scope="session")
def two_pools() -> Tables:
    """Two datasets, two seeds."""
    return tables(["digits", "mnist"], 2)


@pytest.fixture(scope="session")
def six_pools() -> Tables:
    """Six datasets, as many as ranks need; one seed."""
    return tables(["digits", "mnist", "c", "d", "e", "f"], 1)
