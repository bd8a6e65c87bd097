"""How many steps cost as much arithmetic as a compressed cell's training."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from dtcbench.plan.protocol import Standard
from dtcbench.training.flops import training_flops
from dtcbench.training.loop import samples_in
from dtcbench.training.surgery import Surgery


def compressed_flops(model: nn.Module, example: torch.Tensor, protocol: Standard, sparsity: float, samples: int) -> int:
    """Training FLOPs of a cell that compresses `model` to `sparsity` on an epoch of `samples`.

    Widths alone decide them, so a copy of the network is shrunk by the schedule, untrained. CompressionError
    where a group would be empty.
    """
    rehearsal = copy.deepcopy(model)
    surgery = Surgery(rehearsal, example)
    widths = {group.name: group.width for group in surgery.groups}
    total = done = 0
    for number, fraction in enumerate(protocol.fractions(sparsity), start=1):
        seen = samples_in(number * protocol.cycle_steps, samples, protocol.batch_size)
        total += training_flops(rehearsal, example) * (seen - done)
        done = seen
        for group in surgery.groups:
            surgery.truncate(group, round(widths[group.name] * fraction))
    rest = samples_in(protocol.steps, samples, protocol.batch_size) - done
    return total + training_flops(rehearsal, example) * rest


def steps_for(flops: int, per_sample: int, samples: int, batch_size: int) -> int:
    """The most steps whose batches cost no more than `flops`, at least one."""
    epochs, rest = divmod(flops // per_sample, samples)
    return max(1, epochs * math.ceil(samples / batch_size) + rest // batch_size)
