"""A cell's final network as a safetensors file: its weights, and which neurons of the original network they are of.

    NAME          a tensor of the network's state dict, by its own name
    kept/GROUP    int64 [k]: the neurons of a prunable group that are left, as the original network numbers them
    dtcbench      in the metadata, as JSON: the cell, the shape of a sample, the number of classes

From the cell the original network is built, cut to these neurons, and given the weights. Nothing in the file is code.
It may come from a stranger: all of it is checked before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from dtcbench.datasets.description import sample
from dtcbench.dtc.selection import Indices
from dtcbench.plan.cell import Cell, Choice
from dtcbench.training import tensors
from dtcbench.training.checkpoint import without
from dtcbench.training.compressor import Compressor
from dtcbench.training.network import ModelError, blank, build, outlined
from dtcbench.training.surgery import Surgery
from dtcbench.training.tensors import MOST_BYTES, Tensors

_KEPT, _METADATA = "kept/", "dtcbench"
_MOST_OF_A_SAMPLE = 2**22
"""Numbers in one sample: more than a large image has."""
_MOST_OF_AN_ORIGIN, _MOST_OF_AN_ENTRY = 4096, 128
"""Bytes in a file's header: of the origin, and of a tensor without its name."""
_MOST_WIDE = 2**20
"""Entries of a tensor along one axis: more than a large vocabulary has."""


class Origin(BaseModel):
    """What builds the network before its first compression."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: Cell
    shape: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1, max_length=8)]
    """Of one sample."""
    classes: Annotated[int, Field(gt=0)]
    """The number of classes, the vocabulary's size, or the number of a regression's values."""


@dataclass(frozen=True)
class NetworkFile:
    """The content of such a file."""

    origin: Origin
    kept: Mapping[str, Indices]
    """Per prunable group, the neurons that are left, as the original network numbers them, in their order."""
    state: Tensors
    """The network's state dict."""

    @classmethod
    def of(cls, cell: Cell, shape: tuple[int, ...], classes: int, compressor: Compressor) -> NetworkFile:
        """The file of the network that the compressor has made smaller, for samples of `shape`."""
        origin = Origin(cell=cell, shape=shape, classes=classes)
        return cls(origin, dict(compressor.original_indices), compressor.model.state_dict())

    @classmethod
    def read(cls, content: bytes) -> NetworkFile:
        """What a file says. ValueError says why it cannot be used."""
        found, metadata = tensors.read(content)
        try:
            origin = Origin.model_validate_json(metadata.get(_METADATA, ""))
        except ValidationError as error:
            raise ValueError(f"nothing in it says which network it holds: {error.errors()[0]['msg']}") from None
        if math.prod(origin.shape) > _MOST_OF_A_SAMPLE:
            raise ValueError(f"samples of shape {list(origin.shape)}: more numbers than {_MOST_OF_A_SAMPLE}")
        kept = {
            name.removeprefix(_KEPT): _indices(name, found.pop(name)) for name in list(found) if name.startswith(_KEPT)
        }
        return cls(origin, kept, found)

    def content(self) -> bytes:
        """The file; the same network gives the same bytes."""
        kept = {f"{_KEPT}{name}": torch.from_numpy(indices) for name, indices in self.kept.items()}
        return tensors.written({**self.state, **kept}, {_METADATA: self.origin.model_dump_json()})

    def refuse_another(self, cell: Cell) -> None:
        """ValueError if it holds the network of another cell than this one."""
        if (own := self.origin.cell) != cell:
            raise ValueError(f"it holds the network of another cell, {own.label} ({own.key[:12]})")

    def network(self) -> nn.Module:
        """The network, built anew, in evaluation mode on the CPU.

        ValueError if it cannot be built, if it is larger than any file, or if the file does not fit it.
        """
        shape, classes = self.origin.shape, self.origin.classes
        model = without(self.origin.cell.model)
        _refuse_giant(model, shape, classes)
        network = build(model, shape, classes, torch.Generator().manual_seed(0))
        self._cut(Surgery(network, blank(shape), self.origin.cell.groups))
        tensors.load_into(network, self.state)
        return network.eval()

    def _cut(self, surgery: Surgery) -> None:
        widths = {group.name: group.width for group in surgery.groups}
        if unlike := sorted(widths.keys() ^ self.kept.keys()):
            wrong = (
                "nothing says which neurons are left" if unlike[0] in widths else "the network has none of this name"
            )
            raise ValueError(f"group {unlike[0]}: {wrong}")
        surgery.cut(self.kept, None)


def most_bytes(cell: Cell) -> int:
    """Bytes that the file of its network takes at most: those of a dense one. UserError if it cannot be built."""
    shape, classes = sample(cell.dataset.name, cell.dataset.values)
    network, surgery = outlined(without(cell.model), shape, classes, cell.groups)
    named = [*network.state_dict(), *(f"{_KEPT}{group.name}" for group in surgery.groups)]
    header = _MOST_OF_AN_ORIGIN + sum(len(name) + _MOST_OF_AN_ENTRY for name in named)
    return header + tensors.size(network) + sum(8 * group.width for group in surgery.groups)


def _refuse_giant(model: Choice, shape: tuple[int, ...], classes: int) -> None:
    """ValueError if the network would take more memory, or the tracing of one of its groups, than anybody's does."""
    try:
        with torch.device("meta"):
            network = build(model, shape, classes, torch.Generator("cpu").manual_seed(0))
    except ModelError:  # a model that looks at values; or building it fails in full too, and says so
        return
    if (size := tensors.size(network)) > MOST_BYTES:
        raise ValueError(f"before its compression the network takes {size} bytes, more than {MOST_BYTES}")
    if (widest := max((max(one.shape, default=0) for one in network.state_dict().values()), default=0)) > _MOST_WIDE:
        raise ValueError(f"before its compression the network is {widest} wide, more than {_MOST_WIDE}")


def _indices(name: str, found: torch.Tensor) -> Indices:
    if found.dtype != torch.int64 or found.ndim != 1:
        raise ValueError(f"tensor {name}: {found.dtype} {list(found.shape)} found, int64 [k] wanted")
    indices: Indices = np.asarray(found.numpy(), dtype=np.int64)
    return indices
