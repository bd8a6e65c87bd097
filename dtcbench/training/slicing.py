"""Direct slicing of a chain of Linear layers: keeps any order of the neurons, and is the oracle of `surgery`."""

from __future__ import annotations

import torch
from torch import nn

from dtcbench.dtc.selection import Indices
from dtcbench.training.surgery import PrunableGroup


def shrink(group: PrunableGroup, kept: Indices) -> None:
    """Take all neurons but `kept` out of a group of two Linear layers, in place, and put them in its order.

    Sums over neurons are rounded in their order, which is why protocol `published` needs this.
    ValueError for a group with other layers.
    """
    producer, consumer = group.producer, group.consumer
    if not (isinstance(producer, nn.Linear) and isinstance(consumer, nn.Linear) and len(group.members) == 2):
        raise ValueError(f"group {group.name} is no pair of Linear layers")
    index = torch.from_numpy(kept).to(producer.weight.device)
    with torch.no_grad():
        producer.weight = nn.Parameter(producer.weight.index_select(0, index))
        if producer.bias is not None:
            producer.bias = nn.Parameter(producer.bias.index_select(0, index))
        consumer.weight = nn.Parameter(consumer.weight.index_select(1, index))
    producer.out_features = consumer.in_features = len(kept)
