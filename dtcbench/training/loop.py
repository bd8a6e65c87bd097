"""The steps of training and evaluating that the protocols share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from dtcbench.datasets.splits import Augment, Inputs, Labels, Moments, Pixels, Splits
from dtcbench.errors import NonFiniteError, UserError
from dtcbench.training.boards import Boards
from dtcbench.training.determinism import generator, tf32, torch_generator
from dtcbench.unavailable import Unavailable


@dataclass(frozen=True)
class Samples:
    """Normalised images [N, …] and labels [N], or standardised values [N, k]; or tokens and the next ones [N, T]; on
    the cell's device."""

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int) -> Iterator[Samples]:
        """Consecutive batches in file order; the last may be smaller."""
        for x, y in zip(self.x.split(size), self.y.split(size), strict=True):
            yield Samples(x, y)

    def first(self, count: int | None) -> Samples:
        """The first `count` samples; all if there are fewer, or if `count` is None."""
        return Samples(self.x[:count], self.y[:count])

    def take(self, index: torch.Tensor) -> Samples:
        """The samples at `index`."""
        index = index.to(self.x.device)
        return Samples(self.x[index], self.y[index])


@dataclass(frozen=True)
class Stored:
    """The same samples as the data set has them, mapped from disk if they are there, and converted batch by batch."""

    x: Inputs
    y: Labels
    pixels: Pixels | None
    target_scale: tuple[Moments, ...]
    """Of a regression's values; empty of classes and tokens."""
    device: torch.device

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int) -> Iterator[Samples]:
        """Consecutive batches in file order; the last may be smaller."""
        for start in range(0, len(self), size):
            yield self.converted(slice(start, start + size))

    def first(self, count: int | None) -> Stored:
        """The first `count` samples; all if there are fewer, or if `count` is None."""
        return replace(self, x=self.x[:count], y=self.y[:count])

    def take(self, index: torch.Tensor) -> Samples:
        """The samples at `index`."""
        return self.converted(index.numpy(force=True))

    def converted(self, chosen: slice | NDArray[np.int64] = slice(None)) -> Samples:
        """The chosen ones: images as `(x / scale − mean) / std` in float32, tokens and labels as int64, values as
        `(y − mean) / std` in float32."""
        x, y = (torch.from_numpy(np.array(array[chosen])).to(self.device) for array in (self.x, self.y))
        return Samples(
            x.long() if self.pixels is None else normalised(x, self.pixels),
            standardised(y, self.target_scale) if self.target_scale else y.long(),
        )


@dataclass(frozen=True)
class Selection:
    """Some of the samples, by their indices [n]. They are gathered batch by batch: all at once they would be a copy of
    most of the data."""

    samples: Samples | Stored
    index: torch.Tensor

    def __len__(self) -> int:
        return len(self.index)

    def batches(self, size: int) -> Iterator[Samples]:
        """Consecutive batches in the order of the indices; the last may be smaller."""
        for index in self.index.split(size):
            yield self.samples.take(index)

    def first(self, count: int | None) -> Selection:
        """The first `count` samples; all if there are fewer, or if `count` is None."""
        return replace(self, index=self.index[:count])

    def take(self, index: torch.Tensor) -> Samples:
        """The samples at `index`, as they are numbered here."""
        return self.samples.take(self.index[index.to(self.index.device)])


AnySamples = Samples | Stored | Selection


def stored(splits: Splits, device: torch.device) -> tuple[Stored, Stored]:
    """Train and test samples, to be converted batch by batch."""
    scale = splits.target_scale
    train = Stored(splits.train_x, splits.train_y, splits.pixels, scale, device)
    return train, Stored(splits.test_x, splits.test_y, splits.pixels, scale, device)


def to_device(splits: Splits, device: torch.device) -> tuple[Samples, Samples]:
    """Train and test samples, all converted at once."""
    train, test = stored(splits, device)
    return train.converted(), test.converted()


def normalised(images: torch.Tensor, pixels: Pixels) -> torch.Tensor:
    """uint8 images [N, C, H, W] as float32 ones."""

    def per_channel(value: float | tuple[float, ...]) -> float | torch.Tensor:
        return torch.tensor(value, device=images.device)[:, None, None] if isinstance(value, tuple) else value

    # In place and in this order of operations: the published protocol's bits depend on it.
    return images.float().div_(pixels.scale).sub_(per_channel(pixels.mean)).div_(per_channel(pixels.std))


def standardised(values: torch.Tensor, scale: Sequence[Moments]) -> torch.Tensor:
    """Values [N, k] with mean 0 and standard deviation 1 over those that `scale` was computed of."""
    means, deviations = torch.tensor(scale, dtype=torch.float64).to(values.device).T
    return values.double().sub(means).div(deviations).float()


def hold_out(samples: Samples | Stored, fraction: float, seed: int) -> tuple[Selection, Selection]:
    """(train, validation): a random `fraction` of the samples, by the cell's seed, goes to validation."""
    order = torch.from_numpy(generator(seed, "validation").permutation(len(samples)))
    held_out = round(len(samples) * fraction)
    if not 0 < held_out < len(samples):
        raise UserError(
            f"protocol.validation {fraction:g} of {len(samples)} samples leaves a split empty; "
            "change it, or protocol.samples"
        )
    return Selection(samples, order[held_out:]), Selection(samples, order[:held_out])


class ShuffledBatches(Iterator[Samples]):
    """Endless batches, in a new order and newly augmented every epoch; seed and epoch alone decide both."""

    def __init__(self, samples: AnySamples, size: int, seed: int, augment: Augment | None = None) -> None:
        self._samples, self._size, self._seed, self._augment = samples, size, seed, augment
        self._begin(0)

    def __next__(self) -> Samples:
        if self._taken == len(self._order):
            self._begin(self._epoch + 1)
        batch = self._samples.take(self._order[self._taken])
        self._taken += 1
        return batch if self._augment is None else Samples(self._augment(batch.x, self._draws), batch.y)

    def sizes(self, count: int) -> set[int]:
        """The numbers of samples in the next batches, so many of them."""
        sizes = [len(index) for index in self._order]
        return {sizes[(self._taken + number) % len(sizes)] for number in range(min(count, len(sizes)))}

    def example(self, size: int) -> Samples:
        """A batch of so many samples, made like the others; no later batch depends on it."""
        batch, draws = self._samples.take(self._order[0][:size]), torch_generator(self._seed, "example")
        return batch if self._augment is None else Samples(self._augment(batch.x, draws), batch.y)

    def state_dict(self) -> dict[str, Any]:
        """Where in the epoch it is, and what will be drawn next."""
        return {"epoch": self._epoch, "taken": self._taken, "draws": self._draws.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._begin(state["epoch"])
        self._taken = state["taken"]
        self._draws.set_state(state["draws"])

    def _begin(self, epoch: int) -> None:
        order = torch.randperm(len(self._samples), generator=torch_generator(self._seed, "order", epoch))
        self._epoch, self._taken, self._order = epoch, 0, order.split(self._size)
        self._draws = torch_generator(self._seed, "augmentation", epoch)


def samples_in(steps: int, samples: int, size: int) -> int:
    """Number of samples in `steps` batches of `ShuffledBatches`: the last batch of an epoch may be smaller."""
    epochs, rest = divmod(steps, math.ceil(samples / size))
    return epochs * samples + rest * size


Step = Callable[[Samples], torch.Tensor]
"""Learn from one batch; its loss, a scalar."""
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(the network's output, the labels) → a scalar."""
Forward = Callable[[nn.Module, torch.Tensor], torch.Tensor]
"""(a network, its input) → its output."""


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Mean over all labels, in nats: logits [b, classes] and labels [b], or [b, T, classes] and [b, T].

    All classes alike get the share `label_smoothing` of a label.
    """
    return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), label_smoothing=label_smoothing)


def squared_error(outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean over samples and values of the squared difference, both [b, k]."""
    return functional.mse_loss(outputs, values)


def own_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The data set's own: `squared_error` of values, which are floats, `cross_entropy` of classes and tokens."""
    return (squared_error if targets.is_floating_point() else cross_entropy)(outputs, targets)


def gradient_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    *,
    loss: Loss = cross_entropy,
    forward: Forward = nn.Module.__call__,
    at_once: int | None = None,
    clip: float | None = None,
    precision: str = "fp32",
    others: Sequence[torch.device] = (),
    penalty: Callable[[], torch.Tensor | None] = lambda: None,
) -> Step:
    """The loss's gradient by autograd, one step of the optimiser along it, and one of the learning rate.

    Parameters
    ----------
    loss : a mean over samples
    forward : how an input goes through the network
    at_once : the most samples of one forward and backward pass; all of a batch unless set. The parts of a batch give
        the gradient of the whole
    clip : the largest L2 norm of the gradient of all parameters together
    precision : `fp32`, `tf32` (on a GPU) or `bf16`, of the forward and backward passes; the loss is in float32
    others : further boards, to which the parts of a batch go in turn
    penalty : a scalar whose gradient is added to the loss's; the loss that a step returns is without it
    """
    boards = Boards(model, others)

    def loss_of(part: Samples, network: nn.Module, share: float) -> torch.Tensor:
        device = next(network.parameters()).device
        compute = _in_bf16(forward) if precision == "bf16" else forward
        value = loss(compute(network, part.x.to(device)), part.y.to(device))
        return value if share == 1 else value * share

    def step(batch: Samples) -> torch.Tensor:
        optimizer.zero_grad()
        parts = [batch] if at_once is None else list(batch.batches(at_once))
        losses: list[torch.Tensor] = []
        for first in range(0, len(parts), len(boards)):
            turn = zip(parts[first:], boards.follow(), strict=False)  # every board computes at once
            values = [loss_of(part, network, len(part) / len(batch)) for part, network in turn]
            torch.autograd.backward(values)
            boards.add_gradients()
            losses += [value.detach().to(batch.x.device) for value in values]
        if (added := penalty()) is not None:
            added.backward()
        if clip is not None:
            _clip(model, clip)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        return reduce(torch.add, losses)

    return tf32()(step) if precision == "tf32" else step


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Passes in a protocol's `precision` while the context lasts: `fp32`, `tf32` (on a GPU) or `bf16`."""
    match precision:
        case "tf32":
            return tf32()
        case "bf16":
            return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def _in_bf16(forward: Forward) -> Forward:
    def compute(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with computing_in("bf16", x.device):
            logits = forward(network, x)
        return logits.float()

    return compute


def _clip(model: nn.Module, longest: float) -> None:
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    # An infinite norm would make every gradient 0, and training would stand still unseen.
    nn.utils.clip_grads_with_norm_(model.parameters(), longest, norm.where(norm.isfinite(), torch.nan))


def train(model: nn.Module, step: Step, batches: Iterable[Samples]) -> tuple[float, int]:
    """One step per batch, the model in training mode; the last batch's loss, which may be NaN, and the samples seen."""
    model.train()
    seen, last = 0, torch.tensor(float("nan"))
    for batch in batches:
        last = step(batch)
        seen += len(batch)
    return last.item(), seen


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, without gradients, and afterwards in training mode."""
    model.eval()
    with torch.no_grad():
        yield
    model.train()


def predicted(model: nn.Module, samples: AnySamples, size: int = 1024) -> NDArray[np.bool_]:
    """Whether each label [N] (or next token [N, T]) is predicted, by batches of `size` in file order."""
    with evaluating(model):
        right = [model(batch.x).argmax(-1).eq(batch.y) for batch in samples.batches(size)]
    found: NDArray[np.bool_] = torch.cat(right).cpu().numpy()
    return found


def share(right: NDArray[np.bool_]) -> float:
    """The fraction of the labels (or next tokens) that are predicted."""
    return int(np.count_nonzero(right)) / right.size


def accuracy(model: nn.Module, samples: AnySamples) -> float:
    """Fraction of the labels (or next tokens) that are predicted."""
    return share(predicted(model, samples))


def mean_batch_accuracy(right: NDArray[np.bool_], size: int) -> float:
    """Mean over batches of each batch's accuracy, as published: a smaller last batch weighs as much."""
    return float(np.mean([share(right[start : start + size]) for start in range(0, len(right), size)]))


def r2(model: nn.Module, samples: AnySamples, size: int = 1024) -> float | Unavailable:
    """R2, 1 − SSE / SST, mean over the values [k]; standardising them does not change it.

    Unavailable where a value is the same for all samples: SST is 0. NonFiniteError if an output is not finite.
    """
    with evaluating(model):
        pairs = [(model(batch.x).double(), batch.y.double()) for batch in samples.batches(size)]
    outputs, values = (torch.cat(side).cpu().numpy() for side in zip(*pairs, strict=True))
    if not np.isfinite(outputs).all():
        raise NonFiniteError("an output of the network is not finite; lower the learning rate")
    if constant := [str(number) for number, equal in enumerate(np.ptp(values, axis=0) == 0) if equal]:
        return Unavailable(
            f"no R2: value {', '.join(constant)} of the target is the same for all {len(values)} samples, so SST is 0"
        )
    errors = ((outputs - values) ** 2).sum(axis=0)  # SSE [k]
    spread = ((values - values.mean(axis=0)) ** 2).sum(axis=0)  # SST [k]
    return float(np.mean(1 - errors / spread))


def bits_per_token(model: nn.Module, samples: AnySamples, size: int = 256) -> float:
    """Cross-entropy of the next token given those before it in its sample, in bits."""
    with evaluating(model):
        tokens, nats = 0, []
        for batch in samples.batches(size):
            nats.append(cross_entropy(model(batch.x), batch.y).double() * batch.y.numel())
            tokens += batch.y.numel()
    return float(torch.stack(nats).sum()) / tokens / math.log(2)
