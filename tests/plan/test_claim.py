"""Claims as YAML: what a file may say, every mistake with its line, and those of the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dtcbench import registry
from dtcbench.plan import shipped
from dtcbench.plan.claim import Size, load, parse, plain_label
from dtcbench.plan.document import ClaimError
from dtcbench.plan.names import REGISTERED
from dtcbench.plan.naming import choice

GOOD = """\
id: mine
title: Mine
statement: It is better.
sources: [{work: a note, version: "1", quotation: it is better}]
estimand:
  of: [mine]
  minus: [random]
null: It is not.
test: equivalence
margin: {share_of_dense_error: 0.2}
family: mine
smallest_effect: {points: 1}
"""


def edited(*pairs: tuple[str, str]) -> str:
    text = GOOD
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def test_the_example_for_contributors_is_a_claim():
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(id: .*?)```", page, flags=re.DOTALL)
    assert parse(example, "mine.yaml").claim.estimand.minus == ["random"]


def test_a_file_is_a_claim_and_keeps_its_text():
    one = parse(GOOD, "mine.yaml")
    assert (one.claim.id, one.claim.estimand.of, one.claim.null, one.text) == ("mine", ["mine"], "It is not.", GOOD)


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("test: equivalence", "test: equal", "m.yaml:9: test: 'equal': "),
        ("id: mine", "id: Mine!", "m.yaml:1: id: 'Mine!'; write small letters"),
        ("margin: {share_of_dense_error: 0.2}\n", "", "m.yaml:1: test equivalence needs a margin"),
        ("margin: {share_of", "margin: {share_off", "m.yaml:10: margin.share_off_dense_error: unknown key"),
        ("{points: 1}", "{points: 1, share_of_dense_error: 0.5}", "m.yaml:12: smallest_effect: give one of "),
        ("minus: [random]", "minus: [random]\n  at_least: 0.5", "of accuracy reads no `at_least` in its estimand"),
        ("test: equivalence", "test: curves", "test curves of accuracy reads no `minus` in its estimand; leave it out"),
        ("test: equivalence", "test: entropy_law", "test entropy_law of accuracy reads no `minus`"),
        ("  of:", "  quantity: energy_j\n  of:", "test equivalence judges accuracy, not energy_j"),
        ("minus: [random]", "minus: [random]\n  use: {batch_size: 1}", "accuracy reads no `use` in its estimand"),
        ("  minus: [random]\n", "", "needs `minus` in its estimand"),
        ("of: [mine]", "of: []", "m.yaml:6: estimand.of: empty"),
        ("of: [mine]", "of: [mine and more]", "m.yaml:6: estimand.of[0]: 'mine and more'; write a name"),
        ("quotation: it is better", "page: 3", "quotation: missing; add `quotation: …`"),
        ("null: It is not.\n", "", "null: missing"),
        ("title: Mine\n", "title: Mine\ntitle: Ours\n", "m.yaml:3: title: the key stands twice"),
        ("  of:", "  quantity: steps_to_target\n  of:", "may be without end"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_remedy(old, new, mistake):
    with pytest.raises(ClaimError) as caught:
        parse(edited((old, new)), "m.yaml")
    assert mistake in str(caught.value)


@pytest.mark.parametrize(("test", "quantity"), [("saving", "energy_j"), ("entropy_law", "accuracy")])
def test_what_must_be_reached_is_part_of_a_claim_that_something_reaches_it(test, quantity):
    text = edited(
        ("  minus: [random]\n", f"  quantity: {quantity}\n"),
        ("test: equivalence", f"test: {test}"),
        ("smallest_effect: {points: 1}\n", ""),
        *([] if test == "saving" else [("margin: {share_of_dense_error: 0.2}\n", "")]),
    )
    with pytest.raises(ClaimError, match=r"needs `at_least` in its estimand"):
        parse(text, "m.yaml")
    assert parse(text.replace("  of:", "  at_least: 0.6\n  of:"), "m.yaml").claim.estimand.at_least == 0.6


def test_a_cost_until_a_target_has_no_margin_and_no_smallest_difference_of_accuracies():
    steps = edited(("  of:", "  quantity: steps_to_target\n  of:"), ("test: equivalence", "test: average"))
    with pytest.raises(ClaimError, match="of steps_to_target reads no `margin`"):
        parse(steps, "m.yaml")
    without = steps.replace("margin: {share_of_dense_error: 0.2}\n", "")
    with pytest.raises(ClaimError, match="reads no `smallest_effect`"):
        parse(without, "m.yaml")
    assert parse(without.replace("smallest_effect: {points: 1}\n", ""), "m.yaml").claim.smallest_effect is None


def test_what_is_no_mapping_and_what_is_no_file_says_where_claims_are():
    with pytest.raises(ClaimError, match=r"a claim is a mapping .* `dtcbench list claims`"):
        parse("[1]", "m.yaml")
    with pytest.raises(ClaimError, match=r"did you mean '5-entropy'"):
        load(["5-entropi"])


def test_two_claims_of_one_id_are_refused(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(ClaimError, match=r"'mine' is that of .*a\.yaml too"):
        load([tmp_path / "a.yaml", tmp_path / "b.yaml"])


@pytest.mark.parametrize(
    ("label", "plain"), [("dtc", "dtc"), ("dtc@2", "dtc"), ("dtc@12(lam=3.0)", "dtc(lam=3.0)"), ("a(b=@1)", "a(b=@1)")]
)
def test_a_label_is_compared_without_its_version(label, plain):
    assert plain_label(label) == plain


@pytest.mark.parametrize(
    ("size", "of", "text"),
    [
        ({"share_of_dense_error": 0.2}, 0.004, "20 % of dense's error"),
        ({"points": 1}, 0.01, "1 point"),
    ],
)
def test_a_size_is_a_fraction_where_dense_errs_in_two_per_cent(size, of, text):
    assert Size(**size).of(0.02) == pytest.approx(of)
    assert str(Size(**size)) == text


@pytest.mark.parametrize("name", shipped.names("claim"))
def test_a_shipped_claim_names_what_is_registered_as_tables_label_it(name):
    (one,) = load([name])
    claim, axes = one.claim, {axis.noun: axis for axis in registry.AXES}
    assert claim.id == name
    named = {"method": [*claim.estimand.of, *claim.estimand.minus], "model": claim.cells.models or []}
    named |= {"dataset": claim.cells.datasets or []}
    for noun, labels in named.items():
        for label in labels:
            value, _, options = label.removesuffix(")").partition("(")
            assert value in axes[noun].names()
            given = dict(option.split("=") for option in options.split(", ")) if options else {}
            given = {key: yaml.safe_load(said) for key, said in given.items()}
            assert plain_label(choice(noun, {"name": value, **given}, REGISTERED).label) == label


def test_the_shipped_claims_are_the_nine_of_the_project():
    assert {name.partition("-")[0].rstrip("abc") for name in shipped.names("claim")} == set("123456789")
