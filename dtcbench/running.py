"""`dtcbench.run`: a suite run from Python, as the command line runs it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from dtcbench.errors import UserError
from dtcbench.execution.suite_run import Grow, executed, not_at_all, read_suite, rehearsed
from dtcbench.execution.until_decided import next_look
from dtcbench.execution.watcher import Watcher, Watchers
from dtcbench.plan.claim import load as load_claims
from dtcbench.plan.claim import plain_label
from dtcbench.plan.grid import Plan
from dtcbench.plan.shards import share
from dtcbench.records.fixed_rules import judged_claims
from dtcbench.records.lookup import one_cell, plan_in, run_of
from dtcbench.records.run import Run
from dtcbench.records.store import Store
from dtcbench.registry import load_plugins
from dtcbench.report import build


def run(
    suite: str | PathLike[str] | Mapping[str, Any],
    out: str | PathLike[str] | None = None,
    *,
    workers: int | None = None,
    inline: bool = False,
    smoke: bool = False,
    cell: str | None = None,
    shard: str | None = None,
    until_decided: bool = False,
    claims: Sequence[str | PathLike[str]] | PathLike[str] = (),
    retry_failed: bool = False,
    fail_over: float | None = None,
    address: str | None = None,
    plugins: Sequence[str | PathLike[str]] | PathLike[str] = (),
    progress: bool | Watcher = True,
    serve: int | None = None,
    track: str | None = None,
) -> Run:
    """Run the missing cells of a suite, and rebuild its tables. The same call resumes.

    It may be called in any thread. In the main thread the first Ctrl-C finishes the running cells, and a second one
    stops at once; either way the records stay.

    Parameters
    ----------
    suite : a suite's YAML file, a shipped suite's name such as `quick`, YAML text, or a mapping
    out : the run's folder, also `s3://…`; runs/NAME-OF-THE-SUITE if None
    workers : number of cells at once; by the number of cores, or by the cluster's nodes, if None
    inline : run the cells in this process, one after another, without Ray
    smoke : run a rehearsal instead: one seed, a few steps, on the CPU where there is no GPU; its run is called
        NAME-smoke
    cell : run only the cell whose key begins with these digits
    shard : run only the cells of this share, such as `1/4`; the cells of a model, data set and seed stay together
    until_decided : after the first seeds, run more of them where a comparison is undecided, up to the most; the suite
        has `seeds: {first: 5, step: 5, most: 40}`
    claims : with `until_decided`, YAML files of the claims to decide, or one file; if empty, those sealed with the
        run, or the package's own
    retry_failed : run failed cells again
    fail_over : start no more cells when a larger share of them has failed, from 0 to 1
    address : HOST:PORT of a Ray cluster, or `auto`; a Ray is started on this machine if None
    plugins : Python files, or one file, that register models, data sets, methods, solvers or protocols
    progress : print the progress; or a `Watcher`, which receives each event
    serve : show the run while it runs, at this port of 127.0.0.1 or a free one if 0; the progress says where
    track : hand each cell that ends to `mlflow` or `wandb`, by their own clients

    Raises
    ------
    UserError : the suite, an option, the run's folder or the cluster cannot be used; the message says what to do
    KeyboardInterrupt : at the second Ctrl-C

    Examples
    --------
    >>> suite = '''
    ... name: example
    ... question: Does magnitude keep more accuracy than random removal?
    ... cost: a second
    ... protocol: {name: standard, steps: 20, batch_size: 32, lr: 0.01, cycle_steps: 2, keep: 0.8}
    ... grid:
    ... - models: [{name: mlp, widths: [16]}]
    ...   datasets: [digits]
    ...   methods: [magnitude, random]
    ...   sparsities: [0.5]
    ...   seeds: 1
    ... '''
    >>> example = run(suite, inline=True, progress=False)
    >>> example.status()
    {'ok': 3}
    >>> sorted(example.cells["method"])
    ['dense', 'magnitude', 'random']
    """
    _refuse_misfits(workers, fail_over, progress)
    for option, given in (("--workers", workers), ("--address", address)):
        if given is not None and inline:
            raise UserError(f"{option} does nothing with --inline: remove one of them")
    if cell is not None and smoke:
        raise UserError("--cell names a cell of the suite, and a rehearsal has others: remove --cell or --smoke")
    if cell is not None and shard is not None:
        raise UserError("--shard does nothing with --cell: remove one of them")
    if until_decided and (smoke or cell is not None or shard is not None):
        other = "--smoke" if smoke else "--cell" if cell is not None else "--shard"
        raise UserError(f"--until-decided needs all cells of the suite itself: remove it or {other}")
    if claims and not until_decided:
        raise UserError("--claims does nothing without --until-decided: add --until-decided, or remove --claims")
    folder = None if out is None else fspath(out)
    files = (plugins,) if isinstance(plugins, str | PathLike) else plugins
    loaded = load_plugins(Path(file).expanduser() for file in files)
    watcher = progress if isinstance(progress, Watcher) else _printed() if progress else Watcher()
    text, plan = read_suite(suite, folder)
    if smoke:
        text, plan = rehearsed(text, plan, address, watcher.noted)
    cells = plan.cells if shard is None else share(plan.cells, shard)
    cells = cells if cell is None else (one_cell(cell, cells),)
    store = run_of(plan.suite.name, folder)
    watcher = _with_others(watcher, store, plan.suite.name, serve, track)
    grow = _until_decided(plan, store, watcher, claims) if until_decided else not_at_all
    with executed(
        plan,
        text,
        store,
        watcher,
        cells=cells,
        plugins=loaded,
        grow=grow,
        retry_failed=retry_failed,
        fail_over=fail_over,
        workers=workers,
        address=address,
        inline=inline,
    ) as writer:
        done = Run.of(plan_in(store, plan.suite, plan.names) if until_decided else plan, store)
        watcher.written(build.write(done, writer))
    return done


def _until_decided(
    plan: Plan, store: Store, watcher: Watcher, files: Sequence[str | PathLike[str]] | PathLike[str]
) -> Grow:
    """How the plan grows until the claims in these files are decided; UserError if it cannot.

    Without files they are the claims that were sealed with the run, or the package's own. Files that do not say what
    was sealed are refused: the numbers of seeds would follow a rule that nobody fixed.
    """
    name = plan.suite.name
    if plan.suite.growing is None:
        growing = "write `seeds: {first: 5, step: 5, most: 40}` in each of its blocks"
        raise UserError(f"--until-decided: the seeds of suite {name} are fixed; {growing}")
    named = (files,) if isinstance(files, str | PathLike) else files
    sealed = store.fixed_rules()
    judged = load_claims([fspath(file) for file in named]) if named else judged_claims([sealed])
    if sealed and (unlike := [one.claim.id for one in judged if sealed.claims.get(one.claim.id) != one.text]):
        raise UserError(
            f"--claims: {', '.join(unlike)} is not in the rules that were fixed for {store.root} as {sealed.seal}; "
            "leave --claims out to decide those, or seal the new ones for a run of their own with --out"
        )
    claims = [one.claim for one in judged if one.claim.cells.suites is None or name in one.claim.cells.suites]
    if not {plain_label(cell.method.label) for cell in plan.cells} & {arm for one in claims for arm in one.estimand.of}:
        raise UserError(f"--until-decided: no claim is about suite {name} and one of its methods; name one by --claims")
    return functools.partial(next_look, watcher=watcher, claims=claims)


def _refuse_misfits(workers: Any, fail_over: Any, progress: object) -> None:
    """UserError for an option that is not what the command line would take."""
    if workers is not None and not (_is_number(workers, int, np.integer) and workers >= 1):
        raise UserError(f"--workers {workers!r}: give the number of cells at once, a whole number from 1 up")
    if fail_over is not None and not (_is_number(fail_over, int, float, np.number) and 0 <= fail_over <= 1):
        raise UserError(f"--fail-over {fail_over!r}: give the share of failed cells that stops the run, from 0 to 1")
    if not isinstance(progress, bool | Watcher):
        raise UserError(f"progress is {progress!r}: give True, False, or a Watcher, which is an instance and no class")


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _with_others(watcher: Watcher, store: Store, suite: str, serve: int | None, track: str | None) -> Watcher:
    """The watcher, and those that the options ask for: they tell it what the user should know."""
    others: list[Watcher] = []
    if serve is not None:
        from dtcbench.report.serving import Server

        others.append(Server(store, serve, watcher.noted))
    if track is not None:
        from dtcbench.execution.tracking import Tracker

        others.append(Tracker(track, suite, watcher.noted))
    return Watchers(watcher, *others) if others else watcher


def _printed() -> Watcher:
    from rich.console import Console

    from dtcbench.report.progress import RunProgress

    return RunProgress(Console(highlight=False))
