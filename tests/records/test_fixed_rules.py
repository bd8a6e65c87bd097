"""The rules of verdicts as a run's folder keeps them: when they were fixed, and what has changed since."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from dtcbench.plan.claim import load, parse
from dtcbench.records import fixed_rules as module
from dtcbench.records.fixed_rules import FixedRules, fixed_rules
from dtcbench.records.location import StoreError
from dtcbench.records.store import Store

AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
BEFORE, AFTER = "2026-02-03T04:05:05.000+00:00", "2026-02-03T04:05:07.000+00:00"
SUITE = "name: tiny\n"
CLAIMS = load(["3a-choice-against-magnitude", "4-random-as-good"])


@pytest.fixture
def rules() -> FixedRules:
    return fixed_rules(CLAIMS, SUITE, AT)


@pytest.mark.parametrize(
    ("starts", "when"),
    [([], "before"), ([AFTER], "before"), ([AFTER, BEFORE], "after"), (["2026-02-03T05:05:05.000+01:00"], "after")],
)
def test_the_state_says_whether_any_cell_started_before(rules, starts, when):
    assert rules.state(rules, starts) == f"rule fixed as {rules.sha256[:12]} on 2026-02-03, {when} the first cell"


def test_what_has_changed_since_is_named(rules, monkeypatch):
    changed = parse(CLAIMS[0].text.replace("0.2", "0.3"), "changed.yaml")
    further = load(["5-entropy"])[0]
    now = fixed_rules([changed, further], "name: other\n", AT)
    assert now.sha256 != rules.sha256
    assert rules.changed(now) == [
        "claim 3a-choice-against-magnitude",
        "the suite",
    ]
    assert rules.state(now, []).endswith(
        "changed since: claim 3a-choice-against-magnitude, the suite; not sealed: claim 5-entropy"
    )
    assert rules.changed(fixed_rules(CLAIMS[1:], SUITE, AT)) == []  # fewer claims are judged, by the same rules
    monkeypatch.setattr(module, "code_sha256", lambda: "0" * 64)
    assert rules.state(fixed_rules(CLAIMS, SUITE, AT), []).endswith("changed since: the code of the rules")


def test_the_seal_is_of_the_content_and_not_of_the_moment(rules):
    assert fixed_rules(CLAIMS, SUITE, datetime.now(UTC)).sha256 == rules.sha256


def test_what_was_sealed_keeps_its_date_and_is_never_overwritten(rules, tmp_path):
    with Store(tmp_path).locked() as writer:
        assert writer.fix_rules(rules) == rules
        assert writer.fix_rules(fixed_rules(CLAIMS, SUITE, datetime.now(UTC))).fixed_at == rules.fixed_at
        with pytest.raises(StoreError, match=r"changed since: the suite\. Bring those back, or .* --out"):
            writer.fix_rules(fixed_rules(CLAIMS, "name: other\n", AT))
    assert Store(tmp_path).fixed_rules() == rules


def test_an_altered_file_is_found_out(rules, tmp_path):
    with Store(tmp_path).locked() as writer:
        writer.fix_rules(rules)
    path = Store(tmp_path).rules
    content = json.loads(path.read_text())
    content["claims"]["4-random-as-good"] = content["claims"]["4-random-as-good"].replace("0.2", "0.9")
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="sealed with another content"):
        Store(tmp_path).fixed_rules()
