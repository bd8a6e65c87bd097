import pytest
from cells import cell, task

from dtcbench.execution.worker import attempt
from dtcbench.record import CellRecord, Status


@pytest.fixture(scope="session")
def ok_record():
    """The record of a real, small cell."""
    return CellRecord.model_validate(attempt(task(cell("dtc"))).record)


@pytest.fixture
def failed_record():
    return task(cell("random")).record(Status.ERROR, "it broke", "2025-01-01T00:00:00+00:00", 1.0)
