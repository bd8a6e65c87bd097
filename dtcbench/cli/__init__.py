"""The command line: verbs in the order of work. Heavy imports happen inside them.

Exit codes: 0 all ok, 1 some cells failed or are missing, 2 bad input, 130 stopped by Ctrl-C or a signal.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dtcbench import __version__
from dtcbench.cli.looking import board, claims, report, show, status
from dtcbench.cli.publishing import check, compare, merge, migrate, publish, reproduce, site
from dtcbench.cli.run_command import run
from dtcbench.cli.setup_commands import doctor, fetch, list_, plan, selftest, suites
from dtcbench.errors import UserError
from dtcbench.execution.interrupts import as_ctrl_c
from dtcbench.streams import best_effort, lost

app = typer.Typer(
    help="Test bench for Dual Tomographic Compression and every method that compresses while training.\n\n"
    "First: dtcbench run quick",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_VERBS = (
    *(doctor, list_, suites, fetch, selftest, plan, run),
    *(status, show, board, claims, report),
    *(check, publish, site, merge, migrate, compare, reproduce),
)
for _verb in _VERBS:
    app.command(_verb.__name__.rstrip("_"))(_verb)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dtcbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Read before any verb."""


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2, never a traceback.

    What is printed is best effort. If standard output cannot be written, one line on standard error says so. If only
    its reader left, no verb says so but `run`: it goes on for long.
    """
    running = sys.argv[1:2] == ["run"] and not {"-h", "--help"} & set(sys.argv)
    with best_effort(), as_ctrl_c():
        code = _exit_code()
        if (reason := lost()) and (running or not isinstance(reason, BrokenPipeError)):
            what = "; the run went on without it" if running else ""
            _tell(f"standard output was lost: {reason.strerror}{what}")
            code = code or (0 if running else 2)
    sys.exit(code)


def _exit_code() -> int | str | None:
    try:
        app(prog_name="dtcbench")
    except UserError as error:
        _tell(str(error))
        return 2
    except SystemExit as end:
        if end.code == 130:  # what typer makes of Ctrl-C, without a word
            _tell("stopped; the same command resumes")
        return end.code
    return 0


def _tell(message: str) -> None:
    typer.echo(f"dtcbench: {message}", err=True)
