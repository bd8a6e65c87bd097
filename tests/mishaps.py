"""Cells that come to harm in the middle of training, each in a way of its own, as often as they are told."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from cells import cell, choice

from dtcbench import registry
from dtcbench.plan.cell import Cell
from dtcbench.registry import Plugin

MISHAPS = Plugin(
    "mishaps",
    '''
import ctypes, os, re, signal, threading
from pathlib import Path

import numpy as np
import torch

from dtcbench.dtc.selection import Method, Scores
from dtcbench.registry import register_method


def wait_for_the_test(folder):
    (folder / "begun").write_text(str(os.getpid()))
    (folder / "go").open().readline()


def hold_the_lock(folder):
    re.match(r"(a+)+$", "a" * 60 + "b")


def lack_device_memory(folder):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def fail(folder):
    raise ValueError("the method gave up")


def eat_memory(folder):
    eaten = []
    while True:
        eaten.append(np.ones(2**24))


WHAT = {
    "wait": wait_for_the_test,
    "kill": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda folder: os._exit(7),
    "segfault": lambda folder: ctypes.string_at(0),
    "hang": lambda folder: threading.Event().wait(),
    "hang-with-lock": hold_the_lock,
    "device-memory": lack_device_memory,
    "exception": fail,
    "eat": eat_memory,
}


@register_method("mishap")
class Mishap(Method):
    """Comes to harm at the first compression of so many attempts; without harm, removes the first neurons."""

    drop = "smallest"

    def __init__(self, *, what: str = "exception", folder: str = "", times: int = 1) -> None:
        self.what, self.folder, self.times = what, Path(folder), times
        self._compressed = False

    def scores(self, group):
        if not self._compressed and self._is_due():
            WHAT[self.what](self.folder)
        self._compressed = True
        return Scores(np.arange(group.width, dtype=float))

    def _is_due(self):
        for number in range(self.times):
            try:
                (self.folder / f"mishap-{number}").mkdir()
            except FileExistsError:
                continue
            return True
        return False
''',
)


def mishap(what: str, folder: Path, times: int = 1, seed: int = 0) -> Cell:
    """A cell to which this happens in its first `times` attempts.

    `what` is `wait` for one that says its process id to `pid_of(folder)` and then waits for `release(folder)`.
    """
    MISHAPS.load()
    folder.mkdir(exist_ok=True)
    if what == "wait":
        for pipe in ("begun", "go"):
            os.mkfifo(folder / pipe)
    method = choice(registry.methods, "mishap", what=what, folder=str(folder), times=times)
    return replace(cell("random", seed=seed), method=method)


def unharmed(seed: int = 0) -> Cell:
    """The same cell without the mishap."""
    MISHAPS.load()
    return replace(cell("random", seed=seed), method=choice(registry.methods, "mishap", times=0))


def pid_of(folder: Path) -> int:
    """The process of the cell that waits there, as soon as it does."""
    return int((folder / "begun").read_text())


def release(folder: Path) -> None:
    """Let the cell that waits there go on, now or whenever it gets there."""
    # Never closed: what nobody has read by then would be lost.
    os.write(os.open(folder / "go", os.O_RDWR), b"go\n")
