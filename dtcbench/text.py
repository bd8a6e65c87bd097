"""Text for a reader: one line of any text, numbers, durations, names of files, what an error says."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence


def printable(text: str) -> str:
    """`text` with a space for every control character and line break."""
    return "".join(c if c.isprintable() else " " for c in text)


def one_line(text: str) -> str:
    """`text` on one line and without control characters: a reason may be any exception's message."""
    return " ".join(printable(text).split())


def error_line(error: BaseException) -> str:
    """The error's type and the first line of its message, at most 300 characters: `TypeError: message`.

    If that line ends with a colon, the second goes with it.
    """
    first, _, rest = str(error).strip().partition("\n")
    if (first := first.strip()).endswith(":"):
        first = f"{first} {rest.strip().partition(chr(10))[0]}"
    message = printable(first)[:300]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def bytes_text(count: int) -> str:
    """`640 B`, `12.3 kB`, `4.0 GB`: by thousands."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


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


ABSENT = "–"
"""Stands where a reader looks for a value that is missing."""


def number_text(value: float | None, form: str, unit: str = "", scale: float = 1) -> str:
    """`scale` times `value` in the format `form`, with its unit: `12.3 W`, `−0.53`; `–` for None and NaN."""
    if value is None or math.isnan(value):
        return ABSENT
    text = format(scale * value if scale != 1 else value, form)
    text = f"−{text[1:]}" if text.startswith("-") else text
    return f"{text} {unit}" if unit else text


def count_of(number: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(share: float | None, form: str = ".2f") -> str:
    """A fraction of 1 in per cent: `97.12 %`; `–` for None and NaN."""
    return number_text(share, form, "%", 100)


def with_interval(value: float, low: float, high: float, form: str, unit: str = "", scale: float = 1) -> str:
    """`−0.53 points [−0.80, −0.21]`: a value, its unit, and its interval, which is left out if `low` is NaN."""
    text = number_text(value, form, unit, scale)
    if math.isnan(value) or math.isnan(low):
        return text
    return f"{text} [{number_text(low, form, scale=scale)}, {number_text(high, form, scale=scale)}]"


def p_value(p: float) -> str:
    """`0.031`, or `< 0.001`; `–` for NaN."""
    return "< 0.001" if p < 0.001 else number_text(p, ".3f")
