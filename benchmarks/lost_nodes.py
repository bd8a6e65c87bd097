"""How long a run takes on nodes that are lost: the scheduler itself, driven by simulated time.

    python benchmarks/lost_nodes.py --cells 50000 --gpus 100 1000 --lost 0 0.01 0.05

A node has eight GPUs, each of which runs one cell at a time. It is lost at random, at the given rate per hour, and
comes back after `--back`. A cell takes its time from a log-normal distribution with median `--cell`, and goes on from
its last checkpoint, at most `--checkpoint` old; a cell that lost its node three times ends as `infra`. Nothing else
takes time: no start of a process, no data, no sealing. Prints the hours, the work that was done again as a share of
all, and the cells that ended as `infra`.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections import deque
from itertools import count

from dtcbench.execution.scheduler import Scheduler
from dtcbench.execution.task import Job, Task
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import parse
from dtcbench.record import Status
from dtcbench.training.determinism import generator

SUITE = """
name: lost-nodes
question: How long does a run take on nodes that are lost?
cost: none
protocol: {{name: standard, steps: 40, cycle_steps: 5}}
grid:
  - models: [mlp]
    datasets: [digits]
    methods: [magnitude, random, dtc-published, shuffled]
    sparsities: [0.5]
    seeds: {seeds}
"""
PER_NODE = 8


def simulated(tasks: list[Task], gpus: int, lost: float, cell_s: float, back_s: float, checkpoint_s: float) -> str:
    """A row of the output."""
    draw = generator(0, f"{gpus} GPUs, {lost} lost an hour")
    nodes, ties = gpus // PER_NODE, count()
    left = dict(
        zip((task.key for task in tasks), cell_s * generator(0, "cells").lognormal(0.0, 0.5, len(tasks)), strict=True)
    )
    work_s, again_s, state = sum(left.values()), 0.0, Scheduler(tasks, nodes * PER_NODE)
    free = [PER_NODE] * nodes
    """By node, its free GPUs; a lost one has none."""
    running: dict[Task, tuple[int, float]] = {}
    events: list[tuple[float, int, str, int, Task | None]] = []

    def at(time: float, what: str, node: int, task: Task | None = None) -> None:
        heapq.heappush(events, (time, next(ties), what, node, task))

    def until_lost() -> float:
        return float(draw.exponential(3600 / lost)) if lost else math.inf

    for node in range(nodes):
        at(until_lost(), "lost", node)
    now, submitted = 0.0, deque[Task]()
    open_nodes = list(range(nodes))
    """Those that may have a free GPU."""
    while not state.done:
        submitted += state.start()
        while submitted and open_nodes:
            if not free[node := open_nodes[-1]]:
                open_nodes.pop()
                continue
            task = submitted.popleft()
            free[node] -= 1
            running[task] = node, now
            at(now + left[task.key], "ended", node, task)
        now, _, what, node, ended = heapq.heappop(events)
        if what == "ended" and ended is not None and running.get(ended, (None, 0.0))[0] == node:
            del running[ended]
            state.ended(ended, Status.OK)
            free[node] += 1
            open_nodes.append(node)
        elif what == "lost":
            for task in [task for task, (where, _) in running.items() if where == node]:
                _, since = running.pop(task)
                saved = (now - since) // checkpoint_s * checkpoint_s
                left[task.key] -= saved
                again_s += now - since - saved
                state.ended(task, Status.INFRA, "node")
            free[node] = 0
            state.slots -= PER_NODE
            at(now + back_s, "back", node)
        elif what == "back":
            free[node] = PER_NODE
            state.slots += PER_NODE
            open_nodes.append(node)
            at(now + until_lost(), "lost", node)
    infra = sum(status is Status.INFRA for status in state.finished.values())
    hours, ideal = now / 3600, work_s / 3600 / (nodes * PER_NODE)
    return f"| {nodes * PER_NODE:,} | {lost:.0%} | {hours:.1f} | {ideal:.1f} | {again_s / work_s:.2%} | {infra} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--gpus", type=int, nargs="+", default=[100, 1000], help="whole nodes of eight")
    parser.add_argument("--lost", type=float, nargs="+", default=[0.0, 0.01, 0.05], help="share of the nodes, an hour")
    parser.add_argument("--cell", type=float, default=20.0, help="minutes")
    parser.add_argument("--back", type=float, default=10.0, help="minutes until a lost node is back")
    parser.add_argument("--checkpoint", type=float, default=10.0, help="minutes")
    asked = parser.parse_args()
    plan = expand(parse(SUITE.format(seeds=-(-asked.cells // 5)), "lost-nodes"))
    job = Job.of(plan.suite)
    tasks = [Task(cell, 1, job) for cell in plan.cells[: asked.cells]]
    print("| GPUs | nodes lost an hour | hours | at best | work done again | cells that ended as `infra` |")
    print("|---:|---:|---:|---:|---:|---:|")
    for gpus in asked.gpus:
        for lost in asked.lost:
            print(simulated(tasks, gpus, lost, 60 * asked.cell, 60 * asked.back, 60 * asked.checkpoint), flush=True)


if __name__ == "__main__":
    main()
