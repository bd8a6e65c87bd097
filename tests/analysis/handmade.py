"""Cells and cycles written out by hand, and the leaderboard made of them."""

from __future__ import annotations

import math

import pandas as pd

from dtcbench.analysis import leaderboard
from dtcbench.analysis.leaderboard import ENTROPIES, Leaderboard
from dtcbench.plan.claim import Claim

RESULTS = {
    "accuracy": 0.9,
    "validation_accuracy": math.nan,
    "bits_per_character": math.nan,
    "sparsity_reached": 0.9,
    "steps": 600,
    "hits": None,
    "test_samples": math.nan,
    "parameters": 100,
    "training_flops": 1000,
    "inference_flops": 10,
    "train_s": 2.0,
    "energy_j": math.nan,
    "quantisation_j": math.nan,
    "repeat_spread_j": math.nan,
    "repeats": 1,
    "energy_method": "none",
    "energy_scope": "none",
    "energy_reason": "no meter",
    "energy_flags": "",
    "training_s": 2.0,
    "idle_w": math.nan,
    "gpu": None,
    "gpu_uuid": None,
    "simulated": None,
    "cpu_energy_j": math.nan,
    "hardware_class": "cpu",
    "stack": "aaaa",
}
METER = {
    "quantisation_j": 0.0,
    "energy_method": "counter",
    "energy_scope": "gpu",
    "energy_reason": None,
    "idle_w": 5.0,
    "gpu": "A GPU",
    "gpu_uuid": "GPU-0",
    "simulated": False,
}
CYCLES = ["key", "cycle", "group", "validation_before", "cumulative_j", *ENTROPIES]


def cell(method: str, seed: int, *, status: str = "ok", reason: str | None = None, **values) -> dict:
    """One planned cell; `values` replace what an unremarkable ok cell would hold."""
    dense = method == "dense"
    identity = {
        "protocol": "standard",
        "protocol_sha256": "0" * 12,
        "model": "mlp",
        "dataset": "digits",
        "method": method,
        "solver": "lars" if method == "dtc" else None,
        "sparsity": 0.0 if dense else 0.9,
        "seed": seed,
        "suite": "claims",
    }
    results = RESULTS if status == "ok" else dict.fromkeys(RESULTS)
    row = {**identity, "status": status, "reason": reason, **results, **values}
    return {**row, **_power(row), "key": f"{row['dataset']}-{method}-{row['sparsity']}-{seed}"}


def _power(row: dict) -> dict:
    """What the table of cells derives."""
    if row["status"] != "ok":
        return {"mean_power_w": None, "net_energy_j": None}
    idle_j = row["idle_w"] * row["training_s"]
    return {"mean_power_w": row["energy_j"] / row["training_s"], "net_energy_j": row["energy_j"] - idle_j}


def joules(method: str, values: list[float], **common) -> list[dict]:
    """Metered cells of one method, a seed each; a list in `common` holds a value per seed."""

    def of_seed(seed: int) -> dict:
        return {name: value[seed] if isinstance(value, list) else value for name, value in common.items()}

    return [cell(method, seed, **{"energy_j": value, **METER, **of_seed(seed)}) for seed, value in enumerate(values)]


def layer(cell: dict, cycle: int, group: str | None = "a", *, bits: float | None = None, **values) -> dict:
    """One layer of one cycle with all its entropies equal; `values` are those of the cycle."""
    return {"key": cell["key"], "cycle": cycle, "group": group, **dict.fromkeys(ENTROPIES, bits), **values}


def build(cells: list[dict], cycles: list[dict] | None = None) -> Leaderboard:
    layers = pd.DataFrame(cycles or [], columns=CYCLES)
    return leaderboard.build(pd.DataFrame(cells), layers, suite="quick", question="Which?")


def row(leaderboard: Leaderboard, method: str) -> pd.Series:
    """The only row of a method."""
    found = leaderboard.rows[leaderboard.rows["method"] == method]
    assert len(found) == 1
    return found.iloc[0]


def claim(test: str = "everywhere", **changed) -> Claim:
    """DTC against random removal, judged by `test`."""
    said = {
        "id": "ours",
        "title": "Ours",
        "statement": "DTC is better.",
        "sources": [{"work": "a paper", "version": "v1", "quotation": "better"}],
        "estimand": {"of": ["dtc"], "minus": ["random"]},
        "null": "It is not.",
        "test": test,
        "family": "ours",
    }
    if changed.get("estimand", said["estimand"]).get("quantity", "accuracy") == "accuracy" and test != "entropy_law":
        said["smallest_effect"] = {"points": 1}
    return Claim.model_validate({**said, **changed})
