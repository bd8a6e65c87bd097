"""A claim about one axis value, and the function that tries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from numpy.typing import NDArray


class Contradicted(Exception):  # noqa: N818 - the verdict on a claim, not a fault
    """What was seen that contradicts a claim: the value, what was expected, and the remedy."""


@dataclass(frozen=True)
class Check:
    """One claim about one axis value."""

    claim: str
    """A sentence, such as `k right-hand sides at once equal one by one`."""
    run: Callable[[], None]
    """Raises Contradicted, or any error that the axis value itself raises."""
    waived: str = ""
    """Why the value does not make this claim, in its own words; empty if it makes it."""


class Elsewhere(torch.Tensor):
    """A tensor that NumPy cannot see, as on a GPU."""

    def __array__(self, *_: object) -> NoReturn:
        raise TypeError("NumPy cannot see this tensor, as it cannot see one on a GPU; compute with torch")

    @classmethod
    def of(cls, array: NDArray[Any]) -> Elsewhere:
        """A copy of the array."""
        return torch.tensor(array).as_subclass(cls)
