"""A suite cut down to a quick rehearsal: the same networks, data, methods and solvers, hardly any training."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import yaml

from dtcbench.plan.document import Document

SUFFIX = "-smoke"
"""Of a rehearsal's name."""
_STEPS = 4
_SAMPLES = 64
_BATCH = 16
_VALIDATION = 0.25
"""A suite's own share of so few samples may round to 0."""


ON_CPU = {"gpus": 0, "accelerator": None}
"""What the cells of a rehearsal are given in place of the suite's GPUs, on a machine without one."""


def rehearsal(text: str, file: str, resources: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The YAML of a valid suite's rehearsal: one seed, the first sparsity above 0, a few steps on a few samples.

    It has the suite's name with `SUFFIX`, so that its records never mix with the suite's own. Its joules mean nothing,
    so that it requires none.

    Parameters
    ----------
    resources : what one cell is given other than the suite says, such as `ON_CPU`
    """
    suite = dict(Document.read(text, file).value)
    suite["name"] = f"{suite['name']}{SUFFIX}"
    suite["cost"] = "a rehearsal: its figures mean nothing"
    suite["resources"] = {**suite.get("resources", {}), **resources}
    suite["protocol"] = _protocols(suite["protocol"], suite["resources"].get("gpus", 0))
    suite["energy"] = {**suite.get("energy", {}), "min_window": "0s", "idle": "0s", "cool_down": {}, "required": False}
    if "use" in suite:
        suite["use"] = {**(suite["use"] or {}), "window": "0.01s", "batch_sizes": [_BATCH]}
    suite["grid"] = [_block(block) for block in suite["grid"]]
    return yaml.safe_dump(suite, sort_keys=False, allow_unicode=True)


def _protocols(given: Any, gpus: float) -> Any:
    if not isinstance(given, list):
        return _protocol(given, gpus)
    return _once([_protocol(one, gpus) for one in given])


def _protocol(given: Any, gpus: float) -> dict[str, Any]:
    protocol: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given)
    if protocol["name"] == "published":
        return {**protocol, "cycle_steps": 1}
    cut = {
        "steps": _STEPS,
        "cycle_steps": 1,
        "samples": _SAMPLES,
        "batch_size": min(_BATCH, protocol.get("batch_size", _BATCH)),
        "validation": _VALIDATION,
    }
    if protocol["name"] == "standard" and protocol.get("warmup"):
        cut["warmup"] = 1
    if protocol.get("accumulate", 1) > 1:
        parts = max(2, int(gpus))
        cut |= {"accumulate": parts, "batch_size": parts * _BATCH // 2}
    return {**protocol, **cut}


def _block(block: dict[str, Any]) -> dict[str, Any]:
    seeds, sparsities = block["seeds"], block.get("sparsities")
    cut: dict[str, Any] = {"seeds": seeds[:1] if isinstance(seeds, list) else 1}
    if sparsities is not None:
        cut["sparsities"] = [next((sparsity for sparsity in sparsities if sparsity > 0), 0.0)]
    return {**block, **cut, "methods": _once([_without_joules(method) for method in block["methods"]])}


def _once(values: list[Any]) -> list[Any]:
    """The values without repetition: they may have differed in what a rehearsal cuts."""
    return [one for number, one in enumerate(values) if one not in values[:number]]


def _without_joules(method: Any) -> Any:
    """The method with its default budget: a rehearsal's joules are none to train for."""
    if isinstance(method, dict) and method.get("budget") == "joules":
        rest = {option: value for option, value in method.items() if option != "budget"}
        return rest if rest.keys() != {"name"} else rest["name"]
    return method
