"""The command line: the commands, in the order of work. Each imports what is slow to import when it runs.

Exit codes: 0 success, 1 some cells failed or are missing, 2 invalid input, 130 stopped by Ctrl-C or a signal.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dtcbench import __version__
from dtcbench.cli.calibrate_command import calibrate
from dtcbench.cli.publish_commands import check, compare, merge, migrate, publish, reproduce, site
from dtcbench.cli.result_commands import board, claims, export, report, show, status, watch
from dtcbench.cli.run_command import run
from dtcbench.cli.setup_commands import doctor, fetch, list_, plan, selftest, suites
from dtcbench.cli.slurm_command import slurm
from dtcbench.errors import UserError
from dtcbench.execution.interrupts import as_ctrl_c
from dtcbench.output import best_effort, lost

app = typer.Typer(
    help="Test bench for Dual Tomographic Compression and other methods that compress while training.\n\n"
    "Start with: dtcbench run quick",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    *(doctor, list_, suites, fetch, selftest, plan, calibrate, run, slurm),
    *(status, watch, show, export, board, claims, report),
    *(check, publish, site, merge, migrate, compare, reproduce),
)
for _command in _COMMANDS:
    app.command(_command.__name__.rstrip("_"))(_command)


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
    """Options before the command."""


def main() -> None:
    """Entry point. A user's mistake ends in one message and exit code 2, never in a traceback.

    If standard output cannot be written, the command goes on, and one line on standard error says so. If only its
    reader has closed the pipe, as `head` does, just `run` says so, because it takes long.
    """
    is_run = sys.argv[1:2] == ["run"] and not {"-h", "--help"} & set(sys.argv)
    with best_effort(), as_ctrl_c():
        code = _exit_code()
        if (reason := lost()) and (is_run or not isinstance(reason, BrokenPipeError)):
            what = "; the run went on without it" if is_run else ""
            _tell(f"standard output was lost: {reason.strerror}{what}")
            code = code or (0 if is_run else 2)
    sys.exit(code)


def _exit_code() -> int | str | None:
    try:
        app(prog_name="dtcbench")
    except UserError as error:
        _tell(str(error))
        return 2
    except SystemExit as end:
        if end.code == 130:  # typer's exit code for Ctrl-C, for which it prints nothing
            _tell("stopped; the same command resumes")
        return end.code
    return 0


def _tell(message: str) -> None:
    typer.echo(f"dtcbench: {message}", err=True)
