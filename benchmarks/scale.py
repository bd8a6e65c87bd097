"""What the bench itself costs when cells cost nothing: scheduling, Ray, sealing, and reading it all again.

    python benchmarks/scale.py cells 1000 10000     cells of no work through scheduler, Ray and store
    python benchmarks/scale.py records 100000       records written here, then made into a leaderboard
    python benchmarks/scale.py merge 2000 4000      two such runs of the same cells, merged
    python benchmarks/scale.py plan 1000000         a plan of so many cells, of which none has run

`cells` prints milliseconds a cell, and what of them Ray alone and sealing alone take, in one run: the ratios
compare between machines. The memory is the driver's. Then it times `status` and `board` on the result.
`records` prints the seconds and the peak memory of `dtcbench report`, which leaves the indexes, and of what reads by
them. `plan` prints those of `dtcbench plan`, of its whole listing, of `dtcbench status`, and of what `run` does before
its first cell. The folder is a temporary one.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray
from pydantic_core import to_jsonable_python

from dtcbench.execution.driver import drive, to_run
from dtcbench.execution.ray_executor import RayExecutor
from dtcbench.execution.scheduler import Scheduler
from dtcbench.execution.task import Job, Report, Task
from dtcbench.execution.watcher import Watcher
from dtcbench.execution.worker import attempt
from dtcbench.plan.document import Document
from dtcbench.plan.grid import expand
from dtcbench.plan.names import declared
from dtcbench.plan.suite import parse
from dtcbench.record import CellRecord
from dtcbench.records.location import write
from dtcbench.records.sealing import seal
from dtcbench.records.store import Contents, Store

SUITE = """
name: scale
question: What does the bench itself cost?
cost: minutes
protocol: {{name: standard, steps: 40, batch_size: 16, lr: 0.01, cycle_steps: 5, keep: 0.7}}
grid:
  - models: [{models}]
    datasets: [digits]
    methods: [dtc, dtc-published, magnitude, random]
    solvers: [lars, interior-point, omp, fista]
    sparsities: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9]
    seeds: {seeds}
"""
CELLS_A_SEED = 1 + 10 * 10
"""Of one model: dense and, at ten sparsities, two methods with four solvers and two without."""


def suite_of(count: int, seeds: int) -> str:
    """A suite of `count` cells or a few more."""
    count_of_models = -(-count // (CELLS_A_SEED * seeds))
    models = ", ".join(f"{{name: mlp, widths: [{64 + number}]}}" for number in range(count_of_models))
    return SUITE.format(models=models, seeds=seeds)


def template() -> dict[str, Any]:
    """The record of a real cell, with eight cycles or so, which all others are copies of."""
    plan = expand(parse(suite_of(1, 1), "scale"))
    job = Job.of(plan.suite)
    return attempt(Task(plan.cells[15], 1, job)).record


def no_work(record: dict[str, Any], task: Task) -> Report:
    """What a worker would leave, with none of the work."""
    own = {"key": task.cell.key, "cell": to_jsonable_python(task.cell), "attempt": 1, "wall_s": 0.0}
    return Report(record | own, None)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def children() -> tuple[float, float]:
    """Processor seconds of the commands so far, and the peak memory in MiB of the largest one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def run_cells(folder: Path, count: int) -> None:
    record = template()
    text = suite_of(count, seeds=10)
    plan = expand(parse(text, "scale"))
    job = Job.of(plan.suite)
    tasks = to_run(plan.cells[:count], Contents({}), job)
    store, executor = Store(folder), RayExecutor(plan.suite.request, work=partial(no_work, record))
    bare = ray.remote(num_cpus=1, max_retries=0)(no_work)
    ray.get([bare.remote(record, task) for task in tasks[:10]])  # workers are up
    ray_alone = seconds(lambda: [ray.get(bare.remote(record, task)) for task in tasks[:200]]) / 200
    before = resident_mib()
    with store.locked() as writer:
        names = declared(plan.suite, Document.read(text, "scale.yaml").value, plan.names, {})
        writer.save_suite("scale", text, names, store.read())
        took = seconds(lambda: drive(tasks, job, writer, executor, Watcher())) / count
        grown = resident_mib() - before
        executor.close()
        sealed = CellRecord.model_validate(record)
        spare = Store(folder / "spare")
        with spare.locked() as writing:
            sealing = (
                seconds(lambda: [writing.append(sealed.model_copy(update={"attempt": n})) for n in range(200)]) / 200
            )
    print(
        f"{count} cells: {1e3 * took:.2f} ms a cell; one Ray task after another {1e3 * ray_alone:.2f} ms, "
        f"sealing alone {1e3 * sealing:.2f} ms; driver grew by {grown:.0f} MiB",
        flush=True,
    )
    say("status", "board", folder=folder)


def say(*verbs: str, folder: Path) -> None:
    for name in verbs:
        command = [sys.executable, "-m", "dtcbench", *name.split(), str(folder)]
        before, _ = children()
        took = seconds(partial(subprocess.run, command, check=False, stdout=subprocess.DEVNULL))  # 1: cells are missing
        cpu_s, peak_mib = children()
        print(f"  {name}: {took:.1f} s, processor {cpu_s - before:.1f} s, peak memory {peak_mib:.0f} MiB", flush=True)


def make_records(folder: Path, count: int) -> None:
    write_records(folder, suite_of(count, seeds=50), template())
    say("report", "status", f"plan {folder / 'suite.yaml'} --out", "board", "report", folder=folder)


def make_two_runs(folder: Path, count: int) -> None:
    """Two runs of the same cells, made at other times: every cell gets a second attempt."""
    record, text = template(), suite_of(count, seeds=20)
    folder.mkdir()
    for name in ("one", "other"):
        write_records(folder / name, text, record | {"started_at": f"of run {name}"})
    say(f"merge {folder / 'one'} {folder / 'other'} --out", folder=folder / "both")


def write_records(folder: Path, text: str, record: dict[str, Any]) -> None:
    plan = expand(parse(text, "scale"))
    records = folder / "records"
    records.mkdir(parents=True)
    names = declared(plan.suite, Document.read(text, "scale.yaml").value, plan.names, {})
    write(folder / "suite.yaml", text.encode())
    write(folder / "names.json", names.model_dump_json().encode())
    size = 0
    for number, cell in enumerate(plan.cells):
        result = record["result"] | {"accuracy": 0.5 + 0.4 * (number * 7919 % 1000) / 1000}
        one = record | {"key": cell.key, "cell": to_jsonable_python(cell), "attempt": 1, "result": result}
        content = seal(one)
        size += len(content)
        (records / f"{cell.key}.1.json").write_bytes(content)
    print(f"{len(plan.cells)} records of {size / len(plan.cells) / 1024:.1f} KiB in the mean", flush=True)


def make_plan(folder: Path, count: int) -> None:
    text = suite_of(count, seeds=100)
    folder.mkdir()
    write(folder / "suite.yaml", text.encode())
    say("plan", "plan --all", folder=folder / "suite.yaml")
    say("status", folder=folder)
    plan = expand(parse(text, "scale"))
    before, begin = resident_mib(), time.perf_counter()
    waiting = Scheduler(to_run(plan.cells, Contents({}), Job.of(plan.suite)), slots=2)
    took = time.perf_counter() - begin
    print(f"  {len(plan.cells)} cells into the scheduler: {took:.1f} s, grew by {resident_mib() - before:.0f} MiB")
    print(f"  it starts {len(waiting.start())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["cells", "records", "plan", "merge"])
    parser.add_argument("counts", type=int, nargs="+")
    asked = parser.parse_args()
    measure = {"cells": run_cells, "records": make_records, "plan": make_plan, "merge": make_two_runs}[asked.what]
    for count in asked.counts:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder) / "run", count)


if __name__ == "__main__":
    main()
