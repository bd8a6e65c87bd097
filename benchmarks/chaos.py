"""Ten minutes of chaos: 200 cells on four nodes, something killed or frozen every few seconds, nothing lost.

    python benchmarks/chaos.py [--minutes 10] [--cells 200] [--seed 0] [--faults 100] [--checkpoint 0.5]

A driver runs small real cells on a Ray cluster of four nodes on this machine; each cell lingers before each of its
steps, so that the run lasts about the time given, and is saved as often as `--checkpoint` says. Meanwhile, by a seeded
generator: a worker is killed; a raylet, or a whole node, is killed and a new node put in its place; a node is frozen
and some seconds later thawed; the driver is killed and started again. After that many minutes or faults it is left in
peace until the run is done, driven again as a user would for cells that were lost more often than they are retried. At
the end there must be one sealed record that counts for each cell, with an undisturbed run's result. Every step that a
worker begins is counted, those that were lost included: the share of steps that were done again is printed.
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
STEPS = 120
"""Of each cell."""
LINGERING = Plugin(
    "lingering",
    """
import os, threading
from torch.optim import Adam
from dtcbench.registry import register_protocol
from dtcbench.training.recipe import Recipe


class Lingering(Adam):
    '''Writes a byte for each step that it begins, and takes the time for it that its node's environment asks for.'''

    def step(self, closure=None):
        if "STEPS_BEGUN" in os.environ:
            file = os.open(os.environ["STEPS_BEGUN"], os.O_WRONLY | os.O_APPEND)
            os.write(file, b".")
            os.close(file)
            threading.Event().wait(float(os.environ["LINGER_S"]))
        return super().step(closure)


@register_protocol("lingering")
def lingering(model, steps):
    '''Adam that lingers.'''
    return Recipe(Lingering(model.parameters(), lr=0.01))
""",
)


class Chaos:
    """What is done to the rack and its driver, and a line for each."""

    def __init__(self, rack: Rack, of_nodes: dict[str, str], start_driver: Callable[[], Driver], seed: int) -> None:
        self._rack, self._of_nodes, self._start_driver = rack, of_nodes, start_driver
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
        self._rack.add(**self._of_nodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long harm is done")
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=100, help="after so many no more harm is done")
    parser.add_argument("--checkpoint", type=float, default=0.5, help="seconds between two of a cell; 0 for none")
    options = parser.parse_args()
    LINGERING.load()
    cells = tuple(lingering(seed) for seed in range(options.cells))
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        run, calm, begun = (Path(folder) / name for name in ("run", "calm", "begun"))
        begun.touch()
        harmed = in_chaos(run, cells, begun, options)
        print(f"an undisturbed run of the same {len(cells)} cells …", flush=True)
        if Driver(calm, cells, None, (LINGERING,)).join() != 0:
            sys.exit("the undisturbed run failed")
        print_steps(harmed, begun.stat().st_size, STEPS * len(cells))
        sys.exit(not is_right(cells, harmed, Store(calm).read()))


def lingering(seed: int) -> Cell:
    """A small real cell that takes its time for each step; its compressions are over after the first 20 of them."""
    protocol = choice(registry.protocols, "lingering", steps=STEPS, batch_size=32, cycle_steps=5, keep=0.8)
    return replace(cell("random", seed=seed), protocol=protocol)


def in_chaos(folder: Path, cells: tuple[Cell, ...], begun: Path, options: argparse.Namespace) -> Contents:
    """Run the cells while harm is done, then in peace until each has an end of its own."""
    linger_s = 0.5 * 60 * options.minutes * NODES / len(cells) / STEPS  # the other half goes to the faults
    of_nodes = {"LINGER_S": str(linger_s), "STEPS_BEGUN": str(begun)}
    rack = Rack(nodes=0)

    def driver() -> Driver:
        return Driver(folder, cells, rack.address, (LINGERING,), checkpoint_s=options.checkpoint or None)

    try:
        chaos = Chaos(rack, of_nodes, driver, options.seed)
        chaos.driver.has_started_a_cell(within_s=300.0)
        chaos.go_on(time.monotonic() + 60 * options.minutes, options.faults)
        chaos.say(f"{chaos.done.total()} faults done: {dict(chaos.done)}; in peace from here")
        while chaos.driver.join() != 0 or inconclusive(cells, folder):
            chaos.say("driven again for cells that were lost too often, or to whose driver something happened")
            chaos.driver = driver()
        chaos.say("done")
        return Store(folder).read()
    finally:
        rack.close()


def inconclusive(cells: tuple[Cell, ...], folder: Path) -> bool:
    """Whether a cell still has to be run."""
    contents = Store(folder).read()
    records = [contents.record(the_cell.key) for the_cell in cells]
    return any(record is None or record.status is Status.INFRA for record in records)


def print_steps(harmed: Contents, begun: int, needed: int) -> None:
    """How many steps were begun, and what share of those that were needed was done again."""
    records = [record for key in harmed.attempts if (record := harmed.record(key)) is not None]
    went_on = sum(record.continued_at is not None for record in records)
    print(f"{begun} steps begun, {needed} needed: {begun / needed - 1:.1%} done again; {went_on} cells went on")


def is_right(cells: tuple[Cell, ...], harmed: Contents, calm: Contents) -> bool:
    """Whether each cell has one ok record, with the undisturbed one's result; prints what there is."""
    attempts = [record for the_cell in cells for record in harmed.attempts.get(the_cell.key, ())]
    finals = Counter(record.key for record in attempts if record.status is Status.OK)
    right = sum(key in finals and _same(harmed, calm, key) for key in calm.attempts)
    lost, doubled = len(cells) - len(finals), sum(count > 1 for count in finals.values())
    print(f"attempts: {dict(Counter(str(record.status) for record in attempts))}, {len(harmed.damaged)} damaged files")
    print(f"{len(finals)} cells sealed ok, {right} right, {lost} lost, {doubled} duplicated")
    return right == len(cells) and not doubled and not harmed.damaged


def _same(harmed: Contents, calm: Contents, key: str) -> bool:
    one, other = harmed.record(key), calm.record(key)
    return one is not None and other is not None and timeless(one.result) == timeless(other.result)


if __name__ == "__main__":
    main()
