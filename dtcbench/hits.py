"""Which test samples a network classified right: one bit each, in the order of the test split.

A cell's accuracy is a mean over them. The hits of two cells of one data set pair sample by sample, so that their
difference can be judged over other images as well as over other seeds.
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray


def packed(hits: NDArray[np.bool_]) -> str:
    """Base64 of the hits [samples] as `numpy.packbits` packs them."""
    return base64.b64encode(np.packbits(hits).tobytes()).decode("ascii")


def unpacked(text: str, samples: int) -> NDArray[np.bool_]:
    """The hits [samples] in `text`. ValueError if it is not what `packed` makes of so many."""
    packed_bytes = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    if samples < 1 or len(packed_bytes) != -(-samples // 8):
        raise ValueError(f"{len(packed_bytes)} bytes are not the bits of {samples} samples")
    bits = np.unpackbits(packed_bytes)
    if bits[samples:].any():
        raise ValueError(f"a bit behind the {samples} samples is set")
    return bits[:samples].astype(np.bool_)
