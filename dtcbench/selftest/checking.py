"""A claim about one axis value, and the function that tries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


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
