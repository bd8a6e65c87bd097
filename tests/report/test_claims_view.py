"""The claims on the terminal: verdicts, then all they rest on, and nothing read as markup."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from renderings import on_terminal

from dtcbench.analysis.claims import conclusions
from dtcbench.analysis.verdicts import Comparison, Conclusion, Effect, Verdict
from dtcbench.plan.claim import load
from dtcbench.report.claims_view import brief_view, claims_view, effect_text, power_text


def printed(found, notes=()) -> str:
    return on_terminal(claims_view(found, notes))


@pytest.fixture(scope="module")
def found(run):
    # The tables of the report's tests lack what only the claims read.
    return judged(run)


def judged(tables):
    """The package's claims, as if these cells were of their suite."""
    cells = tables.cells.assign(suite="claims", steps=100)
    return conclusions([file.claim for file in load()], cells, tables.cycles.assign(width_after=1, step=1))


def of(*comparisons, reason="why"):
    return Conclusion("x", "X", "X.", Verdict.UNDECIDED, "rule", reason, comparisons)


def test_every_claim_has_its_verdict_rule_and_reason_within_100_columns(found):
    text = printed(found)
    assert max(map(len, text.splitlines())) <= 100
    for conclusion in found:
        assert f"{conclusion.id}: {conclusion.statement}" in " ".join(text.split())
        assert f"\n{conclusion.verdict}: " in text
        assert " ".join(conclusion.rule.split()) in " ".join(text.split())
        assert " ".join(conclusion.reason.split()) in " ".join(text.split())


def test_three_seeds_decide_nothing(found):
    assert {conclusion.verdict for conclusion in found} == {Verdict.UNDECIDED, Verdict.NOT_MEASURED}
    assert "3 seeds: five are needed" in printed(found)


def test_the_view_does_not_depend_on_the_order_of_the_tables(run, found):
    shuffled = run.shuffled()
    assert printed(judged(shuffled)) == printed(found)


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (Effect("d", -0.0123, -0.02, 0.001), "d: −1.23 points [−2.00, +0.10]"),
        (Effect("s", 0.5, 0.4, 0.6, "percent"), "s: 50.00 % [40.00, 60.00]"),
        (Effect("r", 0.5, 0.4, 0.6, "r"), "r: +0.50 [+0.40, +0.60]"),
        (Effect("s", 0.5, unit="percent"), "s: 50.00 %"),
        (Effect("s", math.nan), "s: –"),
        (Effect("s", math.inf, unit="times"), "s: without end"),
        (Effect("Lempel-Ziv", -0.5, unit="r"), "Lempel-Ziv: −0.50"),
    ],
)
def test_an_effect_reads_in_its_unit_with_its_interval(effect, text):
    assert effect_text(effect) == text


def test_a_comparison_shows_its_side_its_adjusted_p_and_few_of_its_keys():
    keys = tuple(f"{n}" * 64 for n in range(6))
    one = Comparison("[red]a[/] − b", Verdict.REFUTED, "below 0", seeds=5, cells=keys, p=0.04, p_adjusted=0.04)
    text = printed([of(one)], ["a note"])
    assert re.search(r"\[red\]a\[/\] − b +against +5 +0.040 +below 0", text)
    assert "000000000000, 111111111111, 222222222222, 333333333333 and 2 more" in " ".join(text.split())
    assert "a note" in text


def test_in_brief_the_claims_fit_a_screen_with_verdict_and_effect_or_reason(found):
    shown = on_terminal(brief_view(found), 80)
    assert len(shown.splitlines()) <= 40
    for conclusion in found:
        assert f"{conclusion.id}: {conclusion.verdict}: " in " ".join(shown.split())
    nothing = next(one for one in found if one.verdict is Verdict.NOT_MEASURED)
    assert " ".join(nothing.reason.split()) in " ".join(shown.split())
    assert "--full" in shown


def test_in_brief_an_effect_is_the_range_of_what_was_compared():
    def one(where, value):
        return Comparison(where, Verdict.UNDECIDED, "open", (Effect("difference in accuracy", value),), seeds=5)

    comparisons = [one("a", 0.01), one("b", math.nan), one("c", -0.02)]
    assert "difference in accuracy: −2.00 to +1.00 points" in on_terminal(brief_view([of(*comparisons)]))


def test_a_comparison_says_what_it_could_have_shown_and_what_it_lacks():
    seeds = {"seeds_for_point": 12, "seeds_for_smallest": 40, "seeds_needed": 7}
    one = Comparison("a − b", Verdict.UNDECIDED, "open", seeds=5, p=0.3, margin=0.004, detectable=0.0123, **seeds)
    said = (
        "margin ±0.40 points; could have shown 1.23 points (80 %); seeds it takes: 12 for 1 point, 40 for the smallest"
    )
    assert said in power_text(one)
    assert power_text(one).endswith("7 more seeds would decide")
    assert "would decide" not in power_text(replace(one, p=math.nan))  # before the first look, nobody knows
    assert power_text(Comparison("a − b", Verdict.NOT_MEASURED, "nothing")) == ""
