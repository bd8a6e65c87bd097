"""Plain file names for what is called anything at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence


def file_names(labels: Sequence[str]) -> Iterator[str]:
    """A plain name for each label, in their order; names that agree have a number behind them."""
    seen: dict[str, int] = {}
    for label in labels:
        plain = plain_name(label)
        seen[plain] = seen.get(plain, 0) + 1
        yield plain if seen[plain] == 1 else f"{plain}--{seen[plain]}"


def plain_name(label: str) -> str:
    """Lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:100] or "unnamed"
