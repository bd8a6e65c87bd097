"""What a newcomer copies is valid: the suites shipped and the example in the README."""

import itertools
import re
from pathlib import Path

import pytest

from dtcbench.plan.grid import expand
from dtcbench.plan.suite import load, parse

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_suite_is_valid_and_bears_its_files_name(path):
    assert load(path).name == path.stem


def test_the_readmes_example_is_a_valid_suite():
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(expand(parse(example, "README.md")).cells) == 3 * (1 + 4 * 4)


def test_quick_is_the_grid_the_readme_shows_results_of():
    cells = expand(load(ROOT / "suites" / "quick.yaml")).cells
    assert len(cells) == 51
    assert {cell.method.name for cell in cells} == {"dense", "dtc", "dtc-published", "magnitude", "random"}


def test_published_is_the_papers_three_methods_and_their_dense_pair_by_the_papers_seed_and_five_others():
    cells = expand(load(ROOT / "suites" / "published.yaml")).cells
    methods = {"dense", "magnitude-published", "random-published", "dtc-published"}
    seeds = {42424242, 0, 1, 2, 3, 4}
    assert sorted((cell.method.name, cell.seed) for cell in cells) == sorted(itertools.product(methods, seeds))
