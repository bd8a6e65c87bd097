"""Documents as GitHub Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dtcbench.report.blocks import (
    Block,
    Bullets,
    Code,
    Document,
    Facts,
    Heading,
    Link,
    Mark,
    Paragraph,
    Piece,
    Prose,
    Table,
    Words,
    pieces,
)
from dtcbench.text import one_line


def markdown(document: Document) -> str:
    """The blocks one after another; ends in a newline."""
    return "\n\n".join(map(_block, document)) + "\n"


def escaped(text: str) -> str:
    """`text` on one line, with what Markdown or HTML would interpret made literal."""
    return _literal(one_line(text))


def _literal(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|&~])", r"\\\1", text)


def _block(block: Block) -> str:
    match block:
        case Heading(words, level):
            return f"{'#' * level} {_inline(words)}"
        case Paragraph(words, "alarm" | "warning"):
            return f"> **{_inline(words)}**"
        case Paragraph(words):
            return _inline(words)
        case Bullets(lines):
            return "\n".join(f"- {_inline(line)}" for line in lines)
        case Facts(rows):
            return _table(["", ""], ["---", "---"], rows)
        case Code(text):
            return f"```\n{text}\n```"
        case Prose(text):
            return text.rstrip("\n")
        case Table():
            columns = block.shown
            rule = ["---:" if column.is_number else "---" for column in columns]
            cells = [[column.text(row) for column in columns] for row in block.rows]
            return _table([column.title for column in columns], rule, cells)
    raise TypeError(f"no Markdown for {block}")


def _inline(words: Words) -> str:
    return "".join(map(_piece, pieces(words)))


def _piece(piece: Piece) -> str:
    match piece:
        case Link(text, href):
            return f"[{_literal(text)}]({href})"
        case Mark(text):
            return f"**{_literal(text)}**"
        case _:
            return _literal(piece)


def _table(titles: Sequence[str], rule: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, rule, *(list(map(escaped, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
