"""Shared by the commands: options, printing, exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dtcbench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, RenderableType

    from dtcbench.records.location import AnyPath
    from dtcbench.records.run import Run
    from dtcbench.report.blocks import Document

SuiteName = Annotated[
    str, typer.Argument(metavar="SUITE", help="A suite's YAML file, or a shipped suite's name, such as quick.")
]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or its name under runs/.")]
Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="A Ray cluster, or auto [default: start Ray on this machine].")
]
Out = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="The run's folder, also s3://… [default: runs/NAME-OF-THE-SUITE]."),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", metavar="FILE", help="A Python file that registers models, methods, solvers, datasets or protocols."
    ),
]

ClaimFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--claims",
        metavar="FILE",
        help="A claim's YAML file, also one's own; again for more [default: those sealed with the run, else the "
        "paper's].",
    ),
]


def console() -> Console:
    """A console on standard output: as wide as COLUMNS, else as the terminal, else wide enough for every column."""
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    return Console(highlight=False, width=width or (None if sys.stdout.isatty() else 160))


def say(*parts: RenderableType) -> None:
    """Print tables and text. Brackets in text are not markup, and long lines are not wrapped."""
    for part in parts:
        console().print(part, markup=False, soft_wrap=isinstance(part, str))


def display(document: Document) -> None:
    """Print a view."""
    from dtcbench.report.terminal import terminal

    say(terminal(document))


def tell(lines: Iterable[str]) -> None:
    """Print the lines, each as soon as it is there; exit code 1 if a refusal ends them."""
    from dtcbench.publish.verbs import RefusedError
    from dtcbench.text import one_line

    try:
        for line in lines:
            say(one_line(line))
    except RefusedError:
        raise typer.Exit(1) from None


def show_rebuilt(run: Run, files: Iterable[AnyPath]) -> None:
    """Print the leaderboard, and the files that were rebuilt."""
    from dtcbench.report.leaderboard_view import leaderboard_view

    display(leaderboard_view(run.leaderboard()))
    say("\nWritten:", *(f"  {file}" for file in files))


def show_verdicts(run: Run, claim_files: Sequence[Path] | None) -> None:
    """Print the verdict of each claim, with the reason and the rules' seal."""
    from dtcbench.report.build import claims_notes
    from dtcbench.report.claims_view import brief_view

    display(brief_view(run.claims(claims=claim_files), claims_notes(run), run.rules(claim_files)))


def exit_by(statuses: Iterable[str | None]) -> None:
    """Exit code 1 unless every cell is ok."""
    if any(status != "ok" for status in statuses):
        raise typer.Exit(1)


def refuse_idle(option: str, given: object, needed: str, other: object) -> None:
    """UserError if an option was given that does nothing without another."""
    if given and not other:
        raise UserError(f"{option} does nothing without {needed}: add {needed}, or remove {option}")


def refuse_both(option: str, given: object, other_option: str, other: object) -> None:
    """UserError if two options were given and one makes the other do nothing."""
    if given and other:
        raise UserError(f"{option} does nothing with {other_option}: remove one of them")
