"""Errors that a user can fix, errors of a compression, and suggestions for a mistyped name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something asked for cannot be done; the message names the thing, the value and the remedy.

    The command line prints the message alone and ends with exit code 2.
    """


class AbsentError(UserError):
    """What is asked for is not on this machine; another one may have it."""


class CompressionError(ValueError):
    """A prunable group cannot be compressed as asked; it ends its cell with its message as the reason."""


class NonFiniteError(CompressionError):
    """A network's weights or loss are NaN or infinite."""


class SolverError(CompressionError):
    """A recovery solver failed or did not converge."""


def alike(name: str, choice: Iterable[str]) -> list[str]:
    """At most three of `choice` that a mistyped `name` may mean, best first."""
    return difflib.get_close_matches(name, list(choice), n=3, cutoff=0.5)


def near(name: str, choice: list[str]) -> str:
    """ "did you mean 'fista'?" where `choice` has something close to `name`, and the whole choice."""
    close, known = alike(name, choice), f"known: {', '.join(choice)}"
    return f"did you mean {' or '.join(map(repr, close))}? ({known})" if close else known
