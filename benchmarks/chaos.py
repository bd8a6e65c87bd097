"""Ten minutes of chaos: 200 cells on four nodes, something killed or frozen every few seconds, nothing lost.

    python benchmarks/chaos.py [--minutes 10] [--cells 200] [--seed 0] [--faults 100]

A driver runs small real cells on a Ray cluster of four nodes on this machine; each cell lingers so long that the
run lasts about the time given. Meanwhile, by a seeded generator: a worker is killed; a raylet, or a whole node, is
killed and a new node put in its place; a node is frozen and some seconds later thawed; the driver is killed and
started again. After that many minutes or faults it is left in peace until the run is done, driven again as a user
would for cells that were lost more often than they are retried. At the end there must be one sealed record that
counts for each cell, equal to an undisturbed run's in everything but time and attempts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cells import cell, choice, timeless
from drivers import Driver
from rack import Rack

from dtcbench import registry
from dtcbench.plan.cell import Cell
from dtcbench.record import Status
from dtcbench.records.store import Contents, Store
from dtcbench.registry import Plugin

NODES = 4
BETWEEN_S = (2.0, 10.0)
"""Seconds from one fault to the next, at least and at most."""
FROZEN_S = (1.0, 15.0)
"""A freeze may pass unnoticed or be long enough for the node to be given up."""
LINGERING = Plugin(
    "lingering",
    """
import os, threading
import numpy as np
from dtcbench.dtc.selection import Method, Scores
from dtcbench.registry import register_method

@register_method("lingering")
class Lingering(Method):
    '''Takes the time that its node's environment asks for, and removes the first neurons.'''

    drop = "smallest"

    def scores(self, group):
        threading.Event().wait(float(os.environ.get("LINGER_S", "0")))
        return Scores(np.arange(group.width, dtype=float))
""",
)


class Chaos:
    """What is done to the rack and its driver, and a line for each."""

    def __init__(self, rack: Rack, linger_s: float, start_driver: Callable[[], Driver], seed: int) -> None:
        self._rack, self._linger_s, self._start_driver = rack, linger_s, start_driver
        self._random = np.random.default_rng(seed)
        self._begin = time.monotonic()
        self.done: Counter[str] = Counter()
        while len(rack.nodes) < NODES:
            self._add()
        self.driver = start_driver()

    def go_on(self, until: float, faults: int) -> None:
        """Do harm until the time has come, so many faults are done or the driver has nothing more to do."""
        while (code := self.driver.join(self._random.uniform(*BETWEEN_S))) != 0:
            if time.monotonic() > until or self.done.total() == faults:
                return
            if code is not None:
                self.say("the driver gave up, and is started again")
                self.driver = self._start_driver()
            what = self._random.choice(
                [self.worker, self.worker, self.raylet, self.node, self.freeze, self.kill_driver]
            )
            what()

    def say(self, text: str) -> None:
        """A line with the time."""
        print(f"{time.monotonic() - self._begin:6.1f} s  {text}", flush=True)

    def _harm(self, what: str, text: str) -> None:
        self.done[what] += 1
        self.say(text)

    def worker(self) -> None:
        """Kill one process that runs cells, if there is one."""
        self.driver.has_started_a_cell(within_s=60.0)
        workers = [pid for node in self._rack.nodes for pid in self._rack.workers(node)]
        if workers:
            self._harm("worker", f"worker {(pid := self._one_of(workers))} killed")
            self._rack.kill_process(pid)

    def raylet(self) -> None:
        """Kill a node's raylet alone, and put a new node in its place."""
        self._harm("raylet", "raylet killed, a new node put in its place")
        self._rack.kill_raylet(self._any_node())
        self._add()

    def node(self) -> None:
        """Kill all of a node, and put a new one in its place."""
        self._harm("node", "node powered off, a new one put in its place")
        self._rack.power_off(self._any_node())
        self._add()

    def freeze(self) -> None:
        """Freeze a node, and thaw it a while later; a new one takes its place if it was given up."""
        node, seconds = self._any_node(), self._random.uniform(*FROZEN_S)
        self._harm("freeze", f"node frozen for {seconds:.1f} s")
        self._rack.freeze(node)
        self.driver.join(seconds)
        self._rack.thaw(node)
        if self._rack.has_ended(node, 5.0):
            self.say("  it had been given up; a new node put in its place")
            self._rack.gone(node)
            self._add()

    def kill_driver(self) -> None:
        """Kill the driver, and run the same again."""
        self._harm("driver", "driver killed and started again")
        self.driver.kill()
        self.driver = self._start_driver()

    def _any_node(self) -> Any:
        return self._one_of(self._rack.nodes)

    def _one_of(self, things: list[Any]) -> Any:
        return things[self._random.integers(len(things))]

    def _add(self) -> None:
        self._rack.add(LINGER_S=str(self._linger_s))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long harm is done")
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=100, help="after so many no more harm is done")
    options = parser.parse_args()
    LINGERING.load()
    cells = tuple(lingering(seed) for seed in range(options.cells))
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        run, calm = Path(folder) / "run", Path(folder) / "calm"
        harmed = in_chaos(run, cells, options)
        print(f"an undisturbed run of the same {len(cells)} cells …", flush=True)
        if Driver(calm, cells, None, (LINGERING,)).join() != 0:
            sys.exit("the undisturbed run failed")
        sys.exit(not is_right(cells, harmed, Store(calm).read()))


def lingering(seed: int) -> Cell:
    """A small real cell that takes its time at each of its compressions."""
    return replace(cell("random", seed=seed), method=choice(registry.methods, "lingering"))


def in_chaos(folder: Path, cells: tuple[Cell, ...], options: argparse.Namespace) -> Contents:
    """Run the cells while harm is done, then in peace until each has an end of its own."""
    compressions = 4  # of each cell: 32 neurons to 16, 0.8 of them kept each time
    linger_s = 0.5 * 60 * options.minutes * NODES / len(cells) / compressions  # the other half goes to the faults
    rack = Rack(nodes=0)
    try:
        chaos = Chaos(rack, linger_s, lambda: Driver(folder, cells, rack.address, (LINGERING,)), options.seed)
        chaos.driver.has_started_a_cell(within_s=300.0)
        chaos.go_on(time.monotonic() + 60 * options.minutes, options.faults)
        chaos.say(f"{chaos.done.total()} faults done: {dict(chaos.done)}; in peace from here")
        while chaos.driver.join() != 0 or inconclusive(cells, folder):
            chaos.say("driven again for cells that were lost too often, or to whose driver something happened")
            chaos.driver = Driver(folder, cells, rack.address, (LINGERING,))
        chaos.say("done")
        return Store(folder).read()
    finally:
        rack.close()


def inconclusive(cells: tuple[Cell, ...], folder: Path) -> bool:
    """Whether a cell still has to be run."""
    contents = Store(folder).read()
    records = [contents.record(the_cell.key) for the_cell in cells]
    return any(record is None or record.status is Status.INFRA for record in records)


def is_right(cells: tuple[Cell, ...], harmed: Contents, calm: Contents) -> bool:
    """Whether each cell has one ok record, equal to the undisturbed one; prints what there is."""
    attempts = [record for the_cell in cells for record in harmed.attempts.get(the_cell.key, ())]
    finals = Counter(record.key for record in attempts if record.status is Status.OK)
    right = sum(key in finals and _same(harmed, calm, key) for key in calm.attempts)
    lost, doubled = len(cells) - len(finals), sum(count > 1 for count in finals.values())
    print(f"attempts: {dict(Counter(str(record.status) for record in attempts))}, {len(harmed.damaged)} damaged files")
    print(f"{len(finals)} cells sealed ok, {right} right, {lost} lost, {doubled} duplicated")
    return right == len(cells) and not doubled and not harmed.damaged


def _same(harmed: Contents, calm: Contents, key: str) -> bool:
    one, other = harmed.record(key), calm.record(key)
    return one is not None and other is not None and timeless(one) == timeless(other)


if __name__ == "__main__":
    main()
