"""Commands of publishing: `check`, `publish`, `site`, `merge`, `migrate`, `compare`, `reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dtcbench.cli.common import Plugins, RunFolder, display, say, tell


def check(run_folder: RunFolder) -> None:
    """Check a run or a bundle by every rule of publishing.

    Nothing in the folder is executed, and outside of it only data sets are read. Only errors bar publishing.

    Example: dtcbench check runs/quick
    """
    from dtcbench.publish.examine import check
    from dtcbench.publish.findings import bars, lines
    from dtcbench.records.lookup import run_named

    findings = check(run_named(run_folder))
    say(*lines(findings), "must not be published" if bars(findings) else "nothing bars publishing")
    if bars(findings):
        raise typer.Exit(1)


def publish(
    run_folder: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's folder or name [default: rebuild the results only].")
    ] = None,
    results: Annotated[str, typer.Option(metavar="FOLDER", help="Where results are published.")] = "results",
) -> None:
    """Check a run, copy it into the results, rebuild their tables.

    Without a run it rebuilds only. Nothing published is overwritten: a bundle grows, and a clash is refused.

    Example: dtcbench publish runs/quick
    """
    from dtcbench.publish import verbs
    from dtcbench.records.location import place
    from dtcbench.records.lookup import run_named

    tell(verbs.publish(run_named(run_folder) if run_folder else None, place(results)))


def site(
    run_folders: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs or bundles.")],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="The site's folder, made anew.")] = "site",
    reference: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Other accuracies than the paper's, for the first claim.")
    ] = None,
    opening: Annotated[
        Path | None, typer.Option(metavar="MD", help="Markdown that the first page begins with.")
    ] = None,
) -> None:
    """A site of runs: overview, claims, every suite, method and cell.

    It loads nothing from elsewhere: open index.html, or put the folder on any web server.

    Example: dtcbench site runs/lenet runs/published --out site
    """
    from dtcbench.analysis.reproduction import read_reference
    from dtcbench.publish import verbs
    from dtcbench.records.location import place
    from dtcbench.records.lookup import run_named

    published = read_reference(reference, None) if reference else None
    runs = [run_named(folder) for folder in run_folders]
    tell(verbs.site(runs, place(out), opening, published))


def merge(
    run_folders: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs or bundles of one suite.")],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="A new folder for their union.")],
) -> None:
    """Put runs of one suite together, without loss.

    Each hardware class has its own folder, so that a cell from two machines stays two rows. If two runs on one
    hardware class have different numbers for a cell, the conflict is shown and nothing is written.

    Example: dtcbench merge runs/quick elsewhere/quick --out runs/both
    """
    from dtcbench.publish import verbs
    from dtcbench.records.location import place
    from dtcbench.records.lookup import run_named

    tell(verbs.merge([run_named(folder) for folder in run_folders], place(out)))


def migrate(run_folder: RunFolder, plugin: Plugins = None) -> None:
    """Bring the records of an older dtcbench up to this one's schema.

    Each record keeps its numbers, and gets a new key and a new seal. The same command resumes.

    Example: dtcbench migrate runs/quick
    """
    from dtcbench.records.lookup import names_of, run_named
    from dtcbench.records.migration import migrate
    from dtcbench.records.store import CARD
    from dtcbench.registry import load_plugins

    load_plugins(plugin or ())
    run = run_named(run_folder)
    with run.locked() as writer:
        tell(migrate(writer, names_of(run)))
    rebuild = "dtcbench publish" if (run.root / CARD).is_file() else f"dtcbench report {run_folder}"
    say(f"Rebuild what is made of them: {rebuild}")


def compare(
    run_folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BEFORE AFTER]", help="Two runs; with --published, any runs to hold it against."),
    ] = None,
    published: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Others' published results: recompute them, and hold ours by.")
    ] = None,
) -> None:
    """What moved between two runs, or ours next to others' tables.

    Two runs are compared row by row, paired by seed.

    The CSV has the columns source, network, dataset and method, and as far as known baseline_accuracy_pct,
    accuracy_pct, difference_points, baseline_flops, flops, speedup, baseline_neurons, neurons, sparsity
    (docs/publishing.md). What the table states and what its own numbers give are compared.

    Example: dtcbench compare runs/quick elsewhere/quick

    Example: dtcbench compare runs/lenet --published docs/published/lenet_300_100.csv
    """
    from dtcbench.errors import UserError
    from dtcbench.publish import verbs
    from dtcbench.records.lookup import run_named

    runs = [run_named(folder) for folder in run_folders or ()]
    if published:
        display(verbs.held_against(published, runs))
        return
    if len(runs) != 2:
        raise UserError(f"compare takes two runs, not {len(runs)}; or name a table of others with --published CSV")
    display(verbs.compared(*runs))


def reproduce(
    run_folder: RunFolder,
    sample: Annotated[int, typer.Option(min=1, metavar="K", help="Number of cells.")] = 3,
    seed: Annotated[int, typer.Option(metavar="S", help="Chooses the cells: state it with your result.")] = 0,
    plugin: Plugins = None,
) -> None:
    """Run some cells again, and compare them with their records.

    Bit for bit if processor and versions are the same, else within the spread of the recorded seeds.

    Example: dtcbench reproduce results/quick/HARDWARE --sample 3
    """
    from dtcbench.publish import verbs
    from dtcbench.records.lookup import run_named
    from dtcbench.registry import load_plugins

    tell(verbs.reproduce(run_named(run_folder), sample, seed, load_plugins(plugin or ())))
