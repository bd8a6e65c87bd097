"""The steps that a measured budget of joules allows a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dtcbench.analysis.energy_columns import DISQUALIFYING
from dtcbench.execution.task import Task
from dtcbench.plan.joule_budget import steps_for_joules
from dtcbench.record import CellRecord
from dtcbench.records.store import Store
from dtcbench.unavailable import Unavailable


@dataclass(frozen=True)
class Giving:
    """What an ended cell gives to the budgets of others."""

    joules: float | Unavailable
    """Those of its training; with a reason if they could not be ranked either."""
    steps: int
    """Those it took; 0 if it is not ok."""

    @classmethod
    def of(cls, record: CellRecord) -> Giving:
        """What this record gives. A simulated board's joules count among themselves."""
        if record.result is None:
            return cls(Unavailable(f"it ended as {record.status}: {record.reason}"), 0)
        return cls(_joules(record), record.result.steps)


def givings(tasks: Iterable[Task], store: Store) -> dict[str, Giving]:
    """By key, what the run's sealed records give to the tasks' budgets."""
    wanted = {key for task in tasks if task.givers for key in (task.givers.dense, task.givers.compressed)}
    if not wanted:
        return {}
    files = [attempts for key, attempts in store.files().items() if key in wanted]
    return {record.key: Giving.of(record) for record in store.decisive(files, CellRecord)}


def allowed_steps(task: Task, given: Mapping[str, Giving]) -> int | Unavailable | None:
    """The steps of a task with a budget of joules, None of any other; unavailable if no joules are known."""
    if task.givers is None:
        return None
    found = []
    for name, key in (("dense", task.givers.dense), ("dtc", task.givers.compressed)):
        giving = given.get(key)
        why = "it has not been run" if giving is None else getattr(giving.joules, "reason", "")
        if giving is None or isinstance(giving.joules, Unavailable):
            return Unavailable(f"its budget is the joules of cell {key[:12]} ({name}), which are not known: {why}")
        found.append((giving.joules, giving.steps))
    (dense_j, dense_steps), (budget_j, _) = found
    if steps := steps_for_joules(budget_j, dense_j, dense_steps):
        return steps
    return Unavailable(f"its budget of {budget_j:.4g} J is less than one step of dense takes")


def _joules(record: CellRecord) -> float | Unavailable:
    energy = record.energy
    if energy is None:
        return Unavailable("nothing says how its energy was measured")
    if energy.energy_j is None:
        return Unavailable(energy.reasons.get("energy_j", "no reason is given"))
    barring = [words for flag, words in DISQUALIFYING.items() if flag in energy.flags and flag != "simulated"]
    return Unavailable(f"they are barred: {', '.join(barring)}") if barring else energy.energy_j
