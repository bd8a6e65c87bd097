"""Running a suite."""

from __future__ import annotations

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
    say,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from dtcbench.execution.driver import Job
    from dtcbench.execution.executor import Executor
    from dtcbench.execution.scheduler import Attempt
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
    from dtcbench.execution.driver import Job, to_run
    from dtcbench.execution.inline import InlineExecutor
    from dtcbench.execution.quiet import quiet
    from dtcbench.execution.sources import refuse_to_mix
    from dtcbench.plan.names import declared
    from dtcbench.records.mixing import data_of
    from dtcbench.records.runs import one_cell, run_of
    from dtcbench.report.plans import next_steps

    plugins = load_plugins(plugin)
    text, planned = read_suite(suite, out, smoke)
    cells = planned.cells if cell is None else (one_cell(cell, planned.cells),)
    store = run_of(planned.suite.name, out)
    with store.locked():
        contents = store.outlines()
        refuse_to_mix(planned, store, contents, plugins)
        names = declared(planned.suite, planned.names, {plugin.name: plugin.sha256 for plugin in plugins})
        store.save_suite(planned.suite.name, text, names, contents)
        for damaged in contents.damaged:
            say(f"damaged record: {damaged}")
            store.set_aside(damaged)
        attempts, data = to_run(cells, contents, retry_failed), data_of(planned, contents)
        del contents  # of a large run, much
        say(f"{planned.suite.name}: {len(cells)} cells, {len(attempts)} to run")
        if attempts:
            job = Job.of(planned.suite, plugins, fail_over)
            if inline:
                _drive(attempts, job, store, InlineExecutor(), console(), data)
            else:
                with quiet(_log(store, planned.suite.name)) as terminal:
                    executor = _ray_executor(planned, workers, address)
                    _drive(attempts, job, store, executor, console(terminal), data)
        outcome = conclude(planned, store)
        say(*next_steps(outcome.values()))
    exit_by(outcome[cell.key] for cell in cells)


def _ray_executor(planned: Plan, workers: int | None, address: str | None) -> Executor:
    """Ray on this machine for so many cells at once, or the cluster at `address`."""
    from dtcbench.execution.cluster import RayExecutor

    request = planned.suite.request
    if address:
        return RayExecutor(request, address=address, slots=workers)
    return RayExecutor(request, cores=workers and workers * request.cpus)


def _drive(
    attempts: list[Attempt], job: Job, store: Store, executor: Executor, console: Console, data: Mapping[str, str]
) -> None:
    from dtcbench.execution.driver import drive
    from dtcbench.report.progress import RunProgress

    try:
        with RunProgress(console, len(attempts)) as progress:
            drive(attempts, job, store, executor, progress, data)
    finally:
        executor.close()


def _log(store: Store, suite: str) -> Path:
    """Where Ray's own messages go: beside the records, or where they would be if they lay on this machine."""
    from dtcbench.records.runs import RUNS

    folder = store.root if isinstance(store.root, Path) else RUNS / suite
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "ray.log"
