"""What pages are put together from: tables that sort, figures, facets to filter by, and the frame around it all."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from dtcbench.report.blocks import Column, Row, no_link
from dtcbench.report.vega import Spec
from dtcbench.text import ABSENT

VEGA = "vega.min.js"
ASSETS = ("page.css", "page.js")
"""What pages share, in addition to Vega: the templates of these names."""
_ALONE = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
_OF_A_SITE = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
"""Vega writes styles into its drawings, and loads nothing; its expressions are interpreted, not evaluated."""


@dataclass(frozen=True)
class Frame:
    """What surrounds a page."""

    assets: str | None = None
    """Where a page of a site finds what it shares with others; None: it carries everything itself."""
    trail: tuple[tuple[str, str], ...] = ()
    """Title and address of the pages above this one, the topmost first."""

    @property
    def root(self) -> str:
        """The address of the site's first folder."""
        return "" if self.assets is None else self.assets.removesuffix("assets")

    @property
    def policy(self) -> str:
        """What a browser may load and run: nothing from elsewhere."""
        return _ALONE if self.assets is None else _OF_A_SITE


ALONE = Frame()


@dataclass(frozen=True)
class TableCell:
    """One table cell: its text, and the text to sort by, which is empty for a missing value."""

    text: str
    value: str = ""
    href: str = ""


@dataclass(frozen=True)
class Table:
    """A table that a reader can sort by any of its columns."""

    columns: tuple[Column, ...]
    rows: list[tuple[list[TableCell], dict[str, str]]]
    """The cells of each row, and what it can be filtered by."""


@dataclass(frozen=True)
class Figure:
    """One figure of a page: the id of its element, what it shows, and Vega-Lite's description of it."""

    id: str
    title: str
    caption: str
    spec: Spec


def table(
    columns: Sequence[Column],
    rows: Iterable[Row],
    href: Callable[[Row], str] = no_link,
    facets: Callable[[Row], dict[str, str]] = lambda row: {},
) -> Table:
    """The table of `rows`; the first cell of each leads to its `href`."""
    lines = []
    for row in rows:
        first, *others = columns
        cells = [_cell(first, row, href(row)), *(_cell(column, row) for column in others)]
        lines.append((cells, facets(row)))
    return Table(tuple(columns), lines)


def facets(found: Iterable[dict[str, str]], titles: dict[str, str]) -> list[tuple[str, str, list[str]]]:
    """Name, title and values of what a page can be filtered by: the rows' facets in which any two rows differ."""
    rows = list(found)
    values = {name: sorted({row[name] for row in rows}) for name in titles}
    return [(name, titles[name], of) for name, of in values.items() if len(of) > 1]


@functools.cache
def template(name: str) -> jinja2.Template:
    """A page's template: everything that it is given is escaped, and nothing that it asks for may be missing."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dtcbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["vega_js"] = lambda: Markup(vega_js())  # noqa: S704 - the installed library's own source
    return environment.get_template(name)


@functools.cache
def vega_js() -> str:
    """The source of the library that draws the figures."""
    import vl_convert  # 90 MB

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed")


def _cell(column: Column, row: Row, href: str = "") -> TableCell:
    return TableCell(column.text(row), _sortable(column, row), href)


def _sortable(column: Column, row: Row) -> str:
    """What the row sorts by as the page's script reads it; empty if it is missing."""
    if column.value is None:
        return "" if (text := column.text(row)) == ABSENT else text
    value = column.value(row)
    if not isinstance(value, float) or math.isfinite(value):
        return str(value)
    return "" if math.isnan(value) else "Infinity"
