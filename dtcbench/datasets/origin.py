"""Where a data set would come from on this machine."""

from __future__ import annotations

import sys

from dtcbench import registry


def origin(dataset: str) -> str:
    """In words: inside a package, a folder, the cache, or a download."""
    module = sys.modules[registry.datasets.get(dataset).__module__]
    told = getattr(module, "origin", None)
    return str(told()) if told else f"as {module.__name__} has it"
