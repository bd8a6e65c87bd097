"""The training of one attempt with its checkpoints: where it goes on from, and when it is saved.

A checkpoint is written after a step (in protocol published after a cycle), no more often than the suite's `checkpoint`
says, and when a signal ends the process or asks the run to stop. The time decides when, and no number of the training.
It holds the cell's first training, the one of the result: repeats for the energy meter are never saved, so that joules
are those of whole trainings.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from types import FrameType
from typing import Any

from dtcbench.execution.interrupts import handled
from dtcbench.execution.task import Task
from dtcbench.record import Part, Provenance, Result
from dtcbench.records.location import place
from dtcbench.records.store import Store
from dtcbench.records.writer import Checkpoints
from dtcbench.text import error_line
from dtcbench.training import saved_state
from dtcbench.training.compressor import Compressor
from dtcbench.training.protocols import trained
from dtcbench.training.saved_state import State, StateError
from dtcbench.training.training_run import CellContext
from dtcbench.unavailable import Unavailable

FROM_THE_FIRST = Unavailable("the cell was trained from its first step")
_ORIGIN, _PARTS = "origin", "parts"
log = logging.getLogger(__name__)


class Checkpointing:
    """The checkpoints of one attempt; a failure to write one costs nothing but the checkpoint.

    Parameters
    ----------
    checkpoints : where they are
    every_s : seconds between two, and from the beginning to the first
    origin : what a training must have been saved of, to go on here
    node : names this one, as `Part.node` does
    alone : this process serves the attempt alone: SIGTERM (from Slurm, `ray stop`, a node that goes away) and SIGINT
        (from a driver that stops) end it, once the training is saved
    asked_to_stop : whether the run of this process was asked to stop: the training is saved once then, and goes on, as
        the process may soon be killed
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        every_s: float,
        origin: dict[str, Any],
        node: str,
        alone: bool = False,
        asked_to_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoints, self._every_s, self._origin = checkpoints, every_s, origin
        self._node, self._alone, self._clock = node, alone, clock
        self._asked_to_stop, self._has_answered = asked_to_stop, False
        self._is_ending = False
        self._last = clock()
        self.exist = False
        """Whether any have been seen or written."""
        self.parts = [Part(step=0, node=node)]
        """Those of the training so far, the last of which is this attempt's."""

    def trained(self, context: CellContext) -> tuple[Result, Compressor, int | Unavailable]:
        """Train the cell, from its last checkpoint that can be used; with the step at which it went on.

        `context` is one of a whole training, and gets the values that were evaluated in all its parts.
        """
        with handled(self._end, signal.SIGTERM, signal.SIGINT) if self._alone else nullcontext():
            return self._trained(replace(context, saving=self))

    def _trained(self, context: CellContext) -> tuple[Result, Compressor, int | Unavailable]:
        refused = []
        for name, content in self._found():
            try:
                saved = self._of_this_cell(saved_state.read(content))
                step = int(saved["steps"])
                self.parts = [*map(Part.model_validate, saved[_PARTS]), Part(step=step, node=self._node)]
                return *trained(replace(context, saved=saved)), step
            except StateError as error:
                refused.append(f"{name} was refused: {error}")
                context.evaluated.clear()
                self.parts = [Part(step=0, node=self._node)]
        why = f"the cell was trained anew: {'; '.join(refused)}" if refused else FROM_THE_FIRST.reason
        for one in refused:
            log.warning("%s; the cell begins anew", one)
        return *trained(context), Unavailable(why)

    def is_due(self) -> bool:
        """Whether a checkpoint is to be written now."""
        is_asked = self._asked_to_stop() and not self._has_answered
        return self._is_ending or is_asked or self._clock() - self._last >= self._every_s

    def save(self, state: State) -> None:
        """Write a checkpoint. SystemExit afterwards if the process is to end."""
        self._has_answered = self._asked_to_stop()
        try:
            parts = [part.model_dump() for part in self.parts]
            self._checkpoints.replace(saved_state.written({_ORIGIN: self._origin, _PARTS: parts, **state}))
            self.exist = True
        except Exception as error:  # each object store has exceptions of its own
            log.warning("no checkpoint was written: %s", error_line(error))
        self._last = self._clock()
        if self._is_ending:
            raise SystemExit("ended by a signal; the training was saved")

    def _end(self, signum: int, frame: FrameType | None) -> None:
        if self._is_ending:  # asked twice
            raise SystemExit("ended by a signal")
        self._is_ending = True

    def _found(self) -> list[tuple[str, bytes]]:
        try:
            files = self._checkpoints.files()
            self.exist = bool(files)
            return [(f"{file.parent.name}/{file.name}", file.read_bytes()) for file in files]
        except Exception as error:
            log.warning("no checkpoint was read: %s", error_line(error))
            return []

    def _of_this_cell(self, saved: dict[str, Any]) -> dict[str, Any]:
        there, here = saved.get(_ORIGIN, {}), self._origin
        if unlike := [name for name in {**there, **here} if there.get(name) != here.get(name)]:
            name = unlike[0]
            raise StateError(f"its {name} is {there.get(name)}, and here it is {here.get(name)}")
        return saved


def checkpointing_of(
    task: Task, provenance: Provenance, alone: bool, asked_to_stop: Callable[[], bool]
) -> Checkpointing | None:
    """Of an attempt on a node with this provenance, the data set's included; None if the suite wants no checkpoint."""
    job = task.job
    if job.checkpoint_s is None or job.run is None:
        return None
    checkpoints = Checkpoints(Store(place(job.run)), task.key, task.attempt)
    return Checkpointing(checkpoints, job.checkpoint_s, origin(task, provenance), task.node, alone, asked_to_stop)


def origin(task: Task, provenance: Provenance) -> dict[str, Any]:
    """What decides the bits of a training: the cell, and the stack and the class of hardware that it runs on."""
    kernels = {f"kernel of {name}": kernel for name, kernel in provenance.kernels.items()}
    return {
        "cell": task.key,
        "budget of steps": task.steps,
        "hardware": provenance.hardware_class,
        "driver": provenance.driver,
        "number of threads": provenance.threads,
        "python": provenance.python,
        "dtcbench": provenance.code,
        "data": provenance.dataset_sha256,
        **provenance.packages,
        **kernels,
        **provenance.plugins,
    }
