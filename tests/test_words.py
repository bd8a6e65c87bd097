"""The words of docs/design.md: each has one row, is used in the code, and what a claim's file may say is among them."""

from __future__ import annotations

import re
from pathlib import Path

from dtcbench.plan.claim import Claim
from dtcbench.registry import UsageOfChoice

ROOT = Path(__file__).parents[1]
PLAIN = {"id", "title", "statement", "sources", "cells", "null", "test", "alpha", "shown", "when", "groups"}
"""Fields that mean what they say, and those that the page explains below its table."""


def words() -> list[str]:
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \|", page.partition("## Words")[2].partition("\n## ")[0], flags=re.MULTILINE)
    return [row for row in rows if row not in ("word", "---")]


def test_a_word_stands_in_the_list_once():
    assert len(set(words())) == len(words()) > 40


def test_every_word_of_the_list_is_used_in_the_code():
    code = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "dtcbench").rglob("*.py"))
    folded = re.sub(r"[\s_-]+", " ", code).lower()
    assert [word for word in words() if re.sub("-", " ", word).lower() not in folded] == []


def test_what_a_claim_and_a_method_may_say_is_explained():
    fields = {*Claim.model_fields, *UsageOfChoice.model_fields} - PLAIN
    assert fields <= {word.replace(" ", "_") for word in words()}
