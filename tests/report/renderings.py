"""Views as their readers see them."""

import io

from rich.console import Console

from dtcbench.report.latex import latex
from dtcbench.report.leaderboard_view import leaderboard_view
from dtcbench.report.markdown import markdown
from dtcbench.report.terminal import terminal


def on_terminal(document, width: int = 100) -> str:
    """The document on a terminal of so many columns, without colours."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False, highlight=False)
    console.print(terminal(document), markup=False)
    return console.file.getvalue()


def leaderboard_on_terminal(leaderboard, width: int = 100) -> str:
    return on_terminal(leaderboard_view(leaderboard), width)


def leaderboard_markdown(leaderboard) -> str:
    return markdown(leaderboard_view(leaderboard))


def leaderboard_latex(leaderboard) -> str:
    return latex(leaderboard_view(leaderboard))
