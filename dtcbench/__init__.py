"""dtcbench: the independent test bench for Dual Tomographic Compression and its rivals.

In a notebook or a script:

    import dtcbench

    run = dtcbench.Run("runs/quick")
    run.cells.groupby(["method", "sparsity"])["accuracy"].mean().unstack().plot()

The rooms read in the order data flow through them: `plan` (what to run), `execution` (running
it), `training` with `dtc`, `models`, `datasets`, `methods`, `solvers` (one cell), `energy`,
`records` (what a cell left behind), `analysis` (what it means), `report` (how it is shown).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dtcbench.library import Run

__version__ = "0.1.0"
__all__ = ["Run"]


def __getattr__(name: str) -> Any:
    """What `__all__` names, imported when it is asked for: it brings pandas, which not every command needs."""
    if name not in __all__:
        raise AttributeError(f"module 'dtcbench' has no attribute {name!r}; it has {', '.join(__all__)}")
    from dtcbench import library

    return getattr(library, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
