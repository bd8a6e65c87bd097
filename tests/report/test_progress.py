"""A run as it happens."""

import io

import pytest
from rich.console import Console

from dtcbench.report.progress import RunProgress


@pytest.mark.parametrize(
    ("running", "told"),
    [
        (0, "stopping: no cell is running"),
        (1, "stopping: 1 running cell is finished first; Ctrl-C again stops at once"),
        (2, "stopping: 2 running cells are finished first; Ctrl-C again stops at once"),
    ],
)
def test_who_stops_a_run_hears_what_is_finished_first(running, told):
    away = Console(file=io.StringIO(), width=160)
    with RunProgress(away, 3) as progress:
        progress.stopping(running)
    assert away.file.getvalue() == f"{told}\n"
