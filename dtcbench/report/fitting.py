"""Tables that fit the width they are shown in: first columns are shortened or left out, then words wrap."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from dtcbench.text import one_line

_NARROWEST = 4
"""Columns that words are broken to, where nothing else helps."""


@dataclass(frozen=True)
class Strip:
    """One column: its title and, row by row, its text."""

    title: str
    texts: Sequence[str | Text]
    is_right: bool = False
    is_whole: bool = False
    """Whether a text of several words is never wrapped, such as a number with its interval."""
    least: int = 0
    """The width below which longer texts are hard to read."""

    @property
    def widest(self) -> int:
        """The width at which nothing wraps."""
        return max(map(cell_len, [self.title, *map(str, self.texts)]))

    @property
    def narrowest(self) -> int:
        """The width that it takes: no word is broken."""
        words = [*self.title.split(), *(word for text in self.texts for word in self._pieces(str(text)))]
        return max([min(self.least, self.widest), *map(cell_len, words)])

    def _pieces(self, text: str) -> list[str]:
        return [text] if self.is_whole else text.split()


@dataclass(frozen=True)
class Fitted:
    """A table in the first of its layouts that fits, each a list of columns; the last one where none does."""

    layouts: Sequence[Sequence[Strip]]
    section_ends: Collection[int] = ()
    """The rows that a blank line follows."""
    gap: int = 2
    """Columns of the terminal between two of the table's."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        strips: Sequence[Strip] = ()
        for strips in self.layouts:
            if sum(strip.narrowest for strip in strips) + self._between(strips) <= options.max_width:
                break
        yield self._table(strips, options.max_width - self._between(strips))

    def _between(self, strips: Sequence[Strip]) -> int:
        return self.gap * (len(strips) - 1)

    def _table(self, strips: Sequence[Strip], room: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, self.gap - 1, 0, 0), pad_edge=False, show_edge=False)
        for strip, width in zip(strips, _widths(strips, room), strict=True):
            table.add_column(strip.title, justify="right" if strip.is_right else "left", width=width, overflow="fold")
        for number, row in enumerate(zip(*(strip.texts for strip in strips), strict=True)):
            table.add_row(*(text if isinstance(text, Text) else Text(one_line(text)) for text in row))
            if number in self.section_ends:
                table.add_section()
        return table


def _widths(strips: Sequence[Strip], room: int) -> list[int]:
    """Every column's width: what it takes, and what room there is beyond that for the narrowest that wrap."""
    widths = [strip.narrowest for strip in strips]
    left = room - sum(widths)
    while left > 0 and (wrapped := [p for p, s in enumerate(strips) if widths[p] < s.widest]):
        widths[min(wrapped, key=widths.__getitem__)] += 1
        left -= 1
    while left < 0 and (breakable := [p for p, s in enumerate(strips) if not s.is_whole and widths[p] > _NARROWEST]):
        widths[max(breakable, key=widths.__getitem__)] -= 1
        left += 1
    return widths
