"""`dtcbench slurm`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from dtcbench.cli.common import Out, Plugins, SuiteName, say
from dtcbench.errors import UserError
from dtcbench.text import count_of


def slurm(
    suite: SuiteName,
    run_options: Annotated[
        list[str] | None, typer.Argument(metavar="-- OPTIONS", help="After --: further options of `dtcbench run`.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, metavar="N", help="Nodes of the job.")] = 1,
    gpus_per_node: Annotated[int, typer.Option(min=0, metavar="N", help="GPUs on each node.")] = 0,
    cpus_per_node: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Cores on each node [default: those of the cells that its GPUs hold]."),
    ] = None,
    time: Annotated[
        str, typer.Option(metavar="LIMIT", help="The job's limit, as Slurm writes it: 12:00:00, 90 (minutes) or 2-12.")
    ] = "12:00:00",
    notice: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS",
            help="So long before the limit the job takes no new cells; more than a cell takes [default: 600, or half "
            "of a shorter limit].",
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="A job array of N runs with a share of the cells and a folder each."),
    ] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A further option of sbatch, such as partition=gpu; again for more."),
    ] = None,
    script: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The script to write [default: NAME-OF-THE-SUITE.sbatch].")
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Submit the script too.")] = False,
    out: Out = None,
    plugin: Plugins = None,
) -> None:
    """Write a Slurm batch script that runs a suite, and resumes it.

    Example: dtcbench slurm quick --nodes 2 --cpus-per-node 16 --time 1:00:00 --sbatch partition=short --submit
    """
    from dtcbench.execution import slurm as batch
    from dtcbench.execution.suite_run import read_suite
    from dtcbench.plan.shards import share
    from dtcbench.records.lookup import run_of
    from dtcbench.registry import load_plugins

    load_plugins(plugin or ())
    plan = read_suite(suite, out)[1]
    if shards is not None:
        share(plan.cells, f"{shards}/{shards}")  # refuses more than there are
    name, request = plan.suite.name, plan.suite.request
    asked = batch.Allocation.of(
        request,
        nodes=nodes,
        gpus=gpus_per_node,
        cpus=cpus_per_node,
        time=time,
        notice_s=notice,
        shards=shards,
        options=sbatch or (),
    )
    at_once = asked.cells_at_once(request)
    plugins = [word for file in plugin or () for word in ("--plugin", str(file))]
    text = batch.script(
        name,
        asked,
        at_once,
        sys.executable,
        [suite, *plugins, *(run_options or ())],
        str(run_of(name, out).root),
        shlex.join(["dtcbench", *sys.argv[1:]]),
    )
    file = script or Path(f"{name}.sbatch")
    _write(file, text)
    jobs = f" in each of {shards} jobs" if shards else ""
    say(f"{file} written: {count_of(len(plan.cells), 'cell')}, {at_once} at once on {count_of(nodes, 'node')}{jobs}")
    say(batch.submit(str(file)).strip() if submit else f"read it, then `sbatch {shlex.quote(str(file))}`")


def _write(file: Path, text: str) -> None:
    """Write the script. UserError if the file holds another one: somebody may have edited it."""
    try:
        if file.exists() and file.read_text(encoding="utf-8") != text:
            raise UserError(
                f"{file} is another script, or was edited: submit it by `sbatch {file}`, remove it, or choose another "
                "file with --script"
            )
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; choose another file with --script") from error
