"""What the tables keep as the terminal gets narrower: whole names, and the figures that matter most."""

import re

import pandas as pd
import pytest
from renderings import on_terminal
from suites_for_tests import TINY, edited

from dtcbench import registry
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse
from dtcbench.publish.compare import moves, moves_view
from dtcbench.records.store import Contents
from dtcbench.report.axes import axis_view
from dtcbench.report.blocks import Table, texts
from dtcbench.report.comparison import comparison
from dtcbench.report.groups import groups_view, model_of
from dtcbench.report.leaderboard_view import leaderboard_view
from dtcbench.report.plans import plan_view

WIDTHS = (60, 70, 80, 100)


def shown(document, width: int) -> str:
    text = on_terminal(document, width)
    assert max(map(len, text.splitlines())) <= width
    return text


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_leaderboard_names_every_row_on_one_line_and_keeps_the_essentials(run, width):
    text = shown(leaderboard_view(run.leaderboard), width)
    lines = text.splitlines()
    for name in ("dtc / lars", "dtc / scs", "dtc-published / scs", "magnitude", "random"):
        assert sum(bool(re.search(rf" {name} +[\d–]", line)) for line in lines) == 3, name
    assert {"removed", "method", "ok"} <= set(words(text))
    dense = next(line.split() for line in lines if line.startswith("0 %"))
    accuracy = 100 * run.cells.query("method == 'dense' and status == 'ok'")["accuracy"].mean()
    assert dense[:4] == ["0", "%", "dense", f"{accuracy:.1f}"]
    assert {"baseline", "3/3"} <= set(dense)


def heading(board, width: int) -> list[str]:
    """The words of the first table's titles."""
    return next(line for line in map(words, shown(leaderboard_view(board), width).splitlines()) if "method" in line)


def test_the_leaderboard_drops_costs_before_intervals(run):
    assert {"params", "FLOPs", "energy"} <= set(heading(run.leaderboard, 100))
    assert not {"params", "FLOPs", "energy"} & set(heading(run.leaderboard, 70))
    assert re.search(r"\[\d+\.\d, \d+\.\d\]", shown(leaderboard_view(run.leaderboard), 80))
    unmeasured = run.unmeasured().leaderboard
    assert {"energy", "time"} <= set(heading(unmeasured, 160))
    assert "energy" not in heading(unmeasured, 80)


def test_a_leaderboard_with_long_names_breaks_them_between_words(run):
    board = run.relabelled("dtc", "dtc(drop=largest, score=coefficients)").leaderboard
    for width in WIDTHS:
        text = words(shown(leaderboard_view(board), width))
        assert {"dtc(drop=largest,", "score=coefficients)"} <= set(text)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plan_shows_every_cell_with_all_that_tells_it_apart(width):
    suite = edited(TINY, ("[dtc, magnitude]", "[{name: dtc, lam: 0.5}, magnitude]"))
    planned = expand(parse(suite, "suite.yaml"))
    text = words(shown(plan_view(planned, Contents({})), width).replace(";", ""))
    for cell in planned.cells:
        assert {cell.key[:12], f"{cell.key[:12]}:"} & set(text)
    assert {"dense", "magnitude", "mlp(widths=[16])", "digits", "missing"} <= set(text)
    assert any(word.startswith("dtc(lam=0.5)") for word in text)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_of_values_keeps_their_names_and_options(width):
    text = words(shown(axis_view(registry.methods), width).replace("published: ", "published "))
    assert {"magnitude-published", "reconstruction,", "lam:"} <= set(text)


@pytest.mark.parametrize("width", WIDTHS)
def test_groups_keep_their_names(width):
    assert {"block1.conv1", "block9.conv2", "64"} <= set(words(shown(groups_view(model_of("resnet-20"), None), width)))


@pytest.mark.parametrize("width", WIDTHS)
def test_what_moved_keeps_names_and_verdicts(run, width):
    rows = moves(run.cells, run.cells)
    text = shown(moves_view(("a", "b"), rows, []), width)
    assert {"dtc-published", "magnitude", "verdict", "same"} <= set(words(text))


LINES = [("x" * 30, "1.5 [1.2, 1.8]", "y" * 5)]
NUMBERS = Table(texts(("name", "number", "spare"), numbers=("number", "spare"), dropped=("spare",)), LINES)


@pytest.mark.parametrize(
    ("width", "kept"),
    [(51, "1.5 [1.2, 1.8] yyyyy"), (50, "1.5 [1.2, 1.8]"), (44, "1.5"), (36, "number 1.5 [1.2, 1.8]; spare yyyyy")],
)
def test_a_table_loses_columns_then_intervals_and_then_stands_row_by_row(width, kept):
    text = " ".join(words(shown([NUMBERS], width)))
    assert text.endswith(kept) and "x" * 30 in text


@pytest.mark.parametrize("width", WIDTHS)
def test_published_figures_stand_beside_ours_to_their_last_digit(run, width):
    cycles = run.cycles.assign(width_after=1)
    published = pd.DataFrame({"cycle": [0.0], "width": [1.0], "random": [0.1234567890123456]})
    text = shown(comparison(cycles, published), width)
    assert {"0.1234567890123456", "difference"} <= set(words(text))
