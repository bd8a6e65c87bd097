"""The one type that takes the place of a missing value, with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unavailable:
    """Stands in place of a value that is missing, with the reason.

    Examples
    --------
    >>> reading: float | Unavailable = Unavailable("the cell ran on the CPU")
    >>> isinstance(reading, Unavailable)
    True
    """

    reason: str

    def __str__(self) -> str:
        return self.reason
