"""The command line: verbs in the order of work. Heavy imports happen inside them.

Exit codes: 0 all ok, 1 some cells failed or are missing, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from dtcbench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, RenderableType

    from dtcbench.execution.driver import Job
    from dtcbench.execution.executor import Executor
    from dtcbench.execution.scheduler import Attempt
    from dtcbench.plan.grid import Plan
    from dtcbench.records.record import CellRecord
    from dtcbench.records.store import Store
    from dtcbench.registry import Plugin

app = typer.Typer(
    help="Test bench for Dual Tomographic Compression and every method that compresses while training.\n\n"
    "First: dtcbench run suites/quick.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SuiteFile = Annotated[Path, typer.Argument(metavar="SUITE", help="A suite's YAML file, such as suites/quick.yaml.")]
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


@app.command()
def doctor(
    cluster: Annotated[bool, typer.Option("--cluster", help="Ask every node of the cluster at --address.")] = False,
    address: Address = "auto",
) -> None:
    """What this machine, or each node of a cluster, offers.

    Example: dtcbench doctor; dtcbench doctor --cluster --address head:6379
    """
    from dtcbench.report.machine import cluster_table, machine_table

    if not cluster:
        _say(machine_table())
        return
    from dtcbench.execution.cluster import survey
    from dtcbench.execution.nodes import disagreements

    nodes = survey(address or "auto")
    names = sorted({name for node in nodes for name in node.versions})
    _say(cluster_table(nodes), *(f"differs: {line}" for line in disagreements(nodes, names)))


@app.command("list")
def list_(
    axis: Annotated[str, typer.Argument(metavar="AXIS", help="models, datasets, methods or solvers.")] = "",
    groups: Annotated[str, typer.Option(metavar="MODEL", help="The model's prunable groups instead.")] = "",
    shape: Annotated[str, typer.Option("--input", metavar="3x32x32", help="One sample's shape, for --groups.")] = "",
    plugin: Plugins = None,
) -> None:
    """The names a suite may use, or a model's prunable groups.

    Example: dtcbench list solvers; dtcbench list --groups resnet-20
    """
    from dtcbench import registry
    from dtcbench.report.axes import axis_table

    _load_plugins(plugin)
    if groups:
        from dtcbench.report.groups import groups_table, parse_shape

        _say(groups_table(groups, parse_shape(shape) if shape else None))
        return
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
    chosen = {name: registry.datasets.bind(name, {}) for name in names or registry.datasets.names()}
    for name, load in chosen.items():
        with _console().status(f"{name} …"):
            splits = load()
        shape = "×".join(map(str, splits.input_shape))
        _say(f"{name}: {len(splits.train_x)} training and {len(splits.test_x)} test samples of {shape}, checked")


@app.command()
def selftest(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="[default: all, or the plug-ins']")] = None,
    plugin: Plugins = None,
) -> None:
    """Try what every axis value must do: all, or a plug-in's.

    Example: dtcbench selftest --plugin my_solver.py
    """
    from dtcbench.report.trials import trial_line
    from dtcbench.selftest.trial import named, registered, trials

    plugins = _load_plugins(plugin)
    chosen = named(names) if names else registered(plugins)
    if not chosen:
        raise UserError("the plug-in registers nothing; decorate a class or function with `@solvers.register(NAME)`")
    contradicted = 0
    for trial in trials(chosen):
        _say(trial_line(trial))
        contradicted += bool(trial.contradiction)
    if contradicted:
        _say(f"{contradicted} claims do not hold")
        raise typer.Exit(1)


@app.command()
def plan(suite: SuiteFile, out: Out = None, plugin: Plugins = None) -> None:
    """List a suite's cells, done, missing or failed; run none.

    Example: dtcbench plan suites/quick.yaml
    """
    from dtcbench.records.runs import run_of
    from dtcbench.report.plans import plan_view

    _, planned = _read(suite, plugin)
    _say(plan_view(planned, run_of(planned.suite.name, out).outlines()))


@app.command()
def run(
    suite: SuiteFile,
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

    Example: dtcbench run suites/quick.yaml
    """
    from dtcbench.execution.driver import Job, to_run
    from dtcbench.execution.inline import InlineExecutor
    from dtcbench.execution.quiet import quiet
    from dtcbench.records.runs import one_cell, run_of
    from dtcbench.report.plans import next_steps

    text, planned = _read(suite, plugin, smoke)
    plugins = _load_plugins(plugin)
    cells = planned.cells if cell is None else (one_cell(cell, planned.cells),)
    store = run_of(planned.suite.name, out)
    with store.locked():
        contents = store.outlines()
        store.save_suite(planned.suite.name, text, contents)
        for damaged in contents.damaged:
            _say(f"damaged record: {damaged}")
            store.set_aside(damaged)
        attempts = to_run(cells, contents, retry_failed)
        del contents  # of a large run, much
        _say(f"{planned.suite.name}: {len(cells)} cells, {len(attempts)} to run")
        if attempts:
            job = Job.of(planned.suite, plugins, fail_over)
            if inline:
                _drive(attempts, job, store, InlineExecutor(), _console())
            else:
                with quiet(_log(store, planned.suite.name)) as terminal:
                    executor = _ray_executor(planned, workers, address)
                    _drive(attempts, job, store, executor, _console(terminal))
        outcome = _conclude(planned, store)
        _say(*next_steps(outcome.values()))
    _exit_by(outcome[cell.key] for cell in cells)


@app.command()
def status(run_folder: RunFolder, plugin: Plugins = None) -> None:
    """How far a run has come, and each failure with its reason.

    Example: dtcbench status runs/quick
    """
    from dtcbench.report.plans import status_view

    planned, store = _run(run_folder, plugin)
    contents = store.outlines()
    _say(status_view(planned, contents))
    records = [contents.record(cell.key) for cell in planned.cells]
    _exit_by(record.status if record else None for record in records)


@app.command()
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
    from dtcbench.records import runs
    from dtcbench.report.cells import cell_view

    among = [runs.run_named(run_folder)] if run_folder else runs.all_runs()
    store, attempts = runs.attempts_at(cell, among)
    _say(cell_view(attempts))
    if power:
        _say(_power(store, attempts))


@app.command()
def board(
    run_folder: RunFolder,
    reference: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Published figures: print ours beside them, cycle by cycle.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose figures a reference's single `accuracy` column holds.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """The leaderboard, or ours beside published figures (--reference).

    Example: dtcbench board runs/published --reference published_mnist.csv
    """
    from dtcbench.report import terminal
    from dtcbench.report.build import derive
    from dtcbench.report.comparison import comparison, read_reference

    published = read_reference(reference, method) if reference else None
    derived = derive(*_run(run_folder, plugin))
    _say(terminal.leaderboard(derived.board) if published is None else comparison(derived.tables.cycles, published))


@app.command()
def claims(
    run_folders: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs' folders, or names under runs/.")],
    reference: Annotated[
        Path | None, typer.Option(metavar="CSV", help="The published accuracies, for the first claim.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """The paper's claims one by one: verdict, effect, rule, cells.

    Example: dtcbench claims runs/lenet runs/published --reference published_mnist.csv
    """
    from dtcbench.analysis.claims import findings
    from dtcbench.report.build import Pooled, pooling_notes
    from dtcbench.report.claims import claims_view
    from dtcbench.report.comparison import read_reference

    published = read_reference(reference, None) if reference else None
    pooled = Pooled([_run(folder, plugin) for folder in run_folders])
    tables = pooled.tables()
    _say(claims_view(findings(tables.cells, tables.cycles, published), pooling_notes(pooled)))


@app.command()
def report(run_folder: RunFolder, plugin: Plugins = None) -> None:
    """Rebuild a run's tables, Markdown, CSV and page from its records.

    Example: dtcbench report runs/quick
    """
    planned, store = _run(run_folder, plugin)
    with store.locked():
        _conclude(planned, store)


@app.command()
def check(run_folder: RunFolder, plugin: Plugins = None) -> None:
    """Hold a run or a bundle to every rule of publishing.

    Nothing of the folder is run, nothing outside of it read. Errors bar publishing, warnings do not.

    Example: dtcbench check runs/quick
    """
    from dtcbench.publish.check import check
    from dtcbench.publish.findings import bars, lines
    from dtcbench.records.runs import run_named

    _load_plugins(plugin)
    findings = check(run_named(run_folder))
    _say(*lines(findings), "must not be published" if bars(findings) else "nothing bars publishing")
    if bars(findings):
        raise typer.Exit(1)


@app.command()
def publish(
    run_folder: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's folder or name [default: rebuild the results only].")
    ] = None,
    results: Annotated[str, typer.Option(metavar="FOLDER", help="Where results are published.")] = "results",
    plugin: Plugins = None,
) -> None:
    """Check a run, copy it among the results, rebuild their tables.

    Nothing that was published is ever overwritten: a bundle grows, and what clashes is refused.

    Example: dtcbench publish runs/quick
    """
    from dtcbench.publish import verbs
    from dtcbench.records.location import place
    from dtcbench.records.runs import run_named

    _load_plugins(plugin)
    _tell(verbs.publish(run_named(run_folder) if run_folder else None, place(results)))


@app.command()
def merge(
    run_folders: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs or bundles of one suite.")],
    out: Annotated[str, typer.Option(metavar="FOLDER", help="A new folder for their union.")],
    plugin: Plugins = None,
) -> None:
    """Put runs of one suite together, without loss.

    Each hardware class has a folder of its own, so that a cell from two machines stays two rows. A cell of which
    two runs on one hardware class hold other numbers is shown, and nothing is written.

    Example: dtcbench merge runs/quick elsewhere/quick --out runs/both
    """
    from dtcbench.publish import verbs
    from dtcbench.records.location import place
    from dtcbench.records.runs import run_named

    _load_plugins(plugin)
    _tell(verbs.merge([run_named(folder) for folder in run_folders], place(out)))


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A run's folder or name.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another's.")],
    plugin: Plugins = None,
) -> None:
    """What moved from one run to another, row by row, paired by seed.

    Example: dtcbench compare runs/quick elsewhere/quick
    """
    from dtcbench.publish import verbs
    from dtcbench.records.runs import run_named

    _load_plugins(plugin)
    _say(verbs.compared(run_named(before), run_named(after)))


@app.command()
def reproduce(
    run_folder: RunFolder,
    sample: Annotated[int, typer.Option(min=1, metavar="K", help="How many cells.")] = 3,
    seed: Annotated[int, typer.Option(metavar="S", help="Chooses which: state it with what you found.")] = 0,
    plugin: Plugins = None,
) -> None:
    """Run some cells again, and hold them against their records.

    Bit for bit where processor and versions are the same, else within the spread of the recorded seeds.

    Example: dtcbench reproduce results/quick/HARDWARE --sample 3
    """
    from dtcbench.publish import verbs
    from dtcbench.records.runs import run_named

    _tell(verbs.reproduce(run_named(run_folder), sample, seed, _load_plugins(plugin)))


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2, never a traceback."""
    try:
        app(prog_name="dtcbench")
    except UserError as error:
        typer.echo(f"dtcbench: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == 130:  # what typer makes of Ctrl-C, without a word
            typer.echo("dtcbench: stopped; the same command resumes", err=True)
        raise


def _console(file: TextIO | None = None) -> Console:
    """On standard output, or on `file`."""
    from rich.console import Console

    # A pipe has no width: wide enough there that tables do not fold.
    return Console(file=file, highlight=False, width=None if (file or sys.stdout).isatty() else 160)


def _say(*parts: RenderableType) -> None:
    """Print tables, and text as it is: brackets are no markup, long lines stay whole."""
    for part in parts:
        _console().print(part, markup=False, soft_wrap=isinstance(part, str))


def _tell(lines: Iterable[str]) -> None:
    """Print lines as they come; exit code 1 where they end in a refusal."""
    from dtcbench.analysis.pairing import one_line
    from dtcbench.publish.verbs import RefusedError

    try:
        for line in lines:
            _say(one_line(line))
    except RefusedError:
        raise typer.Exit(1) from None


def _load_plugins(paths: list[Path] | None) -> tuple[Plugin, ...]:
    from dtcbench.registry import Plugin

    plugins = tuple(map(Plugin.read, paths or []))
    for plugin in plugins:
        plugin.load()
    return plugins


def _read(suite: Path, plugin: list[Path] | None, smoke: bool = False) -> tuple[str, Plan]:
    """A suite's text, or its rehearsal's, and the plan it makes."""
    from dtcbench.plan.rehearsal import rehearsal
    from dtcbench.plan.suite import read

    text = read(suite)
    planned = _planned(text, str(suite), plugin)
    if not smoke:
        return text, planned
    text = rehearsal(text, str(suite))
    return text, _planned(text, str(suite), plugin)


def _planned(text: str, name: str, plugin: list[Path] | None) -> Plan:
    """The plan that a suite's text makes; errors bear `name`."""
    from dtcbench.plan.grid import expand
    from dtcbench.plan.suite import parse

    _load_plugins(plugin)
    return expand(parse(text, name))


def _run(folder: str, plugin: list[Path] | None) -> tuple[Plan, Store]:
    from dtcbench.records.runs import run_named

    store = run_named(folder)
    return _planned(store.suite.read_text(encoding="utf-8"), str(store.suite), plugin), store


def _power(store: Store, attempts: Sequence[CellRecord]) -> RenderableType:
    """The samples behind the latest attempt that left any, drawn; or that there are none."""
    from dtcbench.report.power import power_chart

    traces = [trace for record in attempts if (trace := store.trace(record)) is not None]
    return power_chart(traces[-1], _console().width) if traces else "no samples of this cell's power were taken"


def _ray_executor(planned: Plan, workers: int | None, address: str | None) -> Executor:
    """Ray on this machine for so many cells at once, or the cluster at `address`."""
    from dtcbench.execution.cluster import RayExecutor

    request = planned.suite.request
    if address:
        return RayExecutor(request, address=address, slots=workers)
    return RayExecutor(request, cores=workers and workers * request.cpus)


def _drive(attempts: list[Attempt], job: Job, store: Store, executor: Executor, console: Console) -> None:
    from dtcbench.execution.driver import drive
    from dtcbench.report.progress import RunProgress

    try:
        with RunProgress(console, len(attempts)) as progress:
            drive(attempts, job, store, executor, progress)
    finally:
        executor.close()


def _log(store: Store, suite: str) -> Path:
    """Where Ray's own messages go: beside the records, or where they would be if they lay on this machine."""
    from dtcbench.records.runs import RUNS

    folder = store.root if isinstance(store.root, Path) else RUNS / suite
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "ray.log"


def _conclude(planned: Plan, store: Store) -> dict[str, str]:
    """Rebuild everything that is derived from the records; the leaderboard and the paths on the terminal.

    The cells' statuses by key, those without a record `missing`.
    """
    from dtcbench.report import build, terminal

    derived = build.derive(planned, store)
    written = build.write(derived, store)
    _say(terminal.leaderboard(derived.board), "\nWritten:", *(f"  {path}" for path in written))
    return dict(zip(derived.tables.cells["key"], derived.tables.cells["status"], strict=True))


def _exit_by(statuses: Iterable[str | None]) -> None:
    if any(status != "ok" for status in statuses):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
