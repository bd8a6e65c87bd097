"""The command line: verbs in the order of work. Heavy imports happen inside them.

Exit codes: 0 all ok, 1 some cells failed or are missing, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dtcbench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from dtcbench.execution.driver import Job
    from dtcbench.execution.executor import Executor
    from dtcbench.execution.scheduler import Attempt
    from dtcbench.plan.cell import Cell
    from dtcbench.plan.grid import Plan
    from dtcbench.records.store import Store
    from dtcbench.registry import Plugin
    from dtcbench.report.build import Derived

app = typer.Typer(
    help="Test bench for Dual Tomographic Compression and every method that compresses while training.\n\n"
    "First: dtcbench run suites/quick.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SuiteFile = Annotated[Path, typer.Argument(metavar="SUITE", help="A suite's YAML file, such as suites/quick.yaml.")]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/quick, or its name under runs/.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="The run's folder [default: runs/NAME-OF-THE-SUITE].")
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Python that registers models, methods, solvers, datasets."),
]


@app.command()
def doctor() -> None:
    """What this machine offers, and what it will measure.

    Example: dtcbench doctor
    """
    from dtcbench.report.machine import machine_table

    _say(machine_table())


@app.command("list")
def list_(
    axis: Annotated[
        str, typer.Argument(metavar="AXIS", help="models, datasets, methods or solvers [default: all].")
    ] = "",
    plugin: Plugins = None,
) -> None:
    """The names a suite may use, with their options.

    Example: dtcbench list solvers
    """
    from dtcbench import registry
    from dtcbench.report.axes import axis_table

    _load_plugins(plugin)
    axes = {f"{a.noun}s": a for a in registry.AXES}
    if axis and axis not in axes:
        raise UserError(f"unknown axis {axis!r}; {registry.near(axis, list(axes))}")
    _say(*(axis_table(values) for name, values in axes.items() if axis in ("", name)))


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="DATASET", help="[default: all]")] = None,
    plugin: Plugins = None,
) -> None:
    """Download, check and decode datasets before a run needs them.

    Example: dtcbench fetch mnist
    """
    from dtcbench import registry

    _load_plugins(plugin)
    for load in [registry.datasets.bind(name, {}) for name in names or registry.datasets.names()]:
        splits = load()
        shape = "×".join(map(str, splits.input_shape))
        _say(
            f"{load.func.__name__}: {len(splits.train_x)} training and {len(splits.test_x)} test samples "
            f"of {shape}, checked"
        )


@app.command()
def plan(suite: SuiteFile, out: Out = None, plugin: Plugins = None) -> None:
    """List a suite's cells, done, missing or failed; run none.

    Example: dtcbench plan suites/quick.yaml
    """
    from dtcbench.report.plans import plan_view

    _load_plugins(plugin)
    planned, _ = _expanded(suite)
    _say(plan_view(planned, _store_of(planned, out).read()))


@app.command()
def run(
    suite: SuiteFile,
    out: Out = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Cells at once [default: as many as fit].")] = None,
    inline: Annotated[bool, typer.Option("--inline", help="In this process, without Ray; for debugging.")] = False,
    cell: Annotated[str | None, typer.Option(metavar="KEY", help="Only the cell whose key begins so.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed cells again.")] = False,
    plugin: Plugins = None,
) -> None:
    """Run what is missing of a suite, then rebuild its tables. The same command resumes.

    Example: dtcbench run suites/quick.yaml
    """
    from dtcbench.execution.driver import Job, to_run

    plugins = _load_plugins(plugin)
    planned, text = _expanded(suite)
    cells = planned.cells if cell is None else (_one_cell(planned.cells, cell),)
    store = _store_of(planned, out)
    resources = planned.suite.resources
    with store.locked():
        store.save_suite(text)
        contents = store.read()
        for damaged in contents.damaged:
            _console().print(f"damaged record: {damaged}", soft_wrap=True)
            store.set_aside(damaged)
        attempts = to_run(cells, contents, retry_failed)
        job = Job(planned.suite.name, "cuda" if resources.gpus else "cpu", planned.suite.timeout, plugins)
        _console().print(f"{planned.suite.name}: {len(cells)} cells, {len(attempts)} to run")
        if attempts:
            _drive(planned, attempts, job, store, workers, inline)
        _conclude(planned, store)
    _exit_by(planned, store)


@app.command()
def status(run_folder: RunFolder) -> None:
    """How far a run has come: counts, failures with their reasons, damaged records.

    Example: dtcbench status runs/quick
    """
    from dtcbench.report.plans import status_view

    planned, store = _run(run_folder)
    _console().print(status_view(planned, store.read()))
    _exit_by(planned, store)


@app.command()
def show(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The first digits of a cell's key.")],
    run_folder: Annotated[Path | None, typer.Option("--run", help="Its run's folder [default: search runs/].")] = None,
) -> None:
    """All that is known of one cell: configuration, attempts, accuracy, energy, cycle by cycle.

    Example: dtcbench show 3fa9c1 --run runs/quick
    """
    from dtcbench.records.store import Store
    from dtcbench.report.cells import cell_view

    folders = [_run(run_folder)[1].root] if run_folder else sorted(p.parent for p in Path("runs").glob("*/suite.yaml"))
    found = {
        key: attempts
        for folder in folders
        for key, attempts in Store(folder).read().attempts.items()
        if key.startswith(cell.lower())
    }
    if len(found) != 1:
        where = ", ".join(map(str, folders)) or "runs/ (no run there)"
        raise UserError(
            f"{len(found)} cells whose key begins with {cell!r} in {where}; "
            + ("give more digits" if found else "`dtcbench plan SUITE` lists the keys")
        )
    _console().print(cell_view(next(iter(found.values()))))


@app.command()
def board(
    run_folder: RunFolder,
    reference: Annotated[
        Path | None, typer.Option(help="A CSV of published figures: print ours beside them, cycle by cycle.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="The method a reference's single `accuracy` column belongs to.")
    ] = None,
) -> None:
    """The leaderboard on the terminal, or, with --reference, ours beside the published figures.

    Example: dtcbench board runs/published --reference published_mnist.csv
    """
    from dtcbench.records import tables
    from dtcbench.report import terminal
    from dtcbench.report.comparison import comparison, read_reference

    planned, store = _run(run_folder)
    if reference is None:
        leaderboard, _, _ = _analysed(planned, store)
        _console().print(terminal.leaderboard(leaderboard))
        return
    cycles = tables.cycles(planned.cells, store.read())
    _console().print(comparison(cycles, read_reference(reference, method)))


@app.command()
def report(run_folder: RunFolder) -> None:
    """Rebuild a run's tables, Markdown, CSV and page from its records.

    Example: dtcbench report runs/quick
    """
    planned, store = _run(run_folder)
    _conclude(planned, store)


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2, never a traceback."""
    try:
        app()
    except UserError as error:
        typer.echo(f"dtcbench: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("dtcbench: stopped; the same command resumes", err=True)
        sys.exit(130)


def _console() -> Console:
    from rich.console import Console

    # A pipe has no width: wide enough there that tables do not fold.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def _load_plugins(paths: list[Path] | None) -> tuple[Any, ...]:
    from dtcbench.registry import Plugin

    plugins = tuple(Plugin.read(path) for path in paths or [])
    for plugin in plugins:
        plugin.load()
    return plugins


def _expanded(path: Path) -> tuple[Plan, str]:
    from dtcbench.plan.grid import expand
    from dtcbench.plan.suite import load

    suite = load(path)
    return expand(suite), path.read_text(encoding="utf-8")


def _store_of(planned: Plan, out: Path | None) -> Store:
    from dtcbench.records.store import Store

    return Store(out or Path("runs") / planned.suite.name)


def _run(folder: Path) -> tuple[Plan, Store]:
    from dtcbench.records.store import Store

    named = Path("runs") / folder
    store = Store(named if not folder.exists() and named.exists() else folder).existing()
    return _expanded(store.suite)[0], store


def _one_cell(cells: tuple[Any, ...], key: str) -> Any:
    found = [cell for cell in cells if cell.key.startswith(key.lower())]
    if len(found) != 1:
        raise UserError(f"--cell {key}: {len(found)} cells of the suite begin so; `dtcbench plan SUITE` lists the keys")
    return found[0]


def _drive(planned: Plan, attempts: list[Any], job: Any, store: Store, workers: int | None, inline: bool) -> None:
    from dtcbench.execution.driver import drive
    from dtcbench.report.progress import RunProgress

    executor = _executor(planned, workers, inline)
    try:
        with RunProgress(_console(), len(attempts)) as progress:
            drive(attempts, job, store, executor, progress)
    finally:
        executor.close()


def _executor(planned: Plan, workers: int | None, inline: bool) -> Any:
    from dtcbench.execution.cluster import RayExecutor
    from dtcbench.execution.inline import InlineExecutor

    cpus, gpus = planned.suite.cpus, planned.suite.resources.gpus
    return InlineExecutor() if inline else RayExecutor(cpus, gpus, workers and workers * cpus)


def _analysed(planned: Plan, store: Store) -> tuple[Any, Any, Any]:
    from dtcbench.analysis import leaderboard
    from dtcbench.records import tables

    contents = store.read()
    cells = tables.cells(planned.cells, contents, planned.suite.name)
    cycles = tables.cycles(planned.cells, contents)
    built = leaderboard.build(cells, cycles, suite=planned.suite.name, question=planned.suite.question)
    return built, cells, cycles


def _conclude(planned: Plan, store: Store) -> None:
    """Rebuild everything that is derived from the records; the leaderboard and the paths on the terminal."""
    from dtcbench.records import tables
    from dtcbench.report import html, markdown, tabular, terminal

    leaderboard, cells, cycles = _analysed(planned, store)
    written = [
        store.derived("tables/cells.parquet", tables.parquet(cells)),
        store.derived("tables/cycles.parquet", tables.parquet(cycles)),
        store.derived("leaderboard.csv", tabular.leaderboard_csv(leaderboard)),
        store.derived("leaderboard.md", markdown.leaderboard_markdown(leaderboard)),
        store.derived("leaderboard.html", html.page(leaderboard, cells, cycles)),
    ]
    _say(terminal.leaderboard(leaderboard))
    _say("\nWritten:", *(f"  {path}" for path in written))


def _say(*parts: RenderableType) -> None:
    for part in parts:
        _console().print(part, soft_wrap=isinstance(part, str))


def _exit_by(planned: Plan, store: Store) -> None:
    from dtcbench.records.record import Status

    contents = store.read()
    records = [contents.record(cell.key) for cell in planned.cells]
    if any(record is None or record.status is not Status.OK for record in records):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
