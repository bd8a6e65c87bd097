"""The claims on the terminal: six verdicts, then all they rest on, and nothing read as markup."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from dtcbench.analysis.claims import conclusions
from dtcbench.analysis.verdicts import Comparison, Effect, Verdict, conclude
from dtcbench.report.claims_view import brief_view, claims_view, effect_text


def printed(found, notes=()) -> str:
    console = Console(width=100, file=io.StringIO(), force_terminal=False)
    console.print(claims_view(found, notes))
    return console.file.getvalue()


@pytest.fixture(scope="module")
def found(run):
    # The tables of the report's tests lack what only the claims read.
    return conclusions(run.cells, run.cycles.assign(width_after=1))


def test_every_claim_has_its_verdict_rule_and_reason_within_100_columns(found):
    text = printed(found)
    assert max(map(len, text.splitlines())) <= 100
    for number, conclusion in enumerate(found, 1):
        assert f"{number}. {conclusion.name}: {conclusion.verdict}" in text
        assert " ".join(conclusion.rule.split()) in " ".join(text.split())
        assert " ".join(conclusion.reason.split()) in " ".join(text.split())


def test_three_seeds_decide_nothing(found):
    assert {conclusion.verdict for conclusion in found} == {Verdict.NOT_SHOWN, Verdict.NOT_MEASURED}
    assert "3 seeds: five are needed" in printed(found)


def test_the_view_does_not_depend_on_the_order_of_the_tables(run, found):
    shuffled = run.shuffled()
    assert printed(conclusions(shuffled.cells, shuffled.cycles.assign(width_after=1))) == printed(found)


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (Effect("d", -0.0123, -0.02, 0.001), "d: −1.23 points [−2.00, +0.10]"),
        (Effect("s", 0.5, 0.4, 0.6, "percent"), "s: 50.00 % [40.00, 60.00]"),
        (Effect("r", 0.5, 0.4, 0.6, "r"), "r: +0.50 [+0.40, +0.60]"),
        (Effect("s", 0.5, unit="percent"), "s: 50.00 %"),
        (Effect("s", math.nan), "s: –"),
        (Effect("Lempel-Ziv", -0.5, unit="r"), "Lempel-Ziv: −0.50"),
    ],
)
def test_an_effect_reads_in_its_unit_with_its_interval(effect, text):
    assert effect_text(effect) == text


def test_a_comparison_shows_its_side_its_adjusted_p_and_few_of_its_keys():
    keys = tuple(f"{n}" * 64 for n in range(6))
    one = Comparison("[red]a[/] − b", Verdict.REFUTED, "below 0", seeds=5, cells=keys, p=0.04)
    text = printed([conclude("x", "X.", "rule", [one], nothing="")], ["a note"])
    assert "against  [red]a[/] − b: below 0 (adjusted p 0.040)" in text
    assert "000000000000, 111111111111, 222222222222, 333333333333 and 2 more" in text
    assert "a note" in text


def test_in_brief_the_claims_fit_a_screen_with_verdict_reason_and_effect(found):
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=False)
    console.print(brief_view(found))
    shown = console.file.getvalue()
    assert len(shown.splitlines()) <= 40
    for number, conclusion in enumerate(found, 1):
        assert f"{number}. {conclusion.verdict}: " in shown
        assert " ".join(conclusion.reason.split()) in " ".join(shown.split())
    assert "--full" in shown


def test_in_brief_an_effect_is_the_range_of_what_was_compared():
    def one(where, value):
        return Comparison(where, Verdict.NOT_SHOWN, "open", (Effect("difference in accuracy", value),), seeds=5)

    shown = io.StringIO()
    comparisons = [one("a", 0.01), one("b", math.nan), one("c", -0.02)]
    Console(width=80, file=shown).print(brief_view([conclude("x", "X.", "rule", comparisons, nothing="")]))
    assert "difference in accuracy: −2.00 to +1.00 points" in shown.getvalue()
