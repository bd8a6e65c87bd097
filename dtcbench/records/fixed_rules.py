"""The rules of verdicts as they were fixed for a run: the claims, the code that judges them, and the suite.

Whoever chooses a rule after seeing the numbers finds what they look for. So a run's folder may hold the rules as they
stood at a moment, with their digest (`dtcbench plan SUITE --seal`), and every verdict says whether that was before the
first cell, and what has changed since. The moment is by the clock of whoever sealed it: publish the digest to prove it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, model_validator

import dtcbench
from dtcbench.plan.claim import ClaimFile

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

    def changed(self, now: FixedRules) -> list[str]:
        """What of the rules `now` is not as it was fixed; a claim that is not judged now has not changed."""
        unlike = [name for name, text in now.claims.items() if self.claims.get(name, text) != text]
        unsealed = [name for name in now.claims if name not in self.claims]
        found = [
            f"claim{'s' if len(names) > 1 else ''} {', '.join(names)}{more}"
            for names, more in ((unlike, ""), (unsealed, " (not sealed)"))
            if names
        ]
        code = ["the code of the rules"] if self.code_sha256 != now.code_sha256 else []
        return found + code + (["the suite"] if self.suite_sha256 != now.suite_sha256 else [])

    def is_before(self, starts: Iterable[str]) -> bool:
        """Whether they were fixed before any cell started; `starts` in ISO 8601."""
        first = min(map(datetime.fromisoformat, starts), default=None)
        return first is None or datetime.fromisoformat(self.fixed_at) <= first

    def state(self, now: FixedRules, starts: Iterable[str]) -> str:
        """`rule fixed as HASH on DATE, before the first cell`, or how it is otherwise; `starts` of cells, ISO 8601."""
        when = "before the first cell" if self.is_before(starts) else "after the first cell"
        changes = self.changed(now)
        return f"rule fixed as {self.seal}, {when}" + (f"; changed since: {', '.join(changes)}" if changes else "")


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
