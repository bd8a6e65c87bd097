"""Small cells and what they run on, for the tests of training and execution."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel

from dtcbench import registry
from dtcbench.datasets.splits import Splits
from dtcbench.energy.segments import PhaseTimer
from dtcbench.execution.task import Job, Task
from dtcbench.models.packages import package_of
from dtcbench.plan.cell import Cell, Choice
from dtcbench.plan.metering import Metering
from dtcbench.plan.names import REGISTERED
from dtcbench.plan.protocol import Published, Standard
from dtcbench.plan.request import Request
from dtcbench.training.determinism import make_deterministic
from dtcbench.training.loop import to_device
from dtcbench.training.training_run import CellContext

METERING = Metering()
OWN_MODELS = [name for name in registry.models.names() if package_of(registry.models.get(name)) is None]
"""The models that need no other library."""


def choice(axis, name, **options) -> Choice:
    """An axis value with its defaults filled in, as a suite would plan it."""
    return REGISTERED.choice(axis.noun, name, options)


def cell(method="dtc", sparsity=0.5, seed=0, widths=(32,), lr=0.01, solver="lars", keep=0.8, **options) -> Cell:
    """A cell on digits of well under a second: 60 steps, compressions every 5; `options` are the protocol's."""
    protocol = Standard(name="standard", steps=60, batch_size=32, lr=lr, cycle_steps=5, keep=keep, **options)
    return _cell(
        protocol, choice(registry.models, "mlp", widths=list(widths)), "digits", method, sparsity, seed, solver
    )


def published_cell(method, dataset="mnist", widths=(512,), bias=False, seed=42424242, solver="scs", **options) -> Cell:
    """A cell of protocol published, with the paper's values unless `options` say otherwise."""
    model = choice(registry.models, "mlp", widths=list(widths), bias=bias)
    sparsity = 0.0 if method == "dense" else None
    return _cell(Published(name="published", **options), model, dataset, method, sparsity, seed, solver)


def _cell(protocol, model, dataset, method, sparsity, seed, solver) -> Cell:
    uses_solver = registry.uses_solver(method)
    return Cell(
        protocol=protocol.choice,
        model=model,
        dataset=choice(registry.datasets, dataset),
        method=choice(registry.methods, method),
        solver=choice(registry.solvers, solver) if uses_solver else None,
        sparsity=sparsity,
        seed=seed,
    )


def context(the_cell: Cell, splits: Splits | None = None) -> CellContext:
    """What a protocol needs to run the cell on this machine's CPU, without a meter."""
    make_deterministic(the_cell.protocol.values["threads"])
    splits = splits or registry.datasets.bind(the_cell.dataset.name, {})()
    train, test = to_device(splits, torch.device("cpu"))
    phases = PhaseTimer(lambda: None)
    return CellContext(the_cell, splits, train, test, phases)


def job(timeout_s=None, plugins=(), device="cpu", metering=METERING, fail_over=None) -> Job:
    """A run of a suite named tiny."""
    return Job("tiny", device, Request(1, float(device == "cuda")), metering, timeout_s, plugins, fail_over)


def task(the_cell: Cell, device="cpu", plugins=(), attempt=1, metering=METERING) -> Task:
    """An attempt at the cell as a suite named tiny would make it."""
    return Task(the_cell, attempt, job(device=device, plugins=plugins, metering=metering))


def timeless(model: BaseModel) -> Any:
    """What is left of a record or a part of it without times and the attempt's number."""
    return _timeless(model.model_dump(mode="json"))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: part for name, part in value.items() if not _is_of_time(name)}
        return {name: _timeless(part) for name, part in kept.items()}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def _is_of_time(name: str) -> bool:
    return name.endswith("_s") or name in {"attempt", "started_at"}
