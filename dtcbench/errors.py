"""The one class of errors that are the user's to mend."""

from __future__ import annotations


class UserError(ValueError):
    """Something asked for cannot be done; the message names the thing, the value and the remedy.

    The command line prints the message alone and ends with exit code 2.
    """
