"""What the verbs share: their options, what they print, and runs by what a person types."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from dtcbench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType

    from dtcbench.plan.grid import Plan
    from dtcbench.records.store import Store

SuiteName = Annotated[
    str, typer.Argument(metavar="SUITE", help="A suite's YAML file, or a shipped suite's name, such as quick.")
]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or its name under runs/.")]
Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="A Ray cluster, or auto; without it, a Ray of this run's own.")
]
Out = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="The run's folder, also s3://… [default: runs/NAME-OF-THE-SUITE]."),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Python that registers models, methods, solvers, datasets."),
]


def console(file: TextIO | None = None) -> Console:
    """On standard output, or on `file`."""
    from rich.console import Console

    return Console(file=file, highlight=False, width=_width(file or sys.stdout))


def _width(file: TextIO) -> int | None:
    """What COLUMNS says; without it a terminal's own, which is None here, and elsewhere enough for every column."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    return None if file.isatty() else 160


def say(*parts: RenderableType, on: Console | None = None) -> None:
    """Print tables, and text as it is: brackets are no markup, long lines stay whole."""
    for part in parts:
        (on or console()).print(part, markup=False, soft_wrap=isinstance(part, str))


def tell(lines: Iterable[str]) -> None:
    """Print lines as they come; exit code 1 where they end in a refusal."""
    from dtcbench.publish.verbs import RefusedError
    from dtcbench.text import one_line

    try:
        for line in lines:
            say(one_line(line))
    except RefusedError:
        raise typer.Exit(1) from None


def run_at(folder: str) -> tuple[Plan, Store]:
    """The plan and the records of a run; no plug-in of it is needed."""
    from dtcbench.records.runs import plan_of, run_named

    store = run_named(folder)
    return plan_of(store), store


def conclude(planned: Plan, store: Store) -> dict[str, str]:
    """Rebuild everything that is derived from the records; the leaderboard and the paths on the terminal.

    The cells' statuses by key, those without a record `missing`.
    """
    from dtcbench.report import build, terminal

    derived = build.derive(planned, store)
    written = build.write(derived, store)
    say(terminal.leaderboard(derived.board), "\nWritten:", *(f"  {path}" for path in written))
    return dict(zip(derived.tables.cells["key"], derived.tables.cells["status"], strict=True))


def exit_by(statuses: Iterable[str | None]) -> None:
    if any(status != "ok" for status in statuses):
        raise typer.Exit(1)


def refuse_idle(option: str, given: object, needed: str, other: object) -> None:
    """UserError where an option was given that does nothing without another."""
    if given and not other:
        raise UserError(f"{option} does nothing without {needed}: add {needed}, or remove {option}")


def refuse_both(option: str, given: object, other_option: str, other: object) -> None:
    """UserError where two options were given of which one makes the other do nothing."""
    if given and other:
        raise UserError(f"{option} does nothing with {other_option}: remove one of them")
