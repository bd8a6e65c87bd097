"""What a cell takes besides its training, in a worker that has run cells before.

    DTCBENCH_DATA_DIR=… OMP_NUM_THREADS=1 python benchmarks/cells_per_hour.py
    DTCBENCH_DATA_DIR=… OMP_NUM_THREADS=1 python benchmarks/cells_per_hour.py --other CHECKOUT

For `lenet-300-100` on MNIST by the recipe of suite `lenet`, at sparsity 0.9: the seconds of a whole cell over those of
its training, and the parts, each the median of some rounds. It is measured as the recipe is, and with `course: 1000`.
`--other` measures another version of dtcbench too, in the same rounds: its cells and these take turns, so that
whatever else the machine does falls on both. docs/scaling.md has figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

SUITE = """
name: cells
question: What does a cell take besides its training?
cost: a minute
protocol: {name: standard, steps: 1200, batch_size: 128, lr: 0.0012, cycle_steps: 40, keep: 0.9 COURSE}
grid:
  - {models: [lenet-300-100], datasets: [mnist], methods: [dtc, magnitude, random], sparsities: [0.9], seeds: 1}
"""
PARTS = ("train_s", "evaluate_s", "compress_s")


def serve(suite: str) -> None:
    """In a worker: for each line read, run the cells, and print their seconds as one line of JSON."""
    from dtcbench.execution.task import Job, Task
    from dtcbench.execution.worker import attempt
    from dtcbench.plan.grid import expand
    from dtcbench.plan.suite import parse

    plan = expand(parse(suite, "cells.yaml"))
    for _ in sys.stdin:
        found = {}
        for cell in plan.cells:
            begin, cpu = time.perf_counter(), time.process_time()
            record = attempt(Task(cell, 1, Job.of(plan.suite))).record
            whole = {"whole_s": time.perf_counter() - begin, "cpu_s": time.process_time() - cpu}
            if record["result"] is None:
                sys.exit(record["reason"])
            found[cell.method.name] = whole | {name: record["result"][name] for name in PARTS}
        print(json.dumps(found), flush=True)


def worker(checkout: Path, course: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, "--serve", SUITE.replace("COURSE", course)],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def asked(process: subprocess.Popen[str]) -> dict[str, dict[str, float]]:
    print(file=process.stdin, flush=True)
    found: dict[str, dict[str, float]] = json.loads(next(iter(process.stdout or ())))
    return found


def show(name: str, rounds: list[dict[str, dict[str, float]]]) -> None:
    for method in rounds[0]:
        cells = [one[method] for one in rounds]
        of = {part: statistics.median(cell[part] for cell in cells) for part in (*PARTS, "whole_s", "cpu_s")}
        rest = of["whole_s"] - sum(of[part] for part in PARTS)
        ratio = statistics.median(cell["whole_s"] / cell["train_s"] for cell in cells)
        print(
            f"{name:<18} {method:<10} {ratio:5.2f} × training   whole {of['whole_s']:6.2f} s   "
            f"train {of['train_s']:6.2f}   evaluate {of['evaluate_s']:5.2f}   compress {of['compress_s']:5.2f}   "
            f"rest {rest:5.2f}   processor {of['cpu_s']:6.2f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, help="checkout of another version, such as one of `git worktree add`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    here = Path(__file__).resolve().parents[1]
    workers = {"as the recipe is": worker(here, ""), "with course: 1000": worker(here, ", course: 1000")}
    if options.other:
        workers = {"the other version": worker(options.other.resolve(), ""), **workers}
    found: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in workers}
    for number in range(1 + options.rounds):
        for name, process in workers.items():
            seconds = asked(process)
            if number:  # the first round warms up
                found[name].append(seconds)
    for name, process in workers.items():
        process.communicate()
        show(name, found[name])


if __name__ == "__main__":
    main()
