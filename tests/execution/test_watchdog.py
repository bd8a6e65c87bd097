"""What watches a cell from inside: a limit that nothing holds up, and signs of life."""

import subprocess
import sys
import tempfile

import pytest

from dtcbench.execution.stacks import stack_file, take_stack, time_limit

HOLDS_THE_LOCK = "re.match(r'(a+)+$', 'a' * 60 + 'b')"
"""A regular expression that backtracks for ages inside one call, with Python's global lock held."""
WAITS = "threading.Event().wait()"


@pytest.mark.parametrize("hang", [WAITS, HOLDS_THE_LOCK])
def test_a_process_that_hangs_ends_at_its_limit_and_leaves_its_stack(hang):
    attempt = f"test-{abs(hash(hang))}"
    script = (
        "import re, threading\nfrom dtcbench.execution.stacks import time_limit\n"
        f"def stuck():\n    {hang}\n"
        f"with time_limit(0.5, {attempt!r}):\n    stuck()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    assert "in stuck" in take_stack(attempt)
    assert take_stack(attempt) == ""


def test_what_ends_in_time_leaves_nothing():
    with time_limit(60.0, "in-time"):
        assert stack_file("in-time").exists()
    assert not stack_file("in-time").exists()
    with time_limit(None, "no-limit"):
        assert not stack_file("no-limit").exists()


@pytest.mark.parametrize("error", [FileNotFoundError("no usable temporary directory"), OSError(28, "No space left")])
def test_where_no_stack_can_be_kept_the_work_is_done_all_the_same(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    done = []
    with time_limit(60.0, "nowhere"):
        done.append("work")
    assert done == ["work"]
    assert take_stack("nowhere") == ""
