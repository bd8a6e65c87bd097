"""A saved state of a compressor: what it must agree with, and what of it is no array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dtcbench.dtc.selection import Indices
from dtcbench.errors import CompressionError
from dtcbench.unavailable import Unavailable


def refuse_another(state: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """CompressionError if a state is none, or is of another method, seed or network than a compressor's `own`."""
    if missing := sorted(own.keys() - state.keys()):
        raise CompressionError(f"the state lacks {', '.join(missing)}; give what Compressor.state_dict() returned")
    for name in ("method", "seed"):
        if state[name] != own[name]:
            raise CompressionError(
                f"the state is of {name} {state[name]} and this compressor has {own[name]}; "
                "build it with those of the state"
            )
    if state["original_widths"] != own["original_widths"]:
        raise CompressionError(
            f"the state is of a network with groups {state['original_widths']} and this one has "
            f"{own['original_widths']}; build the network as it was before its first compression"
        )


def places_of(saved: Mapping[str, torch.Tensor], present: Mapping[str, Indices]) -> dict[str, Indices]:
    """Where the saved neurons are among the present ones, both numbered as in the original network.

    Groups that have exactly the saved neurons are left out. CompressionError if saved ones are gone.
    """
    found: dict[str, Indices] = {}
    for name, left in present.items():
        wanted = saved[name].cpu().numpy()
        if gone := np.setdiff1d(wanted, left).tolist():
            raise CompressionError(
                f"group {name}, width {len(left)}: {len(gone)} neurons of the state are already removed; "
                "load it into the network as it was before its first compression"
            )
        if not np.array_equal(wanted, left):
            place = {original: number for number, original in enumerate(left.tolist())}
            found[name] = np.array([place[original] for original in wanted.tolist()], dtype=np.int64)
    return found


def plain(entropies: Mapping[str, float | Unavailable]) -> dict[str, float | str]:
    """Entropies as numbers, and as text the reason why there is none."""
    return {name: value.reason if isinstance(value, Unavailable) else float(value) for name, value in entropies.items()}


def entropies(plain: Mapping[str, float | str]) -> dict[str, float | Unavailable]:
    """The entropies that `plain` made so."""
    return {name: Unavailable(value) if isinstance(value, str) else value for name, value in plain.items()}
