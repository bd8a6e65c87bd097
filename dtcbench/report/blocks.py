"""What every view is made of. A view is a function that returns a document, a list of blocks; each renderer
(`terminal`, `markdown`, `latex`, `html`) is one function over the blocks. A column is described here once for all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Literal

from dtcbench.report.vega import Spec
from dtcbench.text import ABSENT, one_line, printable

Row = Any
"""A row of a table: whatever its columns read."""


@dataclass(frozen=True)
class Link:
    """Words that lead somewhere."""

    text: str
    href: str


@dataclass(frozen=True)
class Mark:
    """Words that stand out: `strong`, or in the manner of a verdict."""

    text: str
    kind: str


Piece = str | Link | Mark
Words = str | tuple[Piece, ...]
"""Text, or pieces of it."""
Tone = Literal["", "lead", "quiet", "warning", "alarm"]
"""How a text speaks: `lead` says what it is about, `alarm` is read before anything else."""


def _always(row: Row) -> bool:
    return True


def no_link(row: Row) -> str:
    """A row that leads nowhere."""
    return ""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    text: Callable[[Row], str]
    value: Callable[[Row], float | str] | None = None
    """What it sorts by, NaN or an empty string if missing; None: its text."""
    is_number: bool = True
    """Whether it stands to the right, and is never broken into lines."""
    concerns: Callable[[Row], bool] = _always
    """Whether the column has content for a row: it is shown if it has for any."""
    about: str = ""
    """What it says, for who points at its title on a page."""
    is_spare: bool = False
    """Whether a page folds it away until a reader asks for all columns; a terminal and paper never have it."""
    short: str = ""
    """Its title in a terminal and on paper, if another one."""
    brief: Callable[[Row], str] | None = None
    """Its text in a terminal, if another one."""
    dropped: int = 0
    """Where it stands among those that a narrow terminal goes without, the highest first; 0: never."""
    role: Literal["", "section", "remark"] = ""
    """Rows with the same `section` stand together under it. A `remark` stands below a table in a terminal and on paper,
    with a number in its rows."""


@dataclass(frozen=True)
class Heading:
    """A heading: 1 of a whole page, 2 of a part, 3 of one of its tables."""

    words: Words
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    words: Words
    tone: Tone = ""


@dataclass(frozen=True)
class Bullets:
    """A list."""

    lines: Sequence[Words]
    tone: Tone = ""


@dataclass(frozen=True)
class Facts:
    """Names and what is known of them."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """Text as it is."""

    text: str


@dataclass(frozen=True)
class Prose:
    """Markdown by whoever publishes."""

    text: str


@dataclass(frozen=True)
class Card:
    """One claim at a glance."""

    name: str
    verdict: str
    text: str
    """Its number with its interval, or why there is none."""
    href: str = ""


@dataclass(frozen=True)
class Cards:
    """Claims at a glance, beside one another where there is room."""

    cards: Sequence[Card]


@dataclass(frozen=True)
class Figure:
    """A figure, which only a page draws."""

    id: str
    title: str
    caption: str
    spec: Spec
    about: str = ""
    """What it is drawn of, for who cannot see it."""


@dataclass(frozen=True)
class Filters:
    """What a page can be filtered by: for each facet its name, its title and its values."""

    facets: Sequence[tuple[str, str, Sequence[str]]]


@dataclass(frozen=True)
class Region:
    """Blocks that a link can lead to, and that a filter leaves or hides together."""

    blocks: Sequence[Block]
    id: str = ""
    facets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fold:
    """Blocks that a page shows once a reader asks for them."""

    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Table:
    """A table, which a page sorts by any of its columns."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    label: str = ""
    """What it is, for who cannot see the page, and for its file."""
    href: Callable[[Row], str] = no_link
    """Where the first cell of a row leads."""
    anchor: Callable[[Row], str] | None = None
    """The words that a link to a row is made of."""
    facets: Callable[[Row], Mapping[str, str]] | None = None
    """What a row can be filtered by."""

    @property
    def shown(self) -> list[Column]:
        """The columns that have content for any of the rows."""
        return [column for column in self.columns if not self.rows or any(map(column.concerns, self.rows))]

    @property
    def remarks(self) -> list[str]:
        """The distinct remarks on its rows."""
        found = [column.text(row) for row in self.rows for column in self.columns if column.role == "remark"]
        return list(dict.fromkeys(filter(None, map(one_line, found))))


Block = Heading | Paragraph | Bullets | Facts | Code | Prose | Table | Cards | Figure | Filters | Region | Fold
Document = Iterable[Block]


def pieces(words: Words) -> tuple[Piece, ...]:
    """The pieces of some words, without control characters; a text by itself is on one line."""
    if isinstance(words, str):
        return (one_line(words),)
    return tuple(printable(one) if isinstance(one, str) else replace(one, text=printable(one.text)) for one in words)


def plain(words: Words) -> str:
    """The text of some words."""
    return "".join(one if isinstance(one, str) else one.text for one in pieces(words))


def texts(titles: Sequence[str], *, numbers: Collection[str] = (), dropped: Sequence[str] = ()) -> list[Column]:
    """Columns of rows that are tuples of texts.

    Parameters
    ----------
    numbers : titles of the columns of numbers
    dropped : titles of those that a narrow terminal goes without, in this order
    """
    ranks = {title: rank for rank, title in enumerate(reversed(dropped), 1)}
    return [
        Column(title, itemgetter(place), is_number=title in numbers, dropped=ranks.get(title, 0))
        for place, title in enumerate(titles)
    ]


def label(title: str, name: str) -> Column:
    """A column of names; `–` if one is missing."""
    return Column(title, lambda row: row[name] or ABSENT, lambda row: row[name], is_number=False)
