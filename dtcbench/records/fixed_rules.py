"""The rules of verdicts as they were fixed for a run: the claims, the code that judges them, and the suite.

Whoever chooses a rule after seeing the numbers finds what they look for. So a run's folder may hold the rules as they
stood at a moment, with their digest (`dtcbench plan SUITE --seal`), and every verdict says whether that was before the
first cell, and what has changed since. The moment is by the clock of whoever sealed it: publish the digest to prove it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, model_validator

import dtcbench
from dtcbench.plan.claim import ClaimFile, load, parse

_SHOWN = 12
"""Digits of a digest that a reader is shown."""


class FixedRules(BaseModel):
    """The content of a run's `rules.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fixed_at: str
    """UTC, ISO 8601."""
    dtcbench: str
    """Its version."""
    claims: dict[str, str]
    """By id, the text of each claim's file."""
    code_sha256: str
    """Of the code that judges: every module of `analysis/`."""
    suite_sha256: str
    """Of the suite's text."""
    sha256: str
    """Of the claims, the code's and the suite's digest together: the seal."""

    @model_validator(mode="after")
    def _seal_is_of_its_content(self) -> FixedRules:
        if self.sha256 != _seal(self.claims, self.code_sha256, self.suite_sha256):
            raise ValueError("sealed with another content: it was altered")
        return self

    @property
    def seal(self) -> str:
        """The seal and the date, as a reader is shown them."""
        return f"{self.sha256[:_SHOWN]} on {self.fixed_at[:10]}"

    def claim_files(self) -> tuple[ClaimFile, ...]:
        """The claims as they were fixed; ClaimError if this dtcbench has another schema."""
        return tuple(parse(text, f"the fixed claim {name}") for name, text in self.claims.items())

    def changed(self, now: FixedRules) -> list[str]:
        """What of the rules `now` is not as it was fixed; a claim that is not judged now has not changed."""
        found = _named([name for name, text in now.claims.items() if self.claims.get(name, text) != text])
        code = ["the code of the rules"] if self.code_sha256 != now.code_sha256 else []
        return found + code + (["the suite"] if self.suite_sha256 != now.suite_sha256 else [])

    def unsealed(self, now: FixedRules) -> list[str]:
        """The claims of the rules `now` that were not fixed, in a phrase if there are any."""
        return _named([name for name in now.claims if name not in self.claims])

    def is_before(self, starts: Iterable[str]) -> bool:
        """Whether they were fixed before any cell started; `starts` in ISO 8601."""
        first = min(map(datetime.fromisoformat, starts), default=None)
        return first is None or datetime.fromisoformat(self.fixed_at) <= first

    def state(self, now: FixedRules, starts: Iterable[str]) -> str:
        """`rule fixed as HASH on DATE, before the first cell`, or how it is otherwise; `starts` of cells, ISO 8601."""
        when = "before the first cell" if self.is_before(starts) else "after the first cell"
        return "; ".join(filter(None, (f"rule fixed as {self.seal}, {when}", self.differences(now))))

    def differences(self, now: FixedRules) -> str:
        """`changed since: claim a; not sealed: claim b`; empty where all rules `now` were fixed as they are."""
        parts = (("changed since", self.changed(now)), ("not sealed", self.unsealed(now)))
        return "; ".join(f"{heading}: {', '.join(found)}" for heading, found in parts if found)


NOT_SEALED = "rule not sealed"


def fixed_rules(claims: Iterable[ClaimFile], suite: str, at: datetime) -> FixedRules:
    """The rules as they are at this moment, for the suite of this text."""
    texts = {one.claim.id: one.text for one in claims}
    of_suite = hashlib.sha256(suite.encode()).hexdigest()
    return FixedRules(
        fixed_at=at.isoformat(timespec="milliseconds"),
        dtcbench=dtcbench.__version__,
        claims=texts,
        code_sha256=code_sha256(),
        suite_sha256=of_suite,
        sha256=_seal(texts, code_sha256(), of_suite),
    )


def judged_claims(fixed: Sequence[FixedRules | None]) -> tuple[ClaimFile, ...]:
    """What is judged of runs with these rules if nobody names claims, in the order of the ids.

    Each claim as it was fixed, by the first run that has it; of a run without fixed rules, those of the package.
    """
    of_package = load() if None in fixed or not fixed else ()
    found: dict[str, ClaimFile] = {}
    for one in (*(one for rules in fixed if rules for one in rules.claim_files()), *of_package):
        found.setdefault(one.claim.id, one)
    return tuple(found[name] for name in sorted(found))


def _named(claims: list[str]) -> list[str]:
    """`claims a, b`, or nothing."""
    return [f"claim{'s' if len(claims) > 1 else ''} {', '.join(claims)}"] if claims else []


@functools.cache
def code_sha256() -> str:
    """SHA-256 of the modules that judge claims, by name and content."""
    modules = sorted(
        (path for path in (files("dtcbench") / "analysis").iterdir() if path.name.endswith(".py")),
        key=lambda path: path.name,
    )
    text = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in modules)
    return hashlib.sha256(text.encode()).hexdigest()


def _seal(claims: Mapping[str, str], code: str, suite: str) -> str:
    content = {"claims": claims, "code_sha256": code, "suite_sha256": suite}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
