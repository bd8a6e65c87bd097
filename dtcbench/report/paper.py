"""Figures for papers: what the page shows, as PDF and SVG for one column of print. The same figure, the same bytes."""

from __future__ import annotations

from typing import Any, Literal

from dtcbench.report.vega import NEUTRAL, Spec

Form = Literal["pdf", "svg"]
FORMS: tuple[Form, ...] = ("pdf", "svg")
WIDTH_PX = 336
"""Of a column of 3.5 inches, at 96 pixels an inch."""
_LETTER_PX, _SYMBOL_PX = 5.5, 30
"""Of the legend."""
_FONT, _GREY, _FAINT = "Liberation Sans, Arial, Helvetica, sans-serif", NEUTRAL, "#dddddd"
_TEXT, _SMALL = 10.5, 9.5
"""Pixels."""
_CONFIG: dict[str, Any] = {
    "aria": False,
    "background": "white",
    "padding": 2,
    "font": _FONT,
    "axis": {
        "labelOverlap": False,  # a hidden label is a transparent one, of which a PDF has its names in any order
        "labelFontSize": _SMALL,
        "titleFontSize": _TEXT,
        "gridColor": _FAINT,
        "domainColor": _GREY,
        "tickColor": _GREY,
    },
    "legend": {"labelFontSize": _SMALL, "rowPadding": 1, "offset": 6},
    "style": {
        "band": {"color": _FAINT},
        "note": {"fontSize": _SMALL, "color": "black"},
        "heading": {"color": _GREY},
    },
}


def drawn(figure: Spec, form: Form) -> bytes:
    """The figure as a file. ValueError where it is no figure that Vega-Lite can draw."""
    import vl_convert  # 90 MB, which nothing else needs

    meta = figure["usermeta"]
    columns = max(1, int(WIDTH_PX / (_LETTER_PX * meta["longest_name"] + _SYMBOL_PX)))
    legend = _CONFIG["legend"] | {"columns": columns, "labelLimit": WIDTH_PX - _SYMBOL_PX}
    sized = figure | {"vconcat": [panel | {"width": WIDTH_PX - meta["beside_px"]} for panel in figure["vconcat"]]}
    made = vl_convert.vegalite_to_svg if form == "svg" else vl_convert.vegalite_to_pdf
    content = made(sized, config=_CONFIG | {"legend": legend}, allowed_base_urls=[])
    return content.encode() if isinstance(content, str) else content
