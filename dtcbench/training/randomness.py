"""Random numbers of a cell: each generator derives from the cell's seed and a purpose, so that no
draw depends on another purpose's draws, on scheduling, or on a global state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """NumPy generator for one purpose, such as `("compress", cycle, group)`, of the cell with `seed`."""
    return np.random.default_rng(_sequence(seed, purpose, indices))


def torch_generator(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """The same for torch, on the CPU."""
    (state,) = _sequence(seed, purpose, indices).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Torch's and NumPy's global generators set by the cell's seed, and afterwards back as they were.

    Nothing here draws from them, but a plug-in's network may: torch's own layers initialise themselves
    and drop out by the global generator.
    """
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global generator is the point
    state = int(_sequence(seed, "global", ()).generate_state(1)[0])
    with torch.random.fork_rng():
        torch.manual_seed(state)
        np.random.seed(state)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002


def _sequence(seed: int, purpose: str, indices: tuple[int, ...]) -> np.random.SeedSequence:
    label = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.SeedSequence([seed, label, *indices])
