"""How long missing cells will take, told from cells of their kind."""

from dataclasses import replace

import pytest
from suites_for_tests import DESIGN

from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse
from dtcbench.report import plans
from dtcbench.report.plans import work_left

CELLS = expand(parse(DESIGN, "suite.yaml")).cells
DENSE = [cell for cell in CELLS if cell.is_dense]
DTC = [cell for cell in CELLS if cell.method.name == "dtc"]
RANDOM = [cell for cell in CELLS if cell.method.name == "random"]


def test_nothing_timed_is_no_work_left():
    assert work_left(CELLS, {}) is None


def test_a_cell_takes_the_mean_of_the_timed_cells_of_its_kind():
    timings = {DTC[0]: 10.0, DTC[1]: 20.0, DENSE[0]: 1.0}
    assert work_left([DTC[2], DENSE[1]], timings) == (15.0 + 1.0, 0)


def test_seed_and_sparsity_are_one_kind():
    other = next(c for c in DTC if c.seed != DTC[0].seed and c.sparsity != DTC[0].sparsity)
    assert work_left([other], {DTC[0]: 7.0}) == (7.0, 0)


def test_a_kind_not_timed_yet_takes_the_mean_of_all_and_is_counted_as_guessed():
    assert work_left([*RANDOM[:2], DTC[1]], {DTC[0]: 10.0, DENSE[0]: 4.0}) == (7.0 + 7.0 + 10.0, 2)


@pytest.mark.parametrize("field", ["protocol", "model", "dataset", "method", "solver"])
def test_another_choice_on_any_axis_is_another_kind(field):
    choice = getattr(DTC[0], field)
    other = replace(DTC[1], **{field: replace(choice, options={"other": 1})})
    assert work_left([other], {DTC[0]: 5.0}) == (5.0, 1)


def test_the_mean_of_a_kind_is_found_once_not_once_a_cell(monkeypatch):
    means = []
    monkeypatch.setattr(plans, "mean", lambda seconds: means.append(seconds) or 1.0)
    work_left(DTC, {DTC[0]: 10.0, DENSE[0]: 1.0})
    assert len(means) == 3  # of all, of dtc, of dense


def test_no_cell_missing_takes_no_time():
    assert work_left([], {DTC[0]: 5.0}) == (0, 0)
