"""Warming up: what a device does once only must not lie inside an energy window."""

from __future__ import annotations

import torch

from dtcbench.plan.protocol import from_choice
from dtcbench.training.course import Workplace, start
from dtcbench.training.loop import gradient_step

_STEPS = 3


def warm_up(work: Workplace) -> None:
    """Train a network of the cell's kind for a few steps and throw it away.

    CUDA loads its kernels, and cuBLAS and cuDNN reserve their memory, at their first use.
    """
    model = start(work).model
    step = gradient_step(model, torch.optim.SGD(model.parameters(), lr=0.0))
    batch = work.train.first(from_choice(work.cell.protocol).batch_size)
    for _ in range(_STEPS):
        step(batch)
