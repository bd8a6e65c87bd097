"""One run of a suite, from its text to sealed records: read it, check what it would resume, execute what is missing."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dtcbench import registry
from dtcbench.energy.meter import obstacle
from dtcbench.errors import UserError
from dtcbench.execution.cluster import in_job
from dtcbench.execution.driver import drawn_places, drive, to_run
from dtcbench.execution.executor import Executor, InlineExecutor
from dtcbench.execution.interrupts import Interrupts
from dtcbench.execution.live import Live, written
from dtcbench.execution.own_files import NamesWithFiles
from dtcbench.execution.requirements import calibrated, has_gpu, refuse_lacking
from dtcbench.execution.task import Job, Task
from dtcbench.execution.watcher import Watcher, Watchers
from dtcbench.plan.cell import Cell
from dtcbench.plan.document import DEEPEST, Document, Mistake, SuiteError
from dtcbench.plan.grid import Plan, expand
from dtcbench.plan.joule_budget import givers
from dtcbench.plan.names import REGISTERED, Declared, choices_of, declared
from dtcbench.plan.rehearsal import ON_CPU, rehearsal
from dtcbench.plan.suite import Suite, parse, read
from dtcbench.record import Outline, Status
from dtcbench.records.location import REMEDY, StoreError
from dtcbench.records.lookup import RUNS, names_of, plan_in, plan_of, refuse_missing_code, run_of, run_of_text
from dtcbench.records.mixing import changed, data_of
from dtcbench.records.store import Contents, Store, damage
from dtcbench.records.writer import Writer
from dtcbench.registry import Plugin
from dtcbench.training.feasibility import feasible
from dtcbench.validation import KeyPath, key_path_text, shown

Grow = Callable[[Plan, Writer], Plan | None]
"""The plan with more cells, now that all of its own have ended; None if it needs none, or a cell has not ended."""
_ONE_LINE = re.compile(r"\s*(\{|[\w-]+:\s)")
"""The beginning of YAML's mapping, which a file's name or a suite's name does not have."""


def read_suite(suite: str | os.PathLike[str] | Mapping[str, Any], out: str | None) -> tuple[str, Plan]:
    """The YAML of a suite, and the plan that it makes with the loaded code.

    Parameters
    ----------
    suite : a YAML file's path, a shipped suite's name, YAML text, or a mapping
    out : the run's folder, if it is not runs/NAME-OF-THE-SUITE

    Raises
    ------
    SuiteError : the suite has mistakes
    UserError : its run used plug-ins that are not loaded, or a cell cannot be computed
    """
    text, file = _text(suite)
    names = NamesWithFiles(REGISTERED, Path(file).expanduser().parent)
    try:
        here = parse(text, file, names)
        plan = plan_in(run_of(here.name, out), here, names)
    except SuiteError:
        if store := run_of_text(text, file, out):
            refuse_missing_code(store)
        raise
    return text, feasible(plan, file)


def rehearsed(text: str, plan: Plan, address: str | None, noted: Callable[[str], None]) -> tuple[str, Plan]:
    """The YAML of the rehearsal of a suite with this plan, and the rehearsal's plan.

    Without a cluster's `address` it is one that this machine can run: on the CPU where there is no GPU. `noted` is told
    so, and why there are no joules.
    """
    suite = plan.suite
    is_here = suite.resources.gpus > 0 and address is None
    on_cpu = is_here and not has_gpu()
    if on_cpu:
        noted(f"torch sees no GPU on this machine: {suite.name} is rehearsed on the CPU, without joules")
    elif is_here and suite.energy.meter != "none" and (why := obstacle(suite.request, suite.energy, os.environ)):
        noted(f"{suite.name} is rehearsed without joules: {why}")
    text = rehearsal(text, suite.name, ON_CPU) if on_cpu else rehearsal(text, suite.name)
    return text, feasible(expand(parse(text, suite.name, plan.names), plan.names), suite.name)


def _text(suite: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[str, str]:
    """The suite's YAML, and its name in error messages."""
    if isinstance(suite, Mapping):
        return yaml.safe_dump(_plain(suite, ()), sort_keys=False, allow_unicode=True), "suite"
    if not isinstance(suite, str | os.PathLike) or not (name := os.fspath(suite)).strip():
        raise UserError(f"{suite!r} is no suite: give a YAML file's path, a shipped suite's name, YAML, or a mapping")
    is_yaml = "\n" in name or _ONE_LINE.match(name)
    return (name, "suite") if is_yaml else (read(Path(name).expanduser()) if name.startswith("~") else read(name), name)


def _plain(value: Any, place: KeyPath) -> Any:
    """A mapping's content as YAML has it, NumPy's numbers and arrays included; SuiteError names what YAML lacks."""
    if len(place) > DEEPEST:
        raise SuiteError([Mistake("suite", 0, key_path_text(place[:3]), "nested far too deeply, or within itself")])
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {_plain(key, place): _plain(item, (*place, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(item, (*place, number)) for number, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is None or isinstance(value, date):
        return value
    wrong = f"a {type(value).__name__}, and a suite holds numbers, text, true and false, lists and mappings"
    raise SuiteError([Mistake("suite", 0, key_path_text(place), f"{shown(value)} is {wrong}")])


def not_at_all(plan: Plan, writer: Writer) -> None:
    """The way of growing of a plan that is what it is."""


def refuse_to_mix(plan: Plan, store: Store, contents: Contents[Outline], plugins: Sequence[Plugin]) -> None:
    """StoreError if the run is of another suite, or if an ok cell of it was made with other data or another plug-in
    source than are here now.

    dtcbench's own data sets pin their content, so only those of plug-ins are loaded and compared.
    """
    if not contents.attempts:
        return
    if differing := _of_another_suite(plan, store, contents):
        raise StoreError(
            f"{store.root}: its {len(contents.attempts)} cells are of another suite of this name: "
            f"{'; '.join(differing)}; choose another folder with --out, or give the suite another name"
        )
    done = [cell for cell in plan.cells if (record := contents.record(cell.key)) and record.status == Status.OK]
    if unknown := registry.without_source(_values_of(done)):
        raise StoreError(
            f"{store.root}: {', '.join(unknown)}: defined at a prompt, so that nothing shows whether the finished "
            f"cells were made with it as it is now; write it to a file and name that as a plug-in, and {REMEDY}"
        )
    if moved := _moved_into_dtcbench(plan, store, _values_of(done)):
        raise StoreError(
            f"{store.root}: the finished cells used {', '.join(moved)}, which dtcbench itself has now; {REMEDY}"
        )
    if found := changed(plan, contents, plugin_digests(plan, plugins), _dataset_digests(plan)):
        raise StoreError(f"{store.root}: {'; '.join(found)}; {REMEDY}, or bring back what they were made with")


def _values_of(cells: Iterable[Cell]) -> set[tuple[str, str]]:
    """The noun of the axis and the name of every value that the cells use."""
    return {(noun, choice.name) for cell in cells for noun, choice in cell.choices.items()}


def _of_another_suite(plan: Plan, store: Store, contents: Contents[Outline]) -> list[str]:
    """In what the run's suite differs from the plan's, if not one of the run's cells is planned."""
    if not store.suite.is_file() or contents.attempts.keys() & {cell.key for cell in (*plan.cells, *plan.excluded)}:
        return []
    with suppress(UserError):  # a suite that cannot be read is written anew
        before, now = _described(plan_of(store).suite), _described(plan.suite)
        return [
            f"{name} {before.get(name)} there, {now.get(name)} here" for name in now if before.get(name) != now[name]
        ]
    return []


def _described(suite: Suite) -> dict[str, Any]:
    """What decides a suite's cells, by name."""
    axes = {noun: [block.axes[noun] for block in suite.grid] for noun in suite.grid[0].axes}
    labels = {
        f"{noun}s": sorted({choice.label for choices in of_blocks for choice in choices})
        for noun, of_blocks in axes.items()
    }
    grid = {name: [getattr(block, name) for block in suite.grid] for name in ("sparsities", "keep", "seeds")}
    several = len(suite.protocols) > 1
    protocols = {
        f"protocol{f'[{number}]' if several else ''}.{name}": value
        for number, protocol in enumerate(suite.protocols)
        for name, value in protocol
    }
    return {**protocols, **labels, **grid}


def _moved_into_dtcbench(plan: Plan, store: Store, used: Iterable[tuple[str, str]]) -> list[str]:
    """The values among those used that were a plug-in's in the run, by its names.json, and are dtcbench's own now."""
    with suppress(SuiteError):  # an unreadable names.json is written anew
        if isinstance(names := names_of(store), Declared):
            was = {(noun, name): m.plugin for noun, of_axis in names.meanings.items() for name, m in of_axis.items()}
            return [
                f"{noun} {name!r} of plug-in {was[noun, name]}"
                for noun, name in sorted(used)
                if was.get((noun, name)) and plan.names.meaning(noun, name).plugin is None
            ]
    return []


def plugin_digests(plan: Plan, plugins: Sequence[Plugin]) -> dict[str, str]:
    """SHA-256 of the source of each plug-in whose values the suite names, by its file's or its module's name."""
    named = {(noun, choice.name) for noun, choices in choices_of(plan.suite).items() for choice in choices}
    return registry.plugins_of(named, plugins)


def _dataset_digests(plan: Plan) -> dict[str, str]:
    """SHA-256 of the content of each data set from a plug-in that the plan uses, by `Choice.label`."""
    found: dict[str, str] = {}
    for block in plan.suite.grid:
        for choice in block.datasets:
            if plan.names.meaning("dataset", choice.name).plugin is None or choice.label in found:
                continue
            try:
                found[choice.label] = registry.datasets.bind(choice.name, choice.values)().sha256
            except Exception:  # noqa: S112 - the data may be on the cluster's nodes only; if not, their cells say so
                continue
    return found


@contextmanager
def executed(
    plan: Plan,
    text: str,
    store: Store,
    watcher: Watcher,
    *,
    cells: tuple[Cell, ...],
    plugins: tuple[Plugin, ...],
    grow: Grow = not_at_all,
    retry_failed: bool = False,
    fail_over: float | None = None,
    workers: int | None = None,
    address: str | None = None,
    inline: bool = False,
) -> Iterator[Writer]:
    """Execute the missing cells among `cells`. Inside the context no cell runs, and the writer still holds the folder.

    A new run that is refused leaves no folder: whatever could refuse it is checked before the first file is written.
    Once the cells have ended, those that `grow` adds to the plan are executed, until it adds none.
    """
    with ExitStack() as lock:
        is_new = not store.suite.is_file()
        if not is_new:
            writer = lock.enter_context(store.locked(watcher.noted))
        job = replace(
            Job.of(plan.suite, plugins, fail_over),
            calibrated=calibrated(plan.suite, store),
            run=str(store.fixed().root),
        )
        contents, tasks = _missing(plan, store, cells, job, retry_failed=retry_failed)
        if not is_new and not tasks:
            plan, tasks = _grown(plan, writer, job, grow)
            cells = plan.cells if tasks else cells
        if tasks:
            refuse_lacking(plan.suite, address, job, store)
        is_inline = inline or not tasks
        interrupts = Interrupts(at_once=in_job() and not is_inline)  # inline it has the cell saved, as ever
        if not is_inline:
            _refuse_what_only_this_process_has(tasks, plugins)
        with (
            watcher if tasks else nullcontext(),
            closing(_executor(plan, workers, address, interrupts, is_inline=is_inline)) as executor,
        ):
            if is_new:
                writer = lock.enter_context(store.locked(watcher.noted))
                # Another run of the suite may have ended since.
                contents, tasks = _missing(plan, store, cells, job, retry_failed=retry_failed)
            document = Document.read(text, plan.suite.name).value
            names = declared(plan.suite, document, plan.names, plugin_digests(plan, plugins))
            writer.save_suite(plan.suite.name, text, names, contents)
            for damaged, reason in contents.damaged.items():
                watcher.damaged(damage(damaged, reason))
                writer.set_aside(damaged)
            if tasks and job.checkpoint_s is not None:
                writer.prepare_checkpoints(contents)
            live = Live(job, _ended_before(cells, tasks, contents))
            watcher = Watchers(live, watcher)
            del contents  # a large run's take much memory
            watcher.planned(plan.suite.name, len(cells), len(tasks))
            if tasks and not is_inline:
                watcher.ray_log(_ray_log(store, plan.suite.name))
            with written(live, writer) if tasks else nullcontext():
                _drive(plan, tasks, job, writer, executor, watcher, interrupts, grow)
        yield writer


def _drive(
    plan: Plan,
    tasks: list[Task],
    job: Job,
    writer: Writer,
    executor: Executor,
    watcher: Watcher,
    interrupts: Interrupts,
    grow: Grow,
) -> None:
    """Execute the tasks, and those of the cells that the plan grows by, unless the user asks to stop."""
    while tasks:
        data = data_of(plan, writer.store.outlines())
        drive(tasks, job, writer, executor, watcher, data, interrupts)
        if interrupts.asked_to_stop:
            return
        plan, tasks = _grown(plan, writer, job, grow)
        if tasks:
            watcher.planned(plan.suite.name, len(plan.cells), len(tasks))


def _grown(plan: Plan, writer: Writer, job: Job, grow: Grow) -> tuple[Plan, list[Task]]:
    """The plan once it has grown by cells that have no record yet, and their tasks; none if it grows no more."""
    while (larger := grow(plan, writer)) is not None:
        new = larger.cells[len(plan.cells) :]
        plan = larger
        if tasks := _missing(plan, writer.store, new, job, retry_failed=False)[1]:
            return plan, tasks
    return plan, []


def _refuse_what_only_this_process_has(tasks: Sequence[Task], plugins: Sequence[Plugin]) -> None:
    """UserError if the tasks need a value that Ray's processes do not find."""
    if found := registry.in_this_process_only(_values_of(task.cell for task in tasks), plugins):
        raise UserError(
            f"{', '.join(found)}: registered in this process only, and Ray runs the cells in others; run with --inline "
            "(inline=True), or write the code to a file and name that with --plugin (plugins=[…])"
        )


def _missing(
    plan: Plan, store: Store, cells: tuple[Cell, ...], job: Job, *, retry_failed: bool
) -> tuple[Contents[Outline], list[Task]]:
    """The run's records, and the tasks of the cells still to be run."""
    contents = store.outlines()
    refuse_to_mix(plan, store, contents, job.plugins)
    decided, places = givers(plan.cells), drawn_places(plan.cells, job)
    return contents, to_run(cells, contents, job, retry_failed=retry_failed, givers=decided, places=places)


def _ended_before(cells: Iterable[Cell], tasks: Iterable[Task], contents: Contents[Outline]) -> Counter[Status]:
    """By status, the cells that have ended and are not run again."""
    again = {task.key for task in tasks}
    records = (contents.record(cell.key) for cell in cells if cell.key not in again)
    return Counter(record.status for record in records if record is not None)


def _executor(
    plan: Plan, workers: int | None, address: str | None, interrupts: Interrupts, *, is_inline: bool
) -> Executor:
    """This process, a Ray of the run's own for `workers` cells at once, or the cluster at `address`."""
    if is_inline:
        return InlineExecutor(interrupts)
    from dtcbench.execution.ray_executor import RayExecutor

    request = plan.suite.request
    return RayExecutor(request, cores=workers and workers * request.cpus, address=address, slots=workers)


def _ray_log(store: Store, suite: str) -> Path:
    """The file for what Ray prints: next to the records, or under runs/ if those are not on this machine."""
    folder = store.root if isinstance(store.root, Path) else RUNS / suite
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "ray.log"
