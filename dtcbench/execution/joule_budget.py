"""The steps that a measured budget of joules allows a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dtcbench.analysis.energy_columns import DISQUALIFYING
from dtcbench.execution.task import Task
from dtcbench.plan.joule_budget import Measured, steps_for_joules, unlike
from dtcbench.record import INCONCLUSIVE, CellRecord, Status
from dtcbench.records.store import Store
from dtcbench.unavailable import Unavailable


@dataclass(frozen=True)
class Giving:
    """What an ended cell gives to the budgets of others."""

    joules: float | Unavailable
    """Those of its training; with a reason if they could not be ranked either."""
    steps: int = 0
    """Those it took."""
    measured: Measured | None = None
    """How, if they were."""
    is_final: bool = True
    """Whether another attempt would change nothing."""

    @classmethod
    def of(cls, record: CellRecord) -> Giving:
        """What this record gives. A simulated board's joules count among themselves."""
        if record.result is None:
            why = Unavailable(f"it ended as {record.status}: {record.reason}")
            return cls(why, is_final=record.status not in INCONCLUSIVE)
        trace = record.energy.trace if record.energy else None
        how = Measured(trace.gpu_uuid, record.energy.method, record.energy.scope) if record.energy and trace else None
        return cls(_joules(record), record.result.steps, how)


_NOT_RUN = Giving(Unavailable("it has not been run"), is_final=False)


@dataclass(frozen=True)
class Refused:
    """How a cell ends that has no budget."""

    status: Status
    """`skipped` if its budget may still be measured, else `error`."""
    reason: str


def givings(tasks: Iterable[Task], store: Store) -> dict[str, Giving]:
    """By key, what the run's sealed records give to the tasks' budgets."""
    wanted = {key for task in tasks if task.givers for key in (task.givers.dense, task.givers.compressed)}
    if not wanted:
        return {}
    files = [attempts for key, attempts in store.files().items() if key in wanted]
    return {record.key: Giving.of(record) for record in store.decisive(files, CellRecord)}


def allowed_steps(task: Task, given: Mapping[str, Giving]) -> int | Refused | None:
    """The steps of a task with a budget of joules, None of any other; refused if the joules are not known."""
    if task.givers is None:
        return None
    keys = {"dense": task.givers.dense, "dtc": task.givers.compressed}
    known: dict[str, float] = {}
    for name, key in keys.items():
        giving = given.get(key, _NOT_RUN)
        if isinstance(giving.joules, Unavailable):
            status = Status.ERROR if giving.is_final else Status.SKIPPED
            of = f"its budget is the joules of cell {key[:12]} ({name}), which are not known"
            return Refused(status, f"{of}: {giving.joules.reason}")
        known[name] = giving.joules
    dense, compressed = (given[key] for key in keys.values())
    if dense.measured and compressed.measured and (differing := unlike(dense.measured, compressed.measured)):
        return Refused(Status.ERROR, f"its budget is the joules of dense and dtc, which do not compare: {differing}")
    if steps := steps_for_joules(known["dtc"], known["dense"], dense.steps):
        return steps
    return Refused(Status.ERROR, f"its budget of {known['dtc']:.4g} J is less than one step of dense takes")


def _joules(record: CellRecord) -> float | Unavailable:
    energy = record.energy
    if energy is None:
        return Unavailable("nothing says how its energy was measured")
    if energy.energy_j is None:
        return Unavailable(energy.reasons.get("energy_j", "no reason is given"))
    barring = [words for flag, words in DISQUALIFYING.items() if flag in energy.flags and flag != "simulated"]
    return Unavailable(f"they are barred: {', '.join(barring)}") if barring else energy.energy_j
