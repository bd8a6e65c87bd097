"""What a newcomer copies is valid: the suites shipped and the example in the README."""

import itertools
import re
from pathlib import Path

import pytest
from suites_for_tests import TINY

from dtcbench.energy.integrate import REFRESH_S
from dtcbench.energy.phases import COARSE_SHARE
from dtcbench.plan import claim, shipped
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import SuiteError, load, parse, read
from dtcbench.text import duration

TIME = re.compile(r"([\d.]+) (s|min|h)\b")
ROOT = Path(__file__).parents[2]


KEYS = {
    "ablation": ("fc1e9b7ab98709da", "37ccae3cdf4fd32f"),
    "cifar": ("2d79be95deac99fe", "8a39212abd530b97"),
    "claims": ("a20956e99b3f6d44", "1970adf7fb91b55b"),
    "energy": ("23d064d305b535a5", "0e9e4fb260d410a0"),
    "energy-short": ("ff5dcae51e9b340b", "5ac3e0a674781c3d"),
    "lenet": ("f552a39fcf476f84", "8b60921fb03f46b7"),
    "published": ("728696f644420b6a", "1031ff05bdc534b5"),
    "quick": ("fc1e9b7ab98709da", "795c1d6b8c29d246"),
    "smoke": ("ea2f1181f678f2be", "618e9ccee8692c51"),
    "solvers": ("fc1e9b7ab98709da", "37ccae3cdf4fd32f"),
    "transformer": ("ab6d7770a12b59c9", "a970578dd4afec43"),
}
"""Of each suite's first dense cell and its first other one, the beginning of the key that their records have."""


@pytest.mark.parametrize("name", KEYS)
def test_a_shipped_suite_s_cells_keep_their_keys(name):
    cells = expand(load(name)).cells
    dense, other = (next(cell for cell in cells if cell.is_dense is wanted) for wanted in (True, False))
    assert (dense.key[:16], other.key[:16]) == KEYS[name]


@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_suite_is_valid_and_bears_its_files_name(name):
    suite = load(name)
    assert suite.name == name
    assert suite.question.endswith("?")
    counted = re.match(r"(\d+) cells", suite.cost)
    assert counted is None or int(counted[1]) == len(expand(suite).cells)


@pytest.mark.parametrize("name", ["energy", "energy-short"])
def test_windows_of_use_are_not_coarse_even_if_the_pilot_that_sized_them_was_slower_by_four_tenths(name):
    assert load(name).use.window / 1.4 > REFRESH_S / COARSE_SHARE


@pytest.mark.parametrize("name", ["energy", "energy-short"])
def test_the_cost_of_an_energy_suite_is_the_sum_of_its_parts_as_the_suite_has_them(name):
    suite = load(name)
    cells, sizes = expand(suite).cells, len(suite.use.batch_sizes)
    removing = sum(not cell.method.name.startswith("dense") for cell in cells)
    parts = {
        "of idling": 2 * suite.energy.idle * len(cells),
        "of use": suite.use.seconds(4 * sizes * removing + 2 * sizes * (len(cells) - removing)),
        "of cooling": suite.energy.cool_down.at_most * len(cells),
    }
    assert [what for what, taken_s in parts.items() if f" {duration(taken_s)} {what}" not in suite.cost] == []
    told = [float(number) * {"s": 1, "min": 60, "h": 3600}[unit] for number, unit in TIME.findall(suite.cost)]
    assert told[0] == pytest.approx(sum(told[1:]), rel=0.01)
    page = (ROOT / "docs/energy.md").read_text(encoding="utf-8")
    assert all(f"| {number} {unit} |" in page for number, unit in TIME.findall(suite.cost))


def test_the_readmes_example_is_a_valid_suite():
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(expand(parse(example, "README.md")).cells) == 3 * (1 + 4 * 4)


def test_quick_is_the_grid_the_readme_shows_results_of():
    cells = expand(load("quick")).cells
    assert len(cells) == 51
    assert {cell.method.name for cell in cells} == {"dense", "dtc", "dtc-published", "magnitude", "random"}


def test_published_is_the_papers_methods_also_with_fresh_draws_by_the_papers_seed_and_nineteen_others():
    cells = expand(load("published")).cells
    published = itertools.product(["magnitude-published", "random-published", "dtc-published"], [42424242, *range(19)])
    fresh = itertools.product(["random-published(draws=fresh)", "dtc-published(draws=fresh)"], range(10))
    dense = itertools.product(["dense"], [42424242, *range(6)])
    assert sorted((cell.method.label, cell.seed) for cell in cells) == sorted([*published, *fresh, *dense])


def test_claims_has_each_arm_that_a_claim_compares_on_thirteen_pairs_of_network_and_data():
    cells = expand(load("claims")).cells
    needed = [file.claim.estimand for file in claim.load() if "claims" in (file.claim.cells.suites or ())]
    arms = {label for estimand in needed for label in (*estimand.of, *estimand.minus) if "published" not in label}
    assert arms <= {cell.method.label for cell in cells}
    assert len({(cell.model.label, cell.dataset.label) for cell in cells}) == 13


def test_a_name_means_the_shipped_suite_unless_there_is_a_file_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read("quick") == shipped.text("quick")
    (tmp_path / "smoke").mkdir()
    assert read("smoke") == shipped.text("smoke")
    (tmp_path / "quick").write_text(TINY)
    assert read("quick") == TINY


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("suites/quick.yaml", "did you mean 'quick'?"),
        ("quick.yaml", "did you mean 'quick'?"),
        ("quik", "did you mean 'quick'?"),
        ("zzz", "give the path of a suite's YAML file, or the name of a shipped one"),
    ],
)
def test_what_is_neither_a_file_nor_a_shipped_suite_names_those_that_are_near(tmp_path, monkeypatch, given, meant):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError) as caught:
        read(given)
    assert str(caught.value).startswith(f"{given}: No such file or directory; {meant}")
    assert "`dtcbench suites` lists" in str(caught.value)
