"""Commands on results: `status`, `watch`, `show`, `export`, `board`, `claims`, `report`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dtcbench.cli.common import (
    ClaimFiles,
    Plugins,
    RunFolder,
    console,
    display,
    exit_by,
    refuse_both,
    refuse_idle,
    say,
    show_rebuilt,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from torch import nn

    from dtcbench.record import CellRecord
    from dtcbench.records.run import Run
    from dtcbench.records.store import Store
    from dtcbench.report.blocks import Document
    from dtcbench.training.network_file import NetworkFile

LOOK_S = 0.3
"""Between two looks at a run."""


def status(run_folder: RunFolder) -> None:
    """How far a run has come, and each failure with its reason.

    Example: dtcbench status runs/quick
    """
    from dtcbench.records.lookup import plan_of, run_named  # not `Run`, whose tables bring pandas and SciPy
    from dtcbench.records.store import uncollected
    from dtcbench.report.plans import status_view

    store = run_named(run_folder)
    with uncollected():
        plan, contents = plan_of(store), store.outlines()
        display(status_view(plan, contents))
    records = [contents.record(cell.key) for cell in plan.cells]
    exit_by(record.status if record else None for record in records)


def watch(run_folder: RunFolder) -> None:
    """A run while it runs, from any host that sees its folder.

    On a terminal until the run ends or Ctrl-C; elsewhere once.

    Example: dtcbench watch runs/quick
    """
    from rich.live import Live

    from dtcbench.record import Status
    from dtcbench.records.lookup import run_named
    from dtcbench.records.snapshot import Follower
    from dtcbench.report.watching import watch_view

    follower, screen = Follower(run_named(run_folder)), console()
    snapshot, silent_s = follower.look()
    if screen.is_terminal:
        with suppress(KeyboardInterrupt), Live(console=screen, auto_refresh=False, transient=True) as live:
            while snapshot.ended_at is None:
                live.update(watch_view(snapshot, silent_s), refresh=True)
                time.sleep(LOOK_S)
                snapshot, silent_s = follower.look()
    say(watch_view(snapshot, silent_s))
    if snapshot.ended_at is not None and snapshot.statuses.get(Status.OK) != snapshot.cells:
        raise typer.Exit(1)


def show(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The first digits of a cell's key.")],
    run_folder: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Its run's folder [default: search runs/].")
    ] = None,
    power: Annotated[bool, typer.Option("--power", help="Its power over time too.")] = False,
) -> None:
    """All that is known of one cell, cycle by cycle.

    Example: dtcbench show 3fa9c1 --run runs/quick --power
    """
    from dtcbench.records import lookup
    from dtcbench.report.cell_view import cell_view

    among = [lookup.run_named(run_folder)] if run_folder else lookup.folders()
    store, attempts, notes = lookup.attempts_at(cell, among)
    display(cell_view(attempts))
    say(*notes)
    if power:
        say(_power(store, attempts))


def export(
    cell: Annotated[str, typer.Argument(metavar="KEY", help="The first digits of a cell's key.")],
    to: Annotated[str, typer.Option(metavar="FILE", help="The file to write: ….pt2, ….onnx or ….safetensors.")],
    run_folder: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Its run's folder [default: search runs/].")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write one cell's final network into a file of its own.

    A program of torch.export, ONNX, or the state dict: none needs dtcbench. The suite must say `keep_weights: last`.

    Example: dtcbench export 3fa9c1 --to model.pt2
    """
    from dtcbench.errors import UserError
    from dtcbench.files import whole
    from dtcbench.records import lookup
    from dtcbench.registry import load_plugins
    from dtcbench.text import bytes_text
    from dtcbench.training.export import ending_of, exported

    ending, path = ending_of(to), Path(to).expanduser()
    if path.exists():
        raise UserError(f"--to {to}: the file exists; name another one")
    load_plugins(plugin or ())
    among = [lookup.run_named(run_folder)] if run_folder else lookup.folders()
    store, attempts, notes = lookup.attempts_at(cell, among)
    file, network = _network(store, attempts)
    content = exported(network, file.origin.shape, ending)
    try:
        with whole(path) as opened:
            opened.write(content)
    except OSError as error:
        raise UserError(f"--to {to}: {error.strerror}; name another file") from error
    say(f"{to}: {file.origin.cell.label}, {bytes_text(len(content))}", *notes)


def board(
    run_folder: RunFolder,
    use: Annotated[
        bool, typer.Option("--use", help="What using the networks takes: time, energy, by batch size.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Print ours next to the paper's numbers, cycle by cycle.")
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Other published numbers than the paper's: print ours next to them."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The method of a reference's single `accuracy` column."),
    ] = None,
) -> None:
    """The leaderboard, what use takes, or ours beside the paper's.

    Example: dtcbench board runs/published --published
    """
    from dtcbench.analysis.reproduction import read_reference
    from dtcbench.published import accuracies
    from dtcbench.records.run import Run
    from dtcbench.report.comparison import comparison
    from dtcbench.report.leaderboard_view import leaderboard_view

    refuse_idle("--method", method, "--reference", reference)
    refuse_both("--use", use, "--published or --reference", published or reference)
    refuse_both("--published", published, "--reference", reference)
    curves = read_reference(reference, method) if reference else accuracies() if published else None
    run = Run(run_folder)
    if use:
        display(_use(run))
    else:
        display(leaderboard_view(run.leaderboard()) if curves is None else comparison(run.cycles, curves))


def claims(
    run_folders: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs' folders, or names under runs/.")],
    reference: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Other accuracies than the paper's, for the first claim.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Draw each claim there, as PDF and SVG.")
    ] = None,
    claim_files: ClaimFiles = None,
    full: Annotated[
        bool, typer.Option("--full", help="Every rule, comparison and cell, not only the verdicts.")
    ] = False,
) -> None:
    """The claims one by one: verdict, reason, effect.

    Example: dtcbench claims runs/lenet runs/published; dtcbench claims runs/mine --claims mine.yaml
    """
    from dtcbench.analysis.reproduction import read_reference
    from dtcbench.records.run import Run
    from dtcbench.report.build import claims_notes, write_claims
    from dtcbench.report.claims_view import brief_view, claims_view

    published = read_reference(reference, None) if reference else None
    run = Run.pool([Run(folder) for folder in run_folders])
    found = run.claims(published, claim_files)
    view = claims_view if full else brief_view
    display(view(found, claims_notes(run), run.rules(claim_files)))
    if figures:
        say("\nWritten:", *(f"  {path}" for path in write_claims(found, figures)))


def report(run_folder: RunFolder) -> None:
    """Rebuild all that is made of a run's records.

    Tables as Parquet; the leaderboard as Markdown, CSV, LaTeX and a page; its figures as PDF and SVG.

    Example: dtcbench report runs/quick
    """
    from dtcbench.records.run import Run
    from dtcbench.report import build

    run = Run(run_folder)
    with run.store.locked() as writer:
        show_rebuilt(run, build.write(run, writer))


def _network(store: Store, attempts: Sequence[CellRecord]) -> tuple[NetworkFile, nn.Module]:
    """The file and the network that the cell's decisive record keeps; UserError if it keeps none, or its file cannot
    be used."""
    from dtcbench.errors import UserError
    from dtcbench.record import decisive
    from dtcbench.training.network_file import NetworkFile

    record = decisive(attempts)
    content = store.network(record)
    if content is None:
        why = record.reasons["weights_sha256"]
        raise UserError(
            f"cell {record.key[:12]} in {store.root} has no network to take home: {why}; write `keep_weights: last` "
            "into its suite, and run it with --out in a new folder"
        )
    try:
        file = NetworkFile.read(content)
        file.refuse_another(record.cell)
        return file, file.network()
    except ValueError as error:
        made = record.provenance
        versions = f"dtcbench {made.code}, torch {made.packages.get('torch', 'unknown')}" if made else "what made it"
        raise UserError(
            f"{store.network_path(record)}: {error}; use what wrote it, {versions} (`dtcbench show {record.key[:12]}` "
            "lists all versions), or run its cell anew"
        ) from error


def _use(run: Run) -> Document:
    """What using its networks takes; UserError if that was not measured."""
    from dtcbench.errors import UserError
    from dtcbench.report.build import compared_use
    from dtcbench.report.use_view import use_view

    if (rows := compared_use(run)) is None:
        raise UserError(
            f"{run.folder}: no cell says what using its network takes; write `use: {{}}` into the suite, and run it "
            "with --out in a new folder"
        )
    return use_view(rows, run.suite)


def _power(store: Store, attempts: Sequence[CellRecord]) -> RenderableType:
    """The samples of the latest attempt that has any, drawn, or a sentence that nothing was sampled."""
    from dtcbench.report.power_chart import power_chart

    traces = [trace for record in attempts if (trace := store.trace(record)) is not None]
    return power_chart(traces[-1], console().width) if traces else "no samples of this cell's power were taken"
