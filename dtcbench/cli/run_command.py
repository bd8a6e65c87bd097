"""`dtcbench run`."""

from __future__ import annotations

from typing import Annotated

import typer

from dtcbench.cli.common import (
    Address,
    ClaimFiles,
    Out,
    Plugins,
    SuiteName,
    console,
    exit_by,
    refuse_idle,
    say,
    show_rebuilt,
    show_verdicts,
)


def run(
    suite: SuiteName,
    out: Out = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Cells at once [default: by the number of cores].")
    ] = None,
    inline: Annotated[bool, typer.Option("--inline", help="In this process, without Ray; for debugging.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="A rehearsal, NAME-smoke: one seed, a few steps.")] = False,
    cell: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only the cell whose key begins with these digits.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only this share of the cells; `merge` unites the folders.")
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Run more seeds where a comparison is undecided.")
    ] = False,
    claims: ClaimFiles = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    fail_over: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Start no more cells when more than this share failed."),
    ] = None,
    address: Address = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show the run on a page at 127.0.0.1, for who has its token.")
    ] = False,
    serve_port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="The page's port [default: a free one].")
    ] = None,
    track: Annotated[
        str | None, typer.Option(metavar="CLIENT", help="Hand each cell that ends to mlflow or wandb.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Run the missing cells of a suite, then rebuild its tables. The same command resumes.

    Example: dtcbench run quick
    """
    from dtcbench import running
    from dtcbench.plan.shards import share
    from dtcbench.report.plans import next_steps
    from dtcbench.report.progress import RunProgress

    refuse_idle("--serve-port", serve_port, "--serve", serve)
    progress = RunProgress(console(), is_quiet=not inline)
    done = running.run(
        suite,
        out,
        workers=workers,
        inline=inline,
        smoke=smoke,
        cell=cell,
        shard=shard,
        until_decided=until_decided,
        claims=claims or (),
        retry_failed=retry_failed,
        fail_over=fail_over,
        address=address,
        plugins=plugin or (),
        progress=progress,
        track=track,
        serve=(serve_port or 0) if serve else None,
    )
    show_rebuilt(done, progress.files)
    if until_decided:
        show_verdicts(done, claims)
    cells = done.cells
    if shard is not None:
        cells = cells[cells["key"].isin({one.key for one in share(done.plan.cells, shard)})]
    say(*next_steps(cells["status"]))
    exit_by(cells.loc[cells["key"].str.startswith((cell or "").lower()), "status"])
