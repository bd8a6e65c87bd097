"""What every column of every table means: from the record's fields, and from the descriptions of derived columns.

`docs/columns.md` is `markdown()`. To rebuild it:

    python -c 'from dtcbench.records.dictionary import markdown; print(markdown(), end="")' > docs/columns.md
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from dtcbench.analysis import leaderboard, summary
from dtcbench.records import use
from dtcbench.records.tables import CELLS, CYCLES, POWER, USE

TABLES: dict[str, Mapping[str, str]] = {
    "cells": CELLS,
    "cycles": CYCLES,
    "power": POWER,
    "use": USE,
    "leaderboard.csv": leaderboard.ALL_COLUMNS,
    "summary.csv": summary.COLUMNS,
    "use.csv": use.COMPARED,
}
"""By table, the meaning of each of its columns, in order."""
ABOUT = {
    "cells": "One row per planned cell: what it is, how it ended, what it measured, where it ran.",
    "cycles": "One row per ok cell, train-compress cycle and prunable group; of `dense`, one per cycle.",
    "power": "One row per sample of a GPU's power while a cell ran.",
    "use": "One row per ok cell and way of using its final network, if the suite asks for it.",
    "leaderboard.csv": "One row per protocol, data set, model, sparsity, method and solver, over its seeds.",
    "summary.csv": "One row per method and pool, over its (data set, model) pairs.",
    "use.csv": "One row per protocol, data set, model, sparsity, method, solver and way of use, over its seeds.",
}
"""By table, what its rows are."""
_UNITS = (
    (r"r2(_.*)?", ""),
    (r"bits_per_character.*|.*_bits|entropy_in_published", "bit"),
    (r"entropy_out_published", "nat"),
    (r"accuracy(_.*)?|difference_(mean|low|high)|(target|validation)_accuracy", "fraction of 1"),
    (r"(validation|test)_(before|after)|sparsity.*|profile", "fraction of 1"),
    (r".*_s(_mean)?", "s"),
    (r"throughput.*", "1/s"),
    (r".*_j", "J"),
    (r".*_mj", "mJ"),
    (r".*_uj", "µJ"),
    (r".*_w", "W"),
    (r".*_c", "°C"),
    (r".*_mhz", "MHz"),
    (r".*_pct", "%"),
    (r".*_flops", "FLOP"),
)
"""Units by the column's name; the first that matches counts."""


def unit(column: str) -> str:
    """The unit of a column, by its name; empty for a count, a text or a ratio, and where the meaning states it."""
    return next((unit for pattern, unit in _UNITS if re.fullmatch(pattern, column)), "")


def lines(table: str, absent: Collection[str] = ()) -> list[str]:
    """A line of Markdown for each column of a table but the `absent`: its name, its unit and its meaning."""
    return [
        f"- `{name}`{f' ({unit(name)})' if unit(name) else ''}: {meaning}"
        for name, meaning in TABLES[table].items()
        if name not in absent
    ]


def markdown() -> str:
    """The data dictionary: all tables and all their columns."""
    blocks = [
        "# Columns",
        "What every column of every table means. The tables are `dtcbench.Run.cells`, `.cycles`, `.power`, `.use`, "
        "and the files `tables/*.parquet`, `leaderboard.csv`, `summary.csv` and `use.csv` of a run or a bundle.",
        "A value that was not measured is missing, with its reason, and never 0.",
    ]
    for table in TABLES:
        blocks += [f"## {table}", ABOUT[table], "\n".join(lines(table))]
    return "\n\n".join(blocks) + "\n"
