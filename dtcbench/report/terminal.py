"""Documents on a terminal: tables that fit it, and nothing that only a page can show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.table import Table as Grid
from rich.text import Text

from dtcbench.report.blocks import (
    Block,
    Bullets,
    Cards,
    Code,
    Column,
    Document,
    Facts,
    Fold,
    Heading,
    Mark,
    Paragraph,
    Prose,
    Region,
    Row,
    Table,
    Words,
    pieces,
)
from dtcbench.text import ABSENT, one_line

_STYLES = {
    **{"strong": "bold", "quiet": "dim", "warning": "bold yellow", "alarm": "bold red"},
    **{"supported": "green", "refuted": "red", "equivalent": "cyan", "undecided": "yellow", "not measured": "dim"},
}
_READABLE = 24
"""Columns of the terminal that words take at least, if they are as long."""


def terminal(document: Document) -> RenderableType:
    """The blocks one below the other. A heading stands below a blank line, and so does a list without one."""
    parts: list[RenderableType] = []
    above: Block | None = None
    for block in document:
        if isinstance(block, Heading | Bullets) and not isinstance(above, Heading | None):
            parts.append(Text())
        parts += _parts(block)
        above = block
    return Group(*parts)


def _parts(block: Block) -> Iterator[RenderableType]:
    match block:
        case Heading(words):
            yield _text(words, "bold")
        case Paragraph(words, tone):
            yield _text(words, _STYLES.get(tone, ""))
        case Bullets(lines, tone):
            yield from (_text(("· ", *pieces(line)), _STYLES.get(tone, "")) for line in lines)
        case Cards(cards):
            yield from (_text((f"{card.name}: ", Mark(card.verdict, card.verdict), f": {card.text}")) for card in cards)
        case Region(blocks) | Fold(_, blocks):
            yield terminal(blocks)
        case Facts(rows):
            yield _facts(rows)
        case Code(text) | Prose(text):
            yield Text(text, style="dim")
        case Table():
            yield _Fitted(block)
            yield from (Text(f"[{number}] {remark}") for number, remark in enumerate(block.remarks, 1))


def _text(words: Words, style: str = "") -> Text:
    """The words as they are, never read as markup."""
    text = Text(style=style)
    for piece in pieces(words):
        mark = _STYLES[piece.kind] if isinstance(piece, Mark) else ""
        text.append(piece if isinstance(piece, str) else piece.text, mark)
    return text


def _facts(rows: Sequence[tuple[str, str]]) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*(Text(one_line(text)) for text in row))
    return grid


@dataclass(frozen=True)
class _Strip:
    """One column: its title and, row by row, its text."""

    title: str
    texts: Sequence[str]
    is_right: bool
    is_whole: bool
    """Whether a text of several words is never wrapped, such as a number with its interval."""

    @property
    def widest(self) -> int:
        """The width at which nothing wraps."""
        return max(map(cell_len, [self.title, *self.texts]))

    @property
    def narrowest(self) -> int:
        """The width that it takes: no word is broken."""
        texts = self.texts if self.is_whole else [word for text in self.texts for word in text.split()]
        least = 0 if self.is_whole else min(self.widest, _READABLE)
        return max([least, *map(cell_len, [*self.title.split(), *texts])])


@dataclass(frozen=True)
class _Fitted:
    """A table without the columns, and then without the intervals, that there is no room for; row by row if all that
    is in vain. A blank line follows the rows of a section."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = [column for column in self.table.shown if not column.is_spare]
        for strips in self._layouts(columns):
            room = options.max_width - len(strips) + 1
            if sum(strip.narrowest for strip in strips) <= room:
                yield self._grid(strips, room)
                return
        yield from (_record(columns, row) for row in self.table.rows)

    def _layouts(self, columns: Sequence[Column]) -> Iterator[list[_Strip]]:
        in_order = sorted(columns, key=lambda column: column.role != "section")
        strips = [self._strip(column) for column in in_order]
        yield strips
        for last in sorted({column.dropped for column in columns} - {0}, reverse=True):
            strips = [self._strip(column) for column in in_order if column.dropped < last]
            yield strips
        for place, strip in enumerate(strips):
            if any(" [" in text for text in strip.texts):
                means = [text.partition(" [")[0] for text in strip.texts]
                strips = [*strips[:place], replace(strip, texts=means), *strips[place + 1 :]]
                yield strips

    def _strip(self, column: Column) -> _Strip:
        texts = [one_line((column.brief or column.text)(row)) for row in self.table.rows]
        title = _title(column)
        if column.role == "section":
            begins = [True, *(one != above for above, one in pairwise(self._sections))]
            return _Strip(title, [text if new else "" for text, new in zip(texts, begins, strict=False)], False, True)
        if column.role == "remark":
            numbers = {remark: f"[{number}]" for number, remark in enumerate(self.table.remarks, 1)}
            return _Strip("", [numbers.get(text, "") for text in texts], False, True)
        return _Strip(title, texts, column.is_number, column.is_number)

    def _grid(self, strips: Sequence[_Strip], room: int) -> Grid:
        spare = room - sum(strip.widest for strip in strips)
        gap = 2 if spare >= len(strips) - 1 else 1
        grid = Grid(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), pad_edge=False, show_edge=False)
        for strip, width in zip(strips, _widths(strips, room), strict=True):
            justify: JustifyMethod = "right" if strip.is_right else "left"
            grid.add_column(strip.title, justify=justify, width=width, overflow="fold")
        ends = [one != below for one, below in pairwise([*self._sections, None])]
        for row, is_last in zip(zip(*(strip.texts for strip in strips), strict=True), ends, strict=True):
            grid.add_row(*map(Text, row), end_section=is_last and any(self._sections))
        return grid

    @property
    def _sections(self) -> list[tuple[str, ...]]:
        """Row by row, what its section is."""
        of_sections = [column for column in self.table.columns if column.role == "section"]
        return [tuple(column.text(row) for column in of_sections) for row in self.table.rows]


def _widths(strips: Sequence[_Strip], room: int) -> list[int]:
    """Every column's width: what it takes, and what room there is beyond that for the narrowest that wrap."""
    widths = [strip.narrowest for strip in strips]
    left = room - sum(widths)
    while left > 0 and (wrapped := [p for p, s in enumerate(strips) if widths[p] < s.widest]):
        widths[min(wrapped, key=widths.__getitem__)] += 1
        left -= 1
    return widths


def _title(column: Column) -> str:
    """The column's title, as in the middle of a sentence."""
    title = column.short or column.title
    return title[0].lower() + title[1:] if title[1:2].islower() else title


def _record(columns: Sequence[Column], row: Row) -> Text:
    """A row as a sentence: its first text, then the titles and the texts of the others that have one."""
    first, *others = [(_title(column), one_line(column.text(row))) for column in columns]
    said = "; ".join(f"{title} {text}" for title, text in others if text != ABSENT)
    return Text.assemble((first[1], "bold"), f": {said}")
