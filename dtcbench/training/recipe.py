"""What a protocol makes of a training: optimiser, learning rate, loss, step and augmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from dtcbench import registry
from dtcbench.cycles import Cycles
from dtcbench.datasets.augmentation import crop_flip
from dtcbench.datasets.splits import Augment, Splits, Task
from dtcbench.errors import UserError
from dtcbench.plan.protocol import AnyProtocol, InCycles, Published, Standard
from dtcbench.training.loop import Forward, Loss, Step, cross_entropy, gradient_step, own_loss


@dataclass(frozen=True)
class Recipe:
    """What a network is trained by: `standard`'s options make one, and so does a plug-in's protocol.

    All else is the training's: steps, batches and their order, clipping, compressions, evaluations, FLOPs and joules.
    """

    optimizer: torch.optim.Optimizer
    """Of the network's parameters; it takes one step a batch, and a compression cuts its state."""
    schedule: LRScheduler | None = None
    """Stepped after every step of the optimiser; None if the learning rate is constant."""
    loss: Loss = own_loss
    """A mean over samples; by default the data set's own. What is evaluated does not depend on it."""

    def state_dict(self) -> dict[str, Any]:
        """The state of optimiser and learning rate; the loss has none."""
        schedule = self.schedule and self.schedule.state_dict()
        return {"optimizer": self.optimizer.state_dict(), "schedule": schedule}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there, with the same parameters."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])


def recipe_of(model: nn.Module, protocol: InCycles, steps: int) -> Recipe:
    """The recipe of a training of so many steps; UserError if a plug-in's protocol gives none."""
    if isinstance(protocol, Standard):
        optimizer = optimizer_of(model, protocol)
        return Recipe(optimizer, schedule_of(optimizer, protocol, steps), loss_of(protocol))
    name = protocol.chosen.name
    recipe = registry.protocols.bind(name, protocol.chosen.values)(model, steps)
    if not isinstance(recipe, Recipe):
        raise UserError(
            f"protocol {name!r} gives a {type(recipe).__name__}; return Recipe(optimizer, schedule, loss) of "
            "dtcbench.training.recipe"
        )
    return recipe


def optimizer_of(model: nn.Module, protocol: Standard) -> torch.optim.Optimizer:
    """The optimiser of all parameters, in two groups if some of them do not decay."""
    parameters, lr, decay = _parameters(model, protocol), protocol.lr, protocol.weight_decay
    match protocol.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, lr=lr, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=decay)


def _parameters(model: nn.Module, protocol: Standard) -> list[dict[str, Any]]:
    parameters = list(model.parameters())
    if protocol.weight_decay_of == "all":
        return [{"params": parameters}]
    matrices, vectors = ([p for p in parameters if (p.ndim > 1) == wanted] for wanted in (True, False))
    return [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]


def schedule_of(optimizer: torch.optim.Optimizer, protocol: Standard, steps: int) -> LRScheduler | None:
    """The course of the learning rate over a training of so many steps; None if it is constant."""
    if warmup := protocol.warmup * steps // protocol.steps:
        return LambdaLR(optimizer, partial(share_of_lr, warmup=warmup, steps=steps, schedule=protocol.schedule))
    return CosineAnnealingLR(optimizer, steps) if protocol.schedule == "cosine" else None


def share_of_lr(step: int, warmup: int, steps: int, schedule: str) -> float:
    """The learning rate of a step, counted from 0, as a share of the full one, which the last of `warmup` steps has."""
    if step < warmup:
        return (step + 1) / warmup
    return 1.0 if schedule == "constant" else (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def misfit(protocol: AnyProtocol, shape: tuple[int, ...], task: Task) -> str | None:
    """What of the protocol cannot be done to samples of this shape for this task, with the remedy; None if all can."""
    is_regression = task == "regression"
    if isinstance(protocol, Published):
        wrong = "protocol published trains by the cross-entropy of classes, and a regression has none; use standard"
        return wrong if is_regression else None
    if is_regression and isinstance(protocol, Standard) and protocol.label_smoothing:
        smoothing = f"protocol.label_smoothing {protocol.label_smoothing:g}"
        return f"{smoothing} is for classes, and a regression has none; remove it"
    if protocol.augment == "crop-flip" and math.prod(shape[1:]) == 1:
        sample = f"a sample has shape {list(shape)}"
        return f"protocol.augment {protocol.augment} is for images, and {sample}; write none, or remove it"
    return None


def loss_of(protocol: Standard) -> Loss:
    """The loss that is trained by."""
    smoothing = protocol.label_smoothing
    return partial(cross_entropy, label_smoothing=smoothing) if smoothing else own_loss


def step_of(
    model: nn.Module,
    protocol: Cycles,
    recipe: Recipe,
    others: Sequence[torch.device] = (),
    penalty: Callable[[], torch.Tensor | None] = lambda: None,
    forward: Forward = nn.Module.__call__,
) -> Step:
    """One step of the training by `loss`, on the network's board and the `others`; `penalty` is what the method adds to
    the loss, if anything, and `forward` how an input goes through the network."""
    return gradient_step(
        model,
        recipe.optimizer,
        recipe.schedule,
        loss=recipe.loss,
        forward=forward,
        at_once=samples_at_once(protocol),
        clip=protocol.clip,
        precision=protocol.precision,
        others=others,
        penalty=penalty,
    )


def samples_at_once(protocol: Cycles) -> int:
    """The most samples that go through the network together."""
    return protocol.batch_size // protocol.accumulate


def augmentation(protocol: Cycles, splits: Splits) -> Augment | None:
    """What is done to training batches."""
    if protocol.augment == "dataset":
        return splits.augment
    return crop_flip if protocol.augment == "crop-flip" else None
