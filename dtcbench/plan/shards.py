"""A share of a plan's cells, for runs side by side: in folders of their own, which `dtcbench merge` unites. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dtcbench.errors import UserError
from dtcbench.plan.cell import Cell


def share(cells: Sequence[Cell], shard: str) -> tuple[Cell, ...]:
    """The cells of shard `NUMBER/COUNT`, from 1 up, in the order of the plan.

    All cells of a model, data set and seed are in one shard, so that each has its dense cell beside it, on the same
    GPU where energy is measured. These blocks go to the shards in turn. UserError if there are more shards.
    """
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", shard)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f"--shard {shard}: give NUMBER/COUNT, such as 1/4 up to 4/4")
    places = {block: place for place, block in enumerate(dict.fromkeys(map(_block, cells)))}
    if count > len(places):
        raise UserError(
            f"--shard {shard}: the suite has cells of {len(places)} models, data sets and seeds, which stay together; "
            f"take at most {len(places)} shards"
        )
    return tuple(cell for cell in cells if places[_block(cell)] % count == number - 1)


def _block(cell: Cell) -> tuple[str, str, int]:
    return cell.model.label, cell.dataset.label, cell.seed
