"""Each cell that ends, handed to MLflow or Weights & Biases by their own clients: a run of theirs per cell.

Where they keep it, the client decides: by MLFLOW_TRACKING_URI, WANDB_MODE and whatever else it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from dtcbench.errors import UserError
from dtcbench.execution.watcher import Watcher
from dtcbench.record import CellRecord, Cycle, Status, number_fields
from dtcbench.records.contributions import row
from dtcbench.records.tables import NUMBERS
from dtcbench.text import error_line

_OPTIONS = ("protocol", "model", "dataset", "method", "solver", "sparsity", "seed")
_OF_CYCLES = [name for name in number_fields(Cycle) if name not in ("cycle", "step")]


@dataclass(frozen=True)
class Tracked:
    """What is handed over of a cell. Names are those of the columns of `cells` and `cycles` (docs/columns.md)."""

    name: str
    options: dict[str, Any]
    """What was planned."""
    numbers: dict[str, float]
    """What was measured; a missing number is left out."""
    course: list[tuple[int, dict[str, float]]]
    """By optimiser step, the numbers of a cycle, as `cycle/NAME`."""
    tags: dict[str, str]
    """All else that is known, such as the key and the status."""
    began_ms: int
    """Milliseconds since 1970."""
    ended_ms: int
    is_ok: bool


def tracked(record: CellRecord) -> Tracked:
    """What is handed over of a record."""
    known = {name: value for name, value in row(record).items() if value is not None}
    cycles = record.result.cycles if record.result else []
    began_s = datetime.fromisoformat(record.started_at).timestamp()
    return Tracked(
        name=record.cell.label,
        options={name: known[name] for name in _OPTIONS if name in known},
        numbers={name: float(known[name]) for name in NUMBERS if name in known},
        course=[(cycle.step, _numbers_of(cycle)) for cycle in cycles],
        tags={name: str(value) for name, value in known.items() if name not in (*_OPTIONS, *NUMBERS)},
        began_ms=round(1e3 * began_s),
        ended_ms=round(1e3 * (began_s + record.wall_s)),
        is_ok=record.status is Status.OK,
    )


def _numbers_of(cycle: Cycle) -> dict[str, float]:
    return {f"cycle/{name}": float(value) for name, value in cycle if name in _OF_CYCLES and value is not None}


def _mlflow(suite: str) -> Callable[[Tracked], None]:
    """Runs of the experiment that is named after the suite."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient()
    known = client.get_experiment_by_name(suite)
    experiment = known.experiment_id if known else client.create_experiment(suite)

    def log(cell: Tracked) -> None:
        run = client.create_run(experiment, cell.began_ms, cell.tags, cell.name).info.run_id
        metrics = [Metric(name, value, cell.ended_ms, 0) for name, value in cell.numbers.items()]
        for step, numbers in cell.course:
            metrics += [Metric(name, value, cell.ended_ms, step) for name, value in numbers.items()]
        for first in range(0, len(metrics), 1000):  # as many as a server takes at once
            client.log_batch(run, metrics[first : first + 1000])
        client.log_batch(run, params=[Param(name, str(value)) for name, value in cell.options.items()])
        client.set_terminated(run, "FINISHED" if cell.is_ok else "FAILED", cell.ended_ms)

    return log


def _wandb(suite: str) -> Callable[[Tracked], None]:
    """Runs of the project that is named after the suite."""
    import wandb

    def log(cell: Tracked) -> None:
        config = {**cell.options, "dtcbench": cell.tags}
        settings = wandb.Settings(console="off", silent=True, disable_git=True, save_code=False)
        run = wandb.init(project=suite, name=cell.name, config=config, settings=settings, reinit="create_new")
        for step, numbers in cell.course:
            run.log(numbers, step=step)
        run.summary.update(cell.numbers)
        run.finish(exit_code=int(not cell.is_ok))

    return log


CLIENTS: dict[str, Callable[[str], Callable[[Tracked], None]]] = {"mlflow": _mlflow, "wandb": _wandb}
"""By name, what prepares a client for a suite: it gives what hands over a cell."""


class Tracker(Watcher):
    """Hands over each cell whose record is sealed, in a thread of its own: no cell waits for it.

    The records stay what counts. If a cell cannot be handed over, that is told, and no other is tried.

    Parameters
    ----------
    client : its name in CLIENTS
    told : is told what went wrong
    """

    def __init__(self, client: str, suite: str, told: Callable[[str], None]) -> None:
        if client not in CLIENTS:
            raise UserError(f"--track {client}: give {' or '.join(CLIENTS)}")
        self._client, self._suite, self._told = client, suite, told
        self._thread = ThreadPoolExecutor(1, client)
        self._log: Callable[[Tracked], None] | None = None
        self._trouble = ""

    def __enter__(self) -> Self:
        """Prepare the client. UserError if it cannot be used."""
        try:
            self._log = CLIENTS[self._client](self._suite)
        except ImportError as error:
            raise UserError(f"--track {self._client}: {error}; pip install 'dtcbench[{self._client}]'") from error
        except Exception as error:  # each client has exceptions of its own
            raise UserError(f"--track {self._client}: {error_line(error)}") from error
        return self

    def ended(self, record: CellRecord, final: bool) -> None:
        """Hand over the cell, unless it is tried again."""
        self._tell()
        if final:
            self._thread.submit(self._hand_over, record)

    def _hand_over(self, record: CellRecord) -> None:
        if self._log is None:
            return
        try:
            self._log(tracked(record))
        except Exception as error:
            self._trouble, self._log = error_line(error), None

    def _tell(self) -> None:
        trouble, self._trouble = self._trouble, ""
        if trouble:
            self._told(f"--track {self._client}: {trouble}; what was not handed over is in the records alone")

    def __exit__(self, *error: object) -> None:
        """Wait for the cells that are being handed over."""
        self._thread.shutdown()
        self._tell()
