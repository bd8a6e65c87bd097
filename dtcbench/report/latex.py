r"""The leaderboard as LaTeX for a paper: per (protocol, dataset, model) a float to be \input, in plain ASCII.

It has fewer columns than the page; the page, the CSV and the tables have the rest.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pylatexenc.latexencode import RULE_REGEX, UnicodeToLatexConversionRule, UnicodeToLatexEncoder

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.report import columns
from dtcbench.report.columns import HEADLINE_METRICS, SUMMARY_COLUMNS, UNMEASURED, Row, shown, summary_pools
from dtcbench.report.score import score_of
from dtcbench.text import ABSENT, file_names, one_line

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


def leaderboard_latex(leaderboard: Leaderboard) -> str:
    """A table per pool and per summary, each with what forbids publishing, its remarks and the notes."""
    pools = [(pool.title, rows.to_dict("records")) for pool, rows in leaderboard.pools]
    summaries = [(f"over pairs · {title}", rows) for title, rows in summary_pools(leaderboard)]
    names = file_names([f"{leaderboard.suite} {title}" for title, _ in (*pools, *summaries)])
    blocks = [
        f"% Made by dtcbench of the records of suite {escaped(leaderboard.suite)}; `dtcbench report` makes it again.\n"
        "% Needs \\usepackage{booktabs,graphicx}; then \\input this file. A table wider than the text is "
        "shrunk to it."
    ]
    blocks += [_table_of_pool(leaderboard, title, rows, next(names)) for title, rows in pools]
    blocks += [_table_of_summary(leaderboard, title, rows, next(names)) for title, rows in summaries]
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    """`text` on one line in ASCII, with what LaTeX would interpret made literal.

    A letter that no LaTeX knows without more packages stands as its number, such as U+4E2D.
    """
    written: str = _ENCODER.unicode_to_latex(one_line(text))
    return written


@dataclass(frozen=True)
class _Column:
    """One column: a value, and its interval if it has one."""

    title: str
    text: Callable[[Row], str]
    """As `97.12 [96.90, 97.30]`, with or without per cent signs, which are in the title."""
    has_interval: bool = False


def _table_of_pool(leaderboard: Leaderboard, title: str, rows: Sequence[Row], name: str) -> str:
    chosen = _columns(rows)
    remark = _remark_with_test if any(column.text is _p for column in chosen) else columns.remarks
    remarks = list(dict.fromkeys(filter(None, map(remark, rows))))
    width = 1 + sum(1 + column.has_interval for column in chosen)
    lines = [" & ".join(["Method", *map(_heading, chosen)]) + r" \\"]
    for removed, section in itertools.groupby(rows, _removed):
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{@{{}}l@{{}}}}{{\itshape {escaped(removed)}}} \\"]
        for row in section:
            mark = f"\\textsuperscript{{{remarks.index(remark(row)) + 1}}}" if remark(row) else ""
            label = escaped(series_label(row["method"], row["solver"])) + mark
            lines.append(" & ".join([label, *(_cell(column, row) for column in chosen)]) + r" \\")
    below = [f"\\textsuperscript{{{number}}} {escaped(text)}" for number, text in enumerate(remarks, 1)]
    spec = "l" + "".join(r"r@{\,}l" if column.has_interval else "r" for column in chosen)
    about = "Means over seeds, with 95 % intervals in brackets; a share is one of the paired dense cells."
    return _float(leaderboard, f"{title}. {leaderboard.question} {about}", name, spec, lines, below)


def _table_of_summary(leaderboard: Leaderboard, title: str, rows: Sequence[Row], name: str) -> str:
    _, _, *numbers = SUMMARY_COLUMNS  # method and solver share a column
    lines = [" & ".join(["Method", *(escaped(column.title) for column in numbers)]) + r" \\", r"\midrule"]
    for row in rows:
        texts = [series_label(row["method"], row["solver"]), *(column.text(row) for column in numbers)]
        lines.append(" & ".join(map(escaped, texts)) + r" \\")
    return _float(leaderboard, f"{title}.", name, "l" + "r" * len(numbers), lines, [])


def _float(
    leaderboard: Leaderboard, caption: str, name: str, spec: str, lines: Sequence[str], below: Sequence[str]
) -> str:
    """A table that floats over the whole width of the text, with its notes small below it."""
    warned = "".join(f"\\textbf{{{escaped(obstacle)}}} " for obstacle in leaderboard.obstacles)
    body = "\n".join([r"\toprule", *lines, r"\bottomrule"])
    notes = "\\par\n".join([*below, *map(escaped, leaderboard.notes)])
    return rf"""\begin{{table*}}[tp]
\centering
\caption{{{warned}{escaped(f"{leaderboard.suite}: {caption}")}}}
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
{notes}
\end{{minipage}}
\end{{table*}}"""


def _columns(rows: Sequence[Row]) -> list[_Column]:
    """The columns after the method; those that say nothing of any row are left out."""
    said, score = shown(rows), score_of(rows)
    titles = {column.title for column in said}
    return [
        _Column(score.title, columns.score, has_interval=True),
        *(_Column(column.title, column.text) for column in said if column in HEADLINE_METRICS),
        _Column(f"To dense, {score.points}", columns.difference, has_interval=True),
        *([_Column("Adjusted p", _p)] if "Difference, adjusted p" in titles else ()),
        _Column("Parameters, %", lambda row: columns.share(row["parameters_ratio"])),
        _Column("FLOPs, %", lambda row: columns.share(row["training_flops_ratio"])),
        _Column("Time, %", lambda row: columns.share(row["time_ratio"])),
        _Column("Energy, %", columns.energy, has_interval=any(map(columns.is_metered, rows))),
        _Column("Ok", columns.coverage),
    ]


def _heading(column: _Column) -> str:
    title = escaped(column.title)
    return rf"\multicolumn{{2}}{{c}}{{{title}}}" if column.has_interval else title


def _cell(column: _Column, row: Row) -> str:
    number, bracket, interval = column.text(row).partition(" [")
    number = escaped(number.removesuffix(" %"))
    if not column.has_interval:
        return number
    if number in ("baseline", UNMEASURED):
        return rf"\multicolumn{{2}}{{c}}{{{number}}}"
    return f"{number} & " + (rf"{{\scriptsize {escaped('[' + interval)}}}" if bracket else "")


def _p(row: Row) -> str:
    """The adjusted p alone; the remarks say why it is missing."""
    text = columns.difference_p(row)
    return ABSENT if text == row["test_note"] else text


def _remark_with_test(row: Row) -> str:
    """The row's remarks, and why it has no p."""
    return "; ".join(filter(None, [columns.remarks(row), row["test_note"] if row["ok"] else ""]))


def _removed(row: Row) -> str:
    """The heading of a section of rows."""
    text = columns.share(columns.sparsity_shown(row))
    return "neurons removed by the schedule" if text == ABSENT else f"{text} of the neurons removed"
