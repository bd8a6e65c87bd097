r"""Documents as LaTeX for a paper: each table a float to be \input, in plain ASCII.

Its columns are those of a terminal; the page, the CSV and the tables have the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pylatexenc.latexencode import RULE_REGEX, UnicodeToLatexConversionRule, UnicodeToLatexEncoder

from dtcbench.report.blocks import Bullets, Column, Document, Heading, Paragraph, Row, Table, plain
from dtcbench.text import file_names, one_line

_IN_SOME_PLACES = [
    (re.compile(r"[][*]|(?<=-)-|(?<=')'|(?<=,),"), r"\g<0>"),
    (re.compile("`"), r"\\textasciigrave"),
]
"""Characters that LaTeX reads differently after a line break or next to each other: braces protect them."""
_ENCODER = UnicodeToLatexEncoder(
    conversion_rules=[UnicodeToLatexConversionRule(RULE_REGEX, _IN_SOME_PLACES), "defaults"],
    replacement_latex_protection="braces-all",
    unknown_char_policy=lambda character: f"U+{ord(character):04X}",
    unknown_char_warning=False,
)
_HEAD = r"""% Made by dtcbench of the records of suite {}; `dtcbench report` makes it again.
% Needs \usepackage{{booktabs,graphicx}}; then \input this file. A table wider than the text is shrunk to it."""
_ABOUT = "Means over seeds, with 95 % intervals in brackets; a share is one of the paired dense cells."


def latex(document: Document) -> str:
    """Each table of the document with the heading above it as its caption, its remarks, and the document's notes."""
    document = list(document)
    title, *_ = (plain(block.words) for block in document if isinstance(block, Heading))
    said = {tone: [plain(b.words) for b in document if isinstance(b, Paragraph) and b.tone == tone] for tone in _TONES}
    notes = [plain(line) for block in document if isinstance(block, Bullets) for line in block.lines]
    tables = [
        (plain(above.words), block)
        for above, block in pairwise(document)
        if isinstance(above, Heading) and isinstance(block, Table)
    ]
    warned = "".join(f"\\textbf{{{escaped(alarm)}}} " for alarm in said["alarm"])
    names = file_names([f"{title} {heading}" for heading, _ in tables])
    floats = [
        _float(table, f"{warned}{escaped(' '.join([f'{title}: {heading}.', *said['lead'], _ABOUT]))}", name, notes)
        for (heading, table), name in zip(tables, names, strict=True)
    ]
    return "\n\n".join([_HEAD.format(escaped(title)), *floats]) + "\n"


def escaped(text: str) -> str:
    """`text` on one line in ASCII, with what LaTeX would interpret made literal.

    A letter that no LaTeX knows without more packages stands as its number, such as U+4E2D.
    """
    written: str = _ENCODER.unicode_to_latex(one_line(text))
    return written


_TONES = ("alarm", "lead")


def _float(table: Table, caption: str, name: str, notes: Sequence[str]) -> str:
    """A table that floats over the whole width of the text, with its notes small below it."""
    columns = [column for column in table.shown if not column.is_spare and not column.role]
    wide = [column.is_number and any(" [" in column.text(row) for row in table.rows) for column in columns]
    aligned = ["r" if column.is_number else "l" for column in columns]
    spec = "".join(rf"{side}@{{\,}}l" if two else side for side, two in zip(aligned, wide, strict=True))
    remarks = [f"\\textsuperscript{{{number}}} {escaped(text)}" for number, text in enumerate(table.remarks, 1)]
    body = "\n".join([r"\toprule", *_lines(table, columns, wide), r"\bottomrule"])
    below = "\\par\n".join([*remarks, *map(escaped, notes)])
    return rf"""\begin{{table*}}[tp]
\centering
\caption{{{caption}}}
\label{{tab:{name}}}
\par\smallskip\footnotesize
\setlength{{\tabcolsep}}{{4pt}}
\sbox0{{\begin{{tabular}}{{@{{}}{spec}@{{}}}}
{body}
\end{{tabular}}}}%
\ifdim\wd0>\textwidth\resizebox{{\textwidth}}{{!}}{{\usebox0}}\else\usebox0\fi
\par\medskip
\begin{{minipage}}{{\textwidth}}
\scriptsize\raggedright
{below}
\end{{minipage}}
\end{{table*}}"""


def _lines(table: Table, columns: Sequence[Column], wide: Sequence[bool]) -> Iterator[str]:
    """The heads, then the rows, each section below its text; a remark is a number at a row's first cell."""
    both = list(zip(columns, wide, strict=True))
    yield " & ".join(_head(column, table, two) for column, two in both) + r" \\"
    section = next((column for column in table.columns if column.role == "section"), None)
    if section is None:
        yield r"\midrule"
    above = None
    for row in table.rows:
        if section is not None and (text := f"{section.title} {section.text(row)}") != above:
            yield r"\midrule"
            yield rf"\multicolumn{{{len(wide) + sum(wide)}}}{{@{{}}l@{{}}}}{{\itshape {escaped(text)}}} \\"
            above = text
        remark = "".join(one_line(column.text(row)) for column in table.columns if column.role == "remark")
        mark = f"\\textsuperscript{{{table.remarks.index(remark) + 1}}}" if remark else ""
        first, *others = (_cell(column, row, two) for column, two in both)
        yield " & ".join([first + mark, *others]) + r" \\"


def _head(column: Column, table: Table, is_wide: bool) -> str:
    """The title, with the unit if that is per cent, which the cells then go without."""
    title = column.short or column.title
    is_share = any(re.search(r"\d %", column.text(row)) for row in table.rows)
    title = escaped(f"{title[0].upper()}{title[1:]}{', %' if is_share else ''}")
    return rf"\multicolumn{{2}}{{c}}{{{title}}}" if is_wide else title


def _cell(column: Column, row: Row, is_wide: bool) -> str:
    if not column.is_number:
        return escaped(column.text(row))
    number, bracket, interval = column.text(row).partition(" [")
    number = escaped(number.removesuffix(" %"))
    if not is_wide:
        return number
    if not bracket and not any(map(str.isdigit, number)):
        return rf"\multicolumn{{2}}{{c}}{{{number}}}"
    return f"{number} & " + (rf"{{\scriptsize {escaped('[' + interval)}}}" if bracket else "")
