"""What the tables keep as the terminal gets narrower: whole names, and the figures that matter most."""

import io
import re

import pandas as pd
import pytest
from rich.console import Console
from suites_for_tests import TINY, edited

from dtcbench import registry
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse
from dtcbench.publish.compare import moves, moves_view
from dtcbench.records.store import Contents
from dtcbench.report.axes import axis_table
from dtcbench.report.comparison import comparison
from dtcbench.report.fitting import Fitted, Strip
from dtcbench.report.groups import groups_table, model_of
from dtcbench.report.leaderboard_view import leaderboard_view
from dtcbench.report.plans import plan_view
from dtcbench.report.terminal import terminal

WIDTHS = (60, 70, 80, 100)


def shown(view, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(view)
    assert max(map(len, console.file.getvalue().splitlines())) <= width
    return console.file.getvalue()


def leaderboard(board):
    return terminal(leaderboard_view(board))


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_leaderboard_names_every_row_on_one_line_and_keeps_the_essentials(run, width):
    text = shown(leaderboard(run.leaderboard), width)
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
    return next(line for line in map(words, shown(leaderboard(board), width).splitlines()) if "method" in line)


def test_the_leaderboard_drops_costs_before_intervals(run):
    assert {"params", "FLOPs", "energy"} <= set(heading(run.leaderboard, 100))
    assert not {"params", "FLOPs", "energy"} & set(heading(run.leaderboard, 70))
    assert re.search(r"\[\d+\.\d, \d+\.\d\]", shown(leaderboard(run.leaderboard), 80))
    unmeasured = run.unmeasured().leaderboard
    assert {"energy", "time"} <= set(heading(unmeasured, 160))
    assert "energy" not in heading(unmeasured, 80)


def test_a_leaderboard_with_long_names_breaks_them_between_words(run):
    board = run.relabelled("dtc", "dtc(drop=largest, score=coefficients)").leaderboard
    for width in WIDTHS:
        text = words(shown(leaderboard(board), width))
        assert {"dtc(drop=largest,", "score=coefficients)"} <= set(text)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plan_shows_every_cell_with_all_that_tells_it_apart(width):
    suite = edited(TINY, ("[dtc, magnitude]", "[{name: dtc, lam: 0.5}, magnitude]"))
    planned = expand(parse(suite, "suite.yaml"))
    text = words(shown(plan_view(planned, Contents({})), width))
    for cell in planned.cells:
        assert cell.key[:12] in text
    assert {"dense", "magnitude", "mlp(widths=[16])", "digits", "missing"} <= set(text)
    assert any(word.startswith("dtc(lam=0.5)") for word in text)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_of_values_keeps_their_names_and_options(width):
    text = words(shown(axis_table(registry.methods), width))
    assert {"magnitude-published", "reconstruction,", "lam:"} <= set(text)


@pytest.mark.parametrize("width", WIDTHS)
def test_groups_keep_their_names(width):
    assert {"block1.conv1", "block9.conv2", "64"} <= set(words(shown(groups_table(model_of("resnet-20"), None), width)))


@pytest.mark.parametrize("width", WIDTHS)
def test_what_moved_keeps_names_and_verdicts(run, width):
    rows = moves(run.cells, run.cells)
    text = shown(moves_view(("a", "b"), rows, []), width)
    assert {"dtc-published", "magnitude", "verdict", "same"} <= set(words(text))


def test_a_table_takes_the_first_layout_that_fits():
    long, short = Strip("long", ["x" * 30]), Strip("short", ["y" * 5])
    table = Fitted([[long, short], [short]])
    assert words(shown(table, 37))[:2] == ["long", "short"]
    assert words(shown(table, 36))[:1] == ["short"]


def test_a_word_is_broken_only_where_no_layout_fits():
    text = shown(Fitted([[Strip("a", ["x" * 30]), Strip("b", ["1.5 [1.2, 1.8]"], is_whole=True)]]), 30)
    assert "1.5 [1.2, 1.8]" in text
    assert text.count("x") == 30


def test_whatever_is_shown_can_be_shown_twice(run):
    planned = expand(parse(TINY, "suite.yaml"))
    for view in (
        leaderboard(run.leaderboard),
        plan_view(planned, Contents({})),
        groups_table(model_of("resnet-20"), None),
        moves_view(("a", "b"), moves(run.cells, run.cells), []),
    ):
        assert shown(view, 80) == shown(view, 80)


@pytest.mark.parametrize("width", WIDTHS)
def test_published_figures_stand_beside_ours_to_their_last_digit(run, width):
    cycles = run.cycles.assign(width_after=1)
    published = pd.DataFrame({"cycle": [0.0], "width": [1.0], "random": [0.1234567890123456]})
    text = shown(comparison(cycles, published), width)
    assert {"0.1234567890123456", "difference"} <= set(words(text))
