"""What surrounds every page: its templates, what it may load, and where it stands in a site."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

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
