"""The command line: verbs in the order of work. Heavy imports happen inside them.

Exit codes: 0 all ok, 1 some cells failed or are missing, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys

import typer

from dtcbench.cli.looking import board, claims, report, show, status
from dtcbench.cli.preparing import doctor, fetch, list_, plan, selftest, suites
from dtcbench.cli.publishing import check, compare, merge, publish, reproduce, site
from dtcbench.cli.running import run
from dtcbench.errors import UserError

app = typer.Typer(
    help="Test bench for Dual Tomographic Compression and every method that compresses while training.\n\n"
    "First: dtcbench run quick",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_VERBS = (
    *(doctor, list_, suites, fetch, selftest, plan, run),
    *(status, show, board, claims, report),
    *(check, publish, site, merge, compare, reproduce),
)
for _verb in _VERBS:
    app.command(_verb.__name__.rstrip("_"))(_verb)


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2, never a traceback."""
    try:
        app(prog_name="dtcbench")
    except UserError as error:
        typer.echo(f"dtcbench: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == 130:  # what typer makes of Ctrl-C, without a word
            typer.echo("dtcbench: stopped; the same command resumes", err=True)
        raise
