"""Shards of a plan: together all of it, and no cell without its dense cell."""

import re

import pytest
from suites_for_tests import DESIGN, edited

from dtcbench.errors import UserError
from dtcbench.plan.grid import expand
from dtcbench.plan.shards import share
from dtcbench.plan.suite import parse

TWO_PROTOCOLS = (
    "protocol: {name: standard, steps: 600, batch_size: 64, lr: 0.001, cycle_steps: 50, keep: 0.9}",
    "protocol: [{name: standard, steps: 600}, {name: standard, steps: 300}]",
)
CELLS = expand(parse(edited(DESIGN, TWO_PROTOCOLS, ("seeds: 3", "seeds: 7")), "s.yaml")).cells


@pytest.mark.parametrize("count", range(1, 8))
def test_the_shards_are_the_plan_and_each_cell_is_with_its_whole_block(count):
    shards = [share(CELLS, f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(cell.key for shard in shards for cell in shard) == sorted(cell.key for cell in CELLS)
    seeds = [{cell.seed for cell in shard} for shard in shards]
    assert sum(map(len, seeds)) == 7  # none in two shards, though both protocols have it
    assert max(map(len, seeds)) - min(map(len, seeds)) <= 1
    assert all(list(shard) == [cell for cell in CELLS if cell in shard] for shard in shards)


@pytest.mark.parametrize("shard", ["", "1", "0/2", "3/2", "1/0", "1/2/3", "-1/2", "a/b", "1/8"])
def test_what_is_no_share_is_refused(shard):
    with pytest.raises(UserError, match=re.escape(f"--shard {shard}: ")):
        share(CELLS, shard)
