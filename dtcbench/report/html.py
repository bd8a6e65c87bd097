"""Documents as pages in HTML: by themselves, loading nothing from anywhere, or as parts of a site."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from dtcbench.report.blocks import Block, Column, Document, Link, Mark, Row, Table, Words, pieces
from dtcbench.report.elements import ALONE, Frame, template
from dtcbench.text import ABSENT, file_names

_LONG = 40
"""Letters from which on a text is broken into lines in its cell."""
_MARKDOWN = MarkdownIt("commonmark").enable("table").disable(["html_block", "html_inline"])


def page(title: str, document: Document, frame: Frame = ALONE) -> str:
    """The page. Everything that the document says is escaped; the same document gives the same bytes."""
    return template("page.html").render(title=title, frame=frame, body=_body(document))


def _body(blocks: Iterable[Block]) -> Markup:
    """Each block by the macro of its name."""
    return Markup().join(getattr(_macros(), type(block).__name__)(block) for block in blocks)


@functools.cache
def _macros() -> Any:
    known = (_body, _inline, _prose, _looks, _rows, _sortable)
    return template("blocks.html").make_module({function.__name__.strip("_"): function for function in known})


def _inline(words: Words) -> Markup:
    return Markup().join(map(_piece, pieces(words)))


def _piece(piece: str | Link | Mark) -> Markup:
    match piece:
        case Link(text, href):
            return Markup('<a href="{}">{}</a>').format(href, text)
        case Mark(text, "strong"):
            return Markup("<strong>{}</strong>").format(text)
        case Mark(text, kind):
            return Markup('<span class="verdict {}">{}</span>').format(kind.replace(" ", "-"), text)
        case _:
            return escape(piece)


def _prose(text: str) -> Markup:
    """Markdown, in which HTML is shown and not obeyed."""
    blocks = _MARKDOWN.parse(text)
    for block in blocks:
        block.children = list(_on_the_site(block.children or ()))
    return Markup(_MARKDOWN.renderer.render(blocks, _MARKDOWN.options, {}))  # noqa: S704 - HTML is shown as it is


def _on_the_site(words: Iterable[Token]) -> Iterator[Token]:
    """In place of a link out of the site's folder, such as to `../docs/tables.md`, its words and the file: whoever
    reads the site may have nothing else.
    """
    out = said = ""
    for word in words:
        said += word.content
        if word.type == "link_open" and str(word.attrs["href"]).startswith("../"):
            out, said = str(word.attrs["href"]).removeprefix("../").partition("#")[0], ""
        elif word.type == "link_close" and out:
            yield Token("text", "", 0, content="" if said == out else f" ({out})")
            out = ""
        else:
            yield word


def _looks(table: Table) -> list[tuple[Column, str]]:
    """The columns, each with the classes of its cells."""
    found = []
    for column in table.shown:
        is_long = not column.is_number and any(len(column.text(row)) > _LONG for row in table.rows)
        named = {"number": column.is_number, "spare": column.is_spare, "words": is_long}
        found.append((column, " ".join(name for name, has in named.items() if has)))
    return found


def _rows(table: Table) -> Iterator[tuple[Row, str]]:
    """Each row with the id that a link leads to, if it has one."""
    if table.anchor is None:
        return ((row, "") for row in table.rows)
    return zip(table.rows, file_names(list(map(table.anchor, table.rows))), strict=True)


def _sortable(column: Column, row: Row) -> str | None:
    """What a cell sorts by as the page's script reads it, empty if it is missing; None if that is its text."""
    if column.value is None:
        return "" if column.text(row) == ABSENT else None
    value = column.value(row)
    if not isinstance(value, float) or math.isfinite(value):
        return str(value)
    return "" if math.isnan(value) else "Infinity"
