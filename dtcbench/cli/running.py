"""Running a suite."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dtcbench.cli.common import (
    Address,
    Out,
    Plugins,
    SuiteName,
    conclude,
    console,
    exit_by,
    load_plugins,
    read_suite,
    refuse_both,
    say,
)
from dtcbench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from dtcbench.execution.executor import Executor
    from dtcbench.plan.grid import Plan
    from dtcbench.records.store import Store


def run(
    suite: SuiteName,
    out: Out = None,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Cells at once [default: by cores].")] = None,
    inline: Annotated[bool, typer.Option("--inline", help="In this process, without Ray; for debugging.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="A rehearsal: one seed, a few steps; NAME-smoke.")] = False,
    cell: Annotated[str | None, typer.Option(metavar="KEY", help="Only the cell whose key begins so.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed cells again.")] = False,
    fail_over: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Stop when more than this share failed.")
    ] = None,
    address: Address = None,
    plugin: Plugins = None,
) -> None:
    """Run what is missing of a suite, then rebuild its tables. The same command resumes.

    Example: dtcbench run quick
    """
    from dtcbench.execution.driver import Job, drive, to_run
    from dtcbench.execution.sources import digests, refuse_to_mix
    from dtcbench.plan.document import Document
    from dtcbench.plan.names import declared
    from dtcbench.records.mixing import data_of
    from dtcbench.records.runs import one_cell, run_of
    from dtcbench.report.plans import next_steps
    from dtcbench.report.progress import RunProgress

    refuse_both("--workers", workers, "--inline", inline)
    refuse_both("--address", address, "--inline", inline)
    if cell is not None and smoke:
        raise UserError("--cell names a cell of the suite, and a rehearsal has others: remove --cell or --smoke")
    plugins = load_plugins(plugin)
    text, planned = read_suite(suite, out, smoke)
    cells = planned.cells if cell is None else (one_cell(cell, planned.cells),)
    store = run_of(planned.suite.name, out)
    with ExitStack() as held:
        is_new = not store.suite.is_file()
        if not is_new:
            held.enter_context(store.locked())
        contents = store.outlines()
        refuse_to_mix(planned, store, contents, plugins)
        attempts = to_run(cells, contents, retry_failed)
        with _executor(planned, workers, address, inline=inline or not attempts) as (executor, screen, keep_log):
            # Whatever could refuse the run has been asked by now: nothing is written and no folder made before.
            if is_new:
                held.enter_context(store.locked())
                contents = store.outlines()  # another run of the suite may have ended since
                refuse_to_mix(planned, store, contents, plugins)
                attempts = to_run(cells, contents, retry_failed)
            data = data_of(planned, contents)
            document = Document.read(text, suite).value
            names = declared(planned.suite, document, planned.names, digests(planned, plugins))
            store.save_suite(planned.suite.name, text, names, contents)
            for damaged in contents.damaged:
                say(f"damaged record: {damaged}", on=screen)
                store.set_aside(damaged)
            say(f"{planned.suite.name}: {len(cells)} cells, {len(attempts)} to run", on=screen)
            del contents  # of a large run, much
            if attempts:
                keep_log(store)
                with RunProgress(screen, len(attempts)) as progress:
                    drive(attempts, Job.of(planned.suite, plugins, fail_over), store, executor, progress, data)
        outcome = conclude(planned, store)
        say(*next_steps(outcome.values()))
    exit_by(outcome[cell.key] for cell in cells)


@contextmanager
def _executor(
    planned: Plan, workers: int | None, address: str | None, *, inline: bool
) -> Iterator[tuple[Executor, Console, Callable[[Store], None]]]:
    """What runs the cells, the console of the progress, and what gives Ray's own messages a log in the run."""
    from dtcbench.execution.executor import InlineExecutor
    from dtcbench.execution.quiet import quiet

    if inline:
        yield InlineExecutor(), console(), lambda store: None
        return
    with quiet() as (terminal, keep), closing(_ray_executor(planned, workers, address)) as executor:
        yield executor, console(terminal), lambda store: keep(_log(store, planned.suite.name))


def _ray_executor(planned: Plan, workers: int | None, address: str | None) -> Executor:
    """Ray on this machine for so many cells at once, or the cluster at `address`."""
    from dtcbench.execution.ray_executor import RayExecutor

    request = planned.suite.request
    if address:
        return RayExecutor(request, address=address, slots=workers)
    return RayExecutor(request, cores=workers and workers * request.cpus)


def _log(store: Store, suite: str) -> Path:
    """Where Ray's own messages go: beside the records, or where they would be if they lay on this machine."""
    from dtcbench.records.runs import RUNS

    folder = store.root if isinstance(store.root, Path) else RUNS / suite
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "ray.log"
