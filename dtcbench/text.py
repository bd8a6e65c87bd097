"""Words for a person: one line of any text, durations, names of files, what an error says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence


def one_line(text: str) -> str:
    """`text` on one line and without control characters: a reason may be any exception's message."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def error_line(error: BaseException) -> str:
    """The error's type and the first line of its message, at most 300 characters: `TypeError: message`."""
    first = str(error).strip().partition("\n")[0].strip()
    message = "".join(c if c.isprintable() else " " for c in first)[:300]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def file_name(label: str) -> str:
    """A plain file name for any label: lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:100] or "unnamed"


def file_names(labels: Sequence[str]) -> Iterator[str]:
    """A plain file name for each label, in their order; equal names get a number."""
    seen: dict[str, int] = {}
    for label in labels:
        plain = file_name(label)
        seen[plain] = seen.get(plain, 0) + 1
        yield plain if seen[plain] == 1 else f"{plain}--{seen[plain]}"
