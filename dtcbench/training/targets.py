"""What a caller of `Compressor.compress` asks for, checked, as one target for each prunable group."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from dtcbench.dtc.selection import Target
from dtcbench.errors import CompressionError, UserError, near
from dtcbench.validation import shown

Widths = Mapping[str, int]
"""The width of each prunable group, by name."""


def targets(
    original: Widths, present: Widths, sparsity: Any, counts: Any, keep: Any, *, free: bool = False
) -> dict[str, Target]:
    """The target of each group that has neurons to lose, from the arguments of `Compressor.compress`.

    With `free` widths, the target of each group that is named, also if it has fewer neurons already.

    UserError for arguments that cannot be used; CompressionError for a number of neurons that a group does not have.
    """
    if (sparsity is not None and counts is not None) or (sparsity, counts, keep) == (None, None, None):
        raise UserError("give compress() a sparsity, or counts, or keep, and not both of the first two")
    names = list(original)
    fractions = {name: _kept_fraction(name, value) for name, value in by_group(keep, names).items()}
    if sparsity is not None:
        removed = _sparsity(sparsity)
        numbers = {name: round(width * (1 - removed)) for name, width in original.items()}
    elif counts is not None:
        numbers = {name: _count(name, value) for name, value in by_group(counts, names).items()}
    elif free:
        raise UserError("free widths need a sparsity or counts, whose FLOPs the network is to have; give one of them")
    else:
        return {name: Target(fraction, None) for name, fraction in fractions.items()}
    if isinstance(keep, Mapping) and (ignored := sorted(fractions.keys() - numbers.keys())):
        raise UserError(f"keep names group {', '.join(ignored)}, which counts does not name; give a count for it")
    for name, number in numbers.items():
        if number > present[name] and not free:
            raise CompressionError(
                f"group {name}, width {present[name]}: cannot keep {number} neurons; removed neurons do not come "
                "back, raise the sparsity or lower the count"
            )
    return {
        name: Target(fractions.get(name, number / present[name]), number)
        for name, number in numbers.items()
        if number != present[name] or free
    }


def by_group(value: Any, names: list[str]) -> dict[str, Any]:
    """`value` for every group, or for those that it names; nothing for None. UserError for an unknown name."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    for name in value:
        if name not in names:
            raise UserError(f"unknown group {name!r}; {near(str(name), names)}")
    return dict(value)


def where(group: str, width: int, target: Target, cycle: int) -> str:
    """A group and its target as an error names them; cycles count from 0, as in the records."""
    kept = f"keep {target.keep:g}" if target.count is None else f"{target.count} to keep"
    return f"cycle {cycle}, group {group}, width {width}, {kept}"


def _sparsity(value: Any) -> float:
    number = _plain(value)
    if not _is_number(number, Real) or not 0 <= number < 1:
        raise UserError(f"sparsity {_text(number)} is not at least 0 and below 1")
    return float(number)


def _kept_fraction(group: str, value: Any) -> float:
    number = _plain(value)
    if not _is_number(number, Real) or not 0 < number <= 1:
        raise UserError(f"keep {_text(number)} of group {group} is not above 0 and at most 1")
    return float(number)


def _count(group: str, value: Any) -> int:
    number = _plain(value)
    if not _is_number(number, Integral) or number < 0:
        raise UserError(f"counts {_text(number)} of group {group} is not a whole number of at least 1")
    return int(number)


def _plain(value: Any) -> Any:
    """A NumPy or torch scalar as Python's own number."""
    is_scalar = isinstance(value, np.generic) or (isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0)
    return value.item() if is_scalar else value


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value)
