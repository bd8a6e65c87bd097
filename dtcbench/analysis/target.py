"""What it takes to reach a target accuracy: optimiser steps and FLOPs of training until validation first is there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dtcbench.analysis.energy_columns import reached_in_cycles

OF_CYCLES = {"steps_to_target": "step", "training_flops_to_target": "training_flops"}
"""By quantity, the column of the cycles that counts it up to the end of a cycle's training."""
OF_CELLS = {"steps_to_target": "steps", "training_flops_to_target": "training_flops"}
"""The same over the whole training, for a cell that only its end takes to the target."""


def with_costs(cells: pd.DataFrame, cycles: pd.DataFrame) -> pd.DataFrame:
    """`cells`, as `energy_columns.with_targets` gives them, with the columns of `OF_CYCLES`.

    Infinite where the target was never reached; NaN where that, or the count, is not known.
    """
    first = reached_in_cycles(cells, cycles)
    columns = {}
    for name, column in OF_CYCLES.items():
        counts = first[column] if column in first else pd.Series(np.nan, index=first.index)
        whole = cells[OF_CELLS[name]] if OF_CELLS[name] in cells else pd.Series(np.nan, index=cells.index)
        in_a_cycle = cells["key"].isin(first.index)
        at_the_end = whole.where(cells["reached"] == 1).astype(float).mask(cells["reached"] == 0, np.inf)
        columns[name] = cells["key"].map(counts).astype(float).where(in_a_cycle, at_the_end)
    return cells.assign(**columns)
