import pytest
from cells import cell

from dtcbench.execution.worker import Task, attempt, lost
from dtcbench.records.record import CellRecord, Status


@pytest.fixture(scope="session")
def ok_record():
    """The record of a real, small cell."""
    return CellRecord.model_validate(attempt(Task(cell("dtc"), "tiny", 1, "cpu")))


@pytest.fixture
def failed_record():
    task = Task(cell("random"), "tiny", 1, "cpu")
    return CellRecord.model_validate(lost(task, Status.ERROR, "it broke", "2025-01-01T00:00:00+00:00", 1.0))
