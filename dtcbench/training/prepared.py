"""A data set's samples, converted once for all the cells that this process trains on them in a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dtcbench.datasets.splits import Splits
from dtcbench.training.loop import Samples, Stored, stored, to_device

LARGEST = 1 << 30
"""Bytes of converted samples that are held at most: every worker process of a node holds its own."""


@dataclass(frozen=True)
class _Kept:
    sha256: str
    train: Samples
    test: Samples
    versions: tuple[int, ...]

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return (self.train.x, self.train.y, self.test.x, self.test.y)


_kept: list[_Kept] = []
"""The last data set, or none."""


def prepared(splits: Splits, sha256: str, device: torch.device) -> tuple[Samples, Samples] | tuple[Stored, Stored]:
    """The samples of the splits whose content has this digest, on the device; nobody may write to them.

    On the CPU those of the process's last data set are kept, and given again if the digest is the same and nothing has
    written to them since: torch counts every change in place. A GPU's memory is left to others between two cells.
    Samples that would take more than `LARGEST` bytes are not converted here: every batch is, to the same values.
    """
    if _converted_bytes(splits) > LARGEST:
        return stored(splits, device)
    if device.type != "cpu":
        return to_device(splits, device)
    if not (_kept and _kept[0].sha256 == sha256 and _versions(_kept[0].tensors) == _kept[0].versions):
        _kept.clear()  # first: two data sets at once take twice the memory
        train, test = to_device(splits, device)
        _kept.append(_Kept(sha256, train, test, _versions((train.x, train.y, test.x, test.y))))
    return _kept[0].train, _kept[0].test


def _converted_bytes(splits: Splits) -> int:
    """Of the samples as float32 or, of texts, int64, and of labels as int64."""
    width = 8 if splits.pixels is None else 4
    inputs = splits.train_x.size + splits.test_x.size
    return width * inputs + 8 * (splits.train_y.size + splits.test_y.size)


def _versions(tensors: tuple[torch.Tensor, ...]) -> tuple[int, ...]:
    return tuple(tensor._version for tensor in tensors)
