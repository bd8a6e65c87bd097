"""Training and evaluating: the steps every protocol is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dtcbench.datasets.splits import Splits
from dtcbench.errors import UserError
from dtcbench.training.randomness import generator, torch_generator


@dataclass(frozen=True)
class Samples:
    """Normalised inputs [N, …] and labels [N], on the cell's device."""

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int) -> Iterator[Samples]:
        """Consecutive batches in file order; the last may be smaller."""
        for x, y in zip(self.x.split(size), self.y.split(size), strict=True):
            yield Samples(x, y)

    def take(self, index: torch.Tensor) -> Samples:
        """The samples at `index`."""
        return Samples(self.x[index], self.y[index])


def to_device(splits: Splits, device: torch.device) -> tuple[Samples, Samples]:
    """Train and test samples as `(x / scale − mean) / std` in float32, in this order of operations."""

    def samples(x: np.ndarray, y: np.ndarray) -> Samples:
        scaled = torch.from_numpy(np.array(x)).to(device).float().div_(splits.scale)
        labels = torch.from_numpy(np.array(y)).to(device).long()
        return Samples(scaled.sub_(splits.mean).div_(splits.std), labels)

    return samples(splits.train_x, splits.train_y), samples(splits.test_x, splits.test_y)


def hold_out(samples: Samples, fraction: float, seed: int) -> tuple[Samples, Samples]:
    """(train, validation): a random `fraction` of the samples, by the cell's seed, goes to validation."""
    order = torch.from_numpy(generator(seed, "validation").permutation(len(samples))).to(samples.x.device)
    held_out = round(len(samples) * fraction)
    if not 0 < held_out < len(samples):
        raise UserError(f"protocol.validation {fraction:g} of {len(samples)} samples leaves a split empty; change it")
    return samples.take(order[held_out:]), samples.take(order[:held_out])


def shuffled_batches(samples: Samples, size: int, seed: int) -> Iterator[Samples]:
    """Batches without end, every epoch in a new order that the seed and the epoch alone decide."""
    epoch = 0
    while True:
        order = torch.randperm(len(samples), generator=torch_generator(seed, "order", epoch))
        for index in order.to(samples.x.device).split(size):
            yield samples.take(index)
        epoch += 1


@dataclass(frozen=True)
class Trained:
    """What some training steps came to."""

    loss: float
    """Of the last batch; may be NaN or infinite."""
    samples: int
    """Samples seen."""


Step = Callable[[Samples], torch.Tensor]
"""Learn from one batch; its loss, a scalar."""


def gradient_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> Step:
    """Cross-entropy's gradient by autograd, and one step of the optimiser along it."""

    def step(batch: Samples) -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(batch.x), batch.y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def train(model: nn.Module, step: Step, batches: Iterable[Samples]) -> Trained:
    """One step per batch, the model in training mode."""
    model.train()
    seen, last = 0, torch.tensor(float("nan"))
    for batch in batches:
        last = step(batch)
        seen += len(batch)
    return Trained(last.item(), seen)


@torch.no_grad()
def correct_per_batch(model: nn.Module, samples: Samples, size: int) -> list[tuple[int, int]]:
    """(correct, batch length) for each batch in file order; the model is left in training mode."""
    model.eval()
    counted = [(model(batch.x).argmax(1).eq(batch.y).sum(), len(batch)) for batch in samples.batches(size)]
    model.train()
    return [(int(correct), length) for correct, length in counted]


def accuracy(model: nn.Module, samples: Samples, size: int = 4096) -> float:
    """Fraction of the samples classified correctly."""
    return sum(correct for correct, _ in correct_per_batch(model, samples, size)) / len(samples)


def mean_batch_accuracy(model: nn.Module, samples: Samples, size: int) -> float:
    """Mean over batches of each batch's accuracy, as published: a smaller last batch weighs as much."""
    fractions = [correct / length for correct, length in correct_per_batch(model, samples, size)]
    return float(np.mean(fractions))
