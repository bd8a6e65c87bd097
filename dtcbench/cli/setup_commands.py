"""Commands before a run: doctor, list, suites, fetch, selftest, plan."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dtcbench.cli.common import (
    ClaimFiles,
    Out,
    Plugins,
    SuiteName,
    console,
    display,
    refuse_both,
    refuse_idle,
    say,
)
from dtcbench.errors import UserError, near
from dtcbench.text import count_of

if TYPE_CHECKING:
    from dtcbench.plan.grid import Plan
    from dtcbench.records.store import Store
    from dtcbench.report.blocks import Document


def doctor(
    cluster: Annotated[bool, typer.Option("--cluster", help="Show every node of a Ray cluster.")] = False,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The cluster, for --cluster [default: auto].")
    ] = None,
    require_energy: Annotated[
        bool, typer.Option("--require-energy", help="Fail where a GPU cell would get no joules, and say why.")
    ] = False,
) -> None:
    """Show what this machine, or each node of a cluster, offers.

    Example: dtcbench doctor; dtcbench doctor --cluster --address head:6379
    """
    from dtcbench.plan.metering import Metering
    from dtcbench.plan.request import Request
    from dtcbench.report.machine import cluster_view, machine_view

    refuse_idle("--address", address, "--cluster", cluster)
    if not cluster:
        from dtcbench.energy.meter import obstacle

        display(machine_view())
        why = obstacle(Request(1, 1), Metering(), os.environ) if require_energy else None
        _exit_without_joules([f"{platform.node()}: {why}"] if why else [])
        return
    from dtcbench.execution.nodes import disagreements, survey, without_joules

    nodes = survey(address or "auto")
    names = sorted({name for node in nodes for name in node.versions})
    display(cluster_view(nodes))
    say(*(f"differs: {line}" for line in disagreements(nodes, names)))
    if require_energy:
        _exit_without_joules(
            without_joules(nodes, Request(1, 1), is_whole=True)
            if any(node.resources.get("GPU") for node in nodes)
            else ["the cluster: none of its nodes has a GPU"]
        )


def _exit_without_joules(nodes: Sequence[str]) -> None:
    """Exit code 1 if there are nodes without joules, each of which is printed with its cause."""
    say(*(f"no joules on {node}" for node in nodes))
    if nodes:
        raise typer.Exit(1)


def list_(
    axis: Annotated[
        str, typer.Argument(metavar="AXIS", help="models, datasets, methods, solvers, protocols or claims.")
    ] = "",
    groups: Annotated[
        str, typer.Option(metavar="MODEL", help="Show the groups of this model, as a suite names it.")
    ] = "",
    shape: Annotated[str, typer.Option("--input", metavar="3x32x32", help="One sample's shape, for --groups.")] = "",
    plugin: Plugins = None,
) -> None:
    """List names for suites, claims, or a model's prunable groups.

    Example: dtcbench list solvers; dtcbench list claims; dtcbench list --groups resnet-20;
    dtcbench list --groups "{name: mlp, widths: [64]}"
    """
    from dtcbench import registry
    from dtcbench.report.axes import axis_view, claims_view, protocols_view

    refuse_idle("--input", shape, "--groups", groups)
    refuse_both(f"AXIS {axis}", axis, "--groups", groups)
    registry.load_plugins(plugin or ())
    if groups:
        from dtcbench.report.groups import groups_view, model_of, parse_shape

        display(groups_view(model_of(groups), parse_shape(shape) if shape else None))
        return
    if axis == "claims":
        display(claims_view())
        return
    views = {f"{one.noun}s": partial(axis_view, one) for one in registry.AXES} | {"protocols": protocols_view}
    if axis and axis not in views:
        raise UserError(f"unknown axis {axis!r}; {near(axis, [*views, 'claims'])}")
    display(block for name, view in views.items() if axis in ("", name) for block in view())


def suites(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Write this suite to a file, to edit it.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file to write [default: NAME.yaml].")] = None,
) -> None:
    """List the shipped suites, or write one to a file to edit it.

    Example: dtcbench suites; dtcbench suites quick --out mine.yaml
    """
    from dtcbench.plan import shipped
    from dtcbench.report.axes import suites_view

    if name is None and out is not None:
        raise UserError(f"--out {out}: which suite? Write `dtcbench suites NAME --out {out}`")
    if name is None:
        display(suites_view())
        return
    text, file = shipped.text(name), out or Path(f"{name}.yaml")
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; choose another file with --out") from error
    say(f"{file} written; change it, its name too, then `dtcbench run {file}`")


def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="DATASET", help="[default: all]")] = None,
    plugin: Plugins = None,
) -> None:
    """Download, check and decode datasets ahead of a run.

    Example: dtcbench fetch mnist
    """
    from dtcbench import registry
    from dtcbench.datasets.description import needs_options
    from dtcbench.text import error_line

    registry.load_plugins(plugin or ())
    names = names or [name for name in registry.datasets.names() if not needs_options(name)]
    chosen = {name: registry.datasets.bind(name, {}) for name in names}
    for name, load in chosen.items():
        with console().status(f"{name} …"):
            try:
                splits = load()
            except UserError:
                raise
            except Exception as error:  # a plug-in may raise anything
                raise UserError(f"data set {name}: {error_line(error)}") from error
        shape = "×".join(map(str, splits.input_shape))
        say(f"{name}: {len(splits.train_x)} training and {len(splits.test_x)} test samples of {shape}, checked")


def selftest(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="[default: all, or the plug-ins']")] = None,
    architectures: Annotated[
        bool,
        typer.Option("--architectures", help="Cut public networks instead: those named, or of a list, NAME.yaml."),
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Test all axis values, or a plug-in's; or cut public networks.

    Example: dtcbench selftest --plugin my_solver.py; dtcbench selftest --architectures resnet18 swin_t
    """
    if architectures:
        _architectures(names or [], plugin)
        return
    from dtcbench.registry import load_plugins
    from dtcbench.report.axes import trial_view
    from dtcbench.selftest.trial import named, registered, trials

    plugins = load_plugins(plugin or ())
    chosen = named(names) if names else registered(plugins)
    if not chosen:
        raise UserError("the plug-in registers nothing; decorate a class or function with `@register_solver(NAME)`")
    contradicted = 0
    for value, check, contradiction in trials(chosen):
        display(trial_view(value, check, contradiction))
        contradicted += bool(contradiction)
    if contradicted:
        say(f"{contradicted} {'check' if contradicted == 1 else 'checks'} failed")
        raise typer.Exit(1)


def _architectures(names: list[str], plugin: Sequence[Path] | None) -> None:
    """Print a row of docs/networks.md for each network as it was tried, and then what they come to."""
    from dtcbench.registry import load_plugins
    from dtcbench.report.architectures import HEADER, row, summary
    from dtcbench.selftest.architectures import LIST, networks, trials

    plugins, files = load_plugins(plugin or ()), [name for name in names if name.endswith((".yaml", ".yml"))]
    chosen = networks(Path(files[0]) if files else LIST, [name for name in names if name not in files])
    seen = []
    sys.stdout.write(f"{HEADER}\n")
    for trial in trials(chosen, plugins):
        seen.append(trial)
        sys.stdout.write(f"{row(trial)}\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{summary(seen)}\n")
    if not all(trial.holds or trial.is_skipped for trial in seen):
        raise typer.Exit(1)


def plan(
    suite: SuiteName,
    out: Out = None,
    every: Annotated[
        bool, typer.Option("--all", help="Print every cell on a tab-separated line, and nothing else.")
    ] = False,
    seal: Annotated[
        bool, typer.Option("--seal", help="Fix the rules of verdicts in the run's folder, before its first cell.")
    ] = False,
    detect: Annotated[
        float | None,
        typer.Option(metavar="POINTS", help="The seeds that find a difference of so many points, by finished records."),
    ] = None,
    records: Annotated[
        list[str] | None, typer.Option("--from", metavar="RUN", help="A further run with records, for --detect.")
    ] = None,
    claim_files: ClaimFiles = None,
    plugin: Plugins = None,
) -> None:
    """List a suite's cells with their states, and run none.

    If there are many cells it lists the first and counts all by method.

    Example: dtcbench plan quick; dtcbench plan quick --all > cells.tsv; dtcbench plan quick --detect 1.0
    """
    from dtcbench.execution.suite_run import read_suite, refuse_to_mix
    from dtcbench.records.lookup import run_of
    from dtcbench.registry import load_plugins
    from dtcbench.report.plans import (
        checkpoints_note,
        cost_note,
        plan_lines,
        plan_view,
        score_note,
        use_note,
        weights_note,
    )

    refuse_idle("--claims", claim_files, "--seal or --detect", seal or detect is not None)
    refuse_idle("--from", records, "--detect", detect is not None)
    refuse_both("--all", every, "--detect", detect is not None)
    plugins = load_plugins(plugin or ())
    text, planned = read_suite(suite, out)
    store = run_of(planned.suite.name, out)
    if seal:
        say(_sealed(store, text, claim_files or ()), *_idle_claims(planned, store))
        return
    contents = store.outlines()
    refuse_to_mix(planned, store, contents, plugins)
    if detect is not None:
        display(_detection(planned, store, detect, records or (), claim_files or ()))
    elif every:
        sys.stdout.writelines(f"{line}\n" for line in plan_lines(planned, contents))
    else:
        notes = (cost_note, score_note, weights_note, checkpoints_note, use_note)
        display(plan_view(planned, contents))
        say(*(line for note in notes for line in note(planned)))


def _sealed(store: Store, suite: str, claims: Sequence[Path]) -> str:
    """The line that says how the rules are sealed, which they are then."""
    from dtcbench.plan.claim import load as load_claims
    from dtcbench.records.fixed_rules import fixed_rules

    rules = fixed_rules(load_claims(claims), suite, datetime.now(UTC))
    with store.locked() as writer:
        sealed = writer.fix_rules(rules)
    starts = [one.started_at for attempts in store.outlines().attempts.values() for one in attempts]
    return f"{store.rules}: {count_of(len(rules.claims), 'claim')}, {sealed.state(rules, starts)}"


def _idle_claims(plan: Plan, store: Store) -> Iterator[str]:
    """A line for each sealed claim that finds nothing to compare in the plan, since a name in it may be mistyped, or
    that reads a use which a suite for GPUs does not measure."""
    from dtcbench.plan.claim import IN_USE
    from dtcbench.records.fixed_rules import judged_claims
    from dtcbench.records.run import Run

    suite = plan.suite
    idle = {one.id: one.reason for one in Run.of(plan, store).claims() if not one.comparisons}
    yield from (f"note: suite {suite.name} says nothing of claim {name}: {reason}" for name, reason in idle.items())
    sizes = suite.use.batch_sizes if suite.use else []
    for claim in (one.claim for one in judged_claims([store.fixed_rules()])):
        way, reads_use = claim.estimand.use, claim.estimand.quantity == IN_USE
        if reads_use and claim.id not in idle and suite.resources.gpus and way.batch_size not in sizes:
            remedy = f"add {way.batch_size} to the batch_sizes of its `use`"
            yield f"note: claim {claim.id} reads joules of use at {way}, which suite {suite.name} lacks; {remedy}"


def _detection(plan: Plan, store: Store, points: float, runs: Sequence[str], claims: Sequence[Path]) -> Document:
    """What the suite's seeds can show, by the records of its run and of further ones."""
    from dtcbench.analysis.detection import detections
    from dtcbench.analysis.pairing import tidy
    from dtcbench.plan.claim import load as load_claims
    from dtcbench.records.fixed_rules import judged_claims
    from dtcbench.records.run import Run
    from dtcbench.report.detection_view import detection_view

    if not 0 < points < 100:
        raise UserError(f"--detect {points:g}: give a difference in percentage points, between 0 and 100")
    name, growing = plan.suite.name, plan.suite.growing
    judged = load_claims(claims) if claims else judged_claims([store.fixed_rules()])
    loaded = [one.claim for one in judged]
    concerned = [one for one in loaded if one.cells.suites is None or name in one.cells.suites]
    cells = tidy(Run.pool([Run.of(plan, store), *map(Run, runs)]).cells)
    keys = {cell.key for cell in plan.cells}
    found = detections(concerned, cells, keys, points / 100, growing.most if growing else None)
    return detection_view(found, points, name)
