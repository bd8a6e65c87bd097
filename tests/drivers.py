"""Drivers in processes of their own, which can be killed without a word."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from cells import job

from dtcbench.execution.driver import drive, to_run
from dtcbench.execution.executor import InlineExecutor
from dtcbench.execution.quiet import quiet
from dtcbench.execution.ray_executor import RayExecutor
from dtcbench.execution.task import Job
from dtcbench.execution.watcher import Watcher
from dtcbench.plan.cell import Cell
from dtcbench.plan.request import Request
from dtcbench.records.store import Store
from dtcbench.registry import Plugin

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["sklearn.datasets", "dtcbench.execution.driver", "ray"])  # else seconds for each


class Driver:
    """A process that does what is missing in a run's folder, until it is killed."""

    def __init__(
        self,
        folder: Path,
        cells: tuple[Cell, ...],
        address: str | None,
        plugins: tuple[Plugin, ...] = (),
        timeout_s: float | None = None,
        checkpoint_s: float | None = None,
    ) -> None:
        """On the cluster at `address`, or inline."""
        self._news, end = _PROCESSES.Pipe(duplex=False)
        the_job = replace(job(timeout_s, plugins), checkpoint_s=checkpoint_s, run=str(folder))
        arguments = folder, cells, address, the_job, end
        self._process = _PROCESSES.Process(target=_do_what_is_missing, args=arguments)
        self._process.start()
        end.close()

    def has_started_a_cell(self, within_s: float) -> bool:
        """Wait so long, at most, for its first cell to start, or for its end."""
        return self._news.poll(within_s)

    def kill(self) -> None:
        """SIGKILL; gone when this returns."""
        self._process.kill()
        self._process.join()

    def join(self, timeout_s: float | None = None) -> int | None:
        """Wait for its end; its exit code, None where it goes on."""
        self._process.join(timeout_s)
        return self._process.exitcode


class _Teller(Watcher):
    """Tells of the first start alone: a pipe that nobody empties must not fill."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._told = pipe, False

    def started(self, cell: Cell) -> None:
        if not self._told:
            self._pipe.send(cell.key)
            self._told = True


def _do_what_is_missing(
    folder: Path,
    cells: tuple[Cell, ...],
    address: str | None,
    the_job: Job,
    pipe: Connection,
) -> None:
    for plugin in the_job.plugins:
        plugin.load()
    store = Store(folder)
    with store.locked() as writer, quiet() as (_, keep):
        keep(folder / "ray.log")
        executor = RayExecutor(Request(cpus=1), address=address) if address else InlineExecutor()
        contents = store.read()
        writer.prepare_checkpoints(contents)
        drive(to_run(cells, contents, the_job), the_job, writer, executor, _Teller(pipe))
        executor.close()
