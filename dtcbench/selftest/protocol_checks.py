"""The claims about every plug-in's protocol, tried with its default options on a small network and the digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from dtcbench import registry
from dtcbench.energy.segments import PhaseTimer
from dtcbench.plan.cell import Cell, Choice
from dtcbench.plan.names import REGISTERED
from dtcbench.plan.protocol import OfPlugin
from dtcbench.selftest.checking import Check, Contradicted
from dtcbench.training.determinism import deterministic
from dtcbench.training.loop import cross_entropy, to_device
from dtcbench.training.protocols import trained
from dtcbench.training.recipe import recipe_of
from dtcbench.training.training_run import CellContext, start

_TRAINED = {"steps": 100, "batch_size": 32, "cycle_steps": 10}
_FEW = (1, 4, 60)
"""Steps of a training: of a rehearsal's last ones, of a rehearsal, and of a short one."""


def checks(name: str) -> list[Check]:
    """The claims about the protocol registered as `name`."""
    protocol = REGISTERED.choice("protocol", name, _TRAINED)
    claims: dict[str, Callable[[Choice], None]] = {
        "its optimiser trains every parameter of the network, each once": _trains_all,
        "its learning rates are finite and not negative to the last step, of few steps too": _schedule_lasts,
        "the dense network learns: its loss on the training data falls": _dense_learns,
        "a cell that compresses, trained twice, has the same bits": _repeats,
    }
    return [Check(claim, partial(_deterministically, run, protocol)) for claim, run in claims.items()]


def _deterministically(run: Callable[[Choice], None], protocol: Choice) -> None:
    with deterministic(1):
        run(protocol)


def _context(protocol: Choice, method: str, sparsity: float) -> CellContext:
    cell = Cell(
        protocol=protocol,
        model=REGISTERED.choice("model", "mlp", {"widths": [16]}),
        dataset=REGISTERED.choice("dataset", "digits", {}),
        method=REGISTERED.choice("method", method, {}),
        solver=None,
        sparsity=sparsity,
        seed=0,
    )
    splits = registry.datasets.bind("digits", {})()
    train, test = to_device(splits, torch.device("cpu"))
    return CellContext(cell, splits, train, test, PhaseTimer(lambda: None))


def _network(protocol: Choice) -> nn.Module:
    return start(_context(protocol, "dense", 0.0)).model


def _trains_all(protocol: Choice) -> None:
    model = _network(protocol)
    groups = recipe_of(model, OfPlugin.of(protocol), 60).optimizer.param_groups
    trained_ones = [id(parameter) for group in groups for parameter in group["params"]]
    left_out = [name for name, parameter in model.named_parameters() if trained_ones.count(id(parameter)) != 1]
    if left_out:
        raise Contradicted(f"{', '.join(left_out)} not once in the optimiser; give it model.parameters()")


def _schedule_lasts(protocol: Choice) -> None:
    for steps in _FEW:
        recipe = recipe_of(_network(protocol), OfPlugin.of(protocol), steps)
        for step in range(steps):
            rates = [float(group["lr"]) for group in recipe.optimizer.param_groups]
            if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
                raise Contradicted(f"learning rates {rates} at step {step} of {steps}; see its schedule")
            recipe.optimizer.step()
            if recipe.schedule is not None:
                recipe.schedule.step()


def _dense_learns(protocol: Choice) -> None:
    context = _context(protocol, "dense", 0.0)
    untrained, (_, compressor) = _network(protocol), trained(context)
    samples = context.train.take(torch.arange(len(context.train)))
    with torch.no_grad():
        before, after = (cross_entropy(model(samples.x), samples.y).item() for model in (untrained, compressor.model))
    if not after < before:
        raise Contradicted(
            f"cross-entropy {before:.3f} before and {after:.3f} after {_TRAINED['steps']} steps of "
            f"{_TRAINED['batch_size']} samples; see its optimiser, learning rate and loss"
        )


def _repeats(protocol: Choice) -> None:
    first, second = (_bits(protocol) for _ in range(2))
    if first != second:
        raise Contradicted(
            "another training of the same cell ended in other weights; draw from torch's generator and keep nothing "
            "from one training to the next"
        )


def _bits(protocol: Choice) -> Any:
    result, compressor = trained(_context(protocol, "magnitude", 0.5))
    return [cycle.loss for cycle in result.cycles], [one.tolist() for one in compressor.model.state_dict().values()]
