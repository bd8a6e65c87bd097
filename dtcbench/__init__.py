"""dtcbench: the independent test bench for Dual Tomographic Compression and its rivals.

Load a run or a published bundle:

    import dtcbench

    run = dtcbench.Run("runs/quick")
    run.cells.pivot_table("accuracy", "sparsity_reached", "method")

docs/library.md shows the other names of `__all__`, docs/design.md the package's rooms.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dtcbench.records.run import Run
    from dtcbench.registry import (
        register_dataset,
        register_method,
        register_model,
        register_protocol,
        register_solver,
    )
    from dtcbench.running import run
    from dtcbench.training.compressor import Compressor

__version__ = "0.1.0"
__all__ = [
    "Compressor",
    "Run",
    "register_dataset",
    "register_method",
    "register_model",
    "register_protocol",
    "register_solver",
    "run",
]
_DECORATORS = ("register_dataset", "register_method", "register_model", "register_protocol", "register_solver")
_HOMES = {
    "Compressor": "dtcbench.training.compressor",
    "Run": "dtcbench.records.run",
    "run": "dtcbench.running",
    **dict.fromkeys(_DECORATORS, "dtcbench.registry"),
}
"""The module that each name of `__all__` comes from. It is imported at first use: some bring torch or pandas."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dtcbench' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
