"""Nothing of a library's on the terminal."""

import os
import stat
import subprocess
import sys

SCRIPT = """
import os, sys
from pathlib import Path
from dtcbench.execution.quiet import quiet

print("before")
with quiet() as (terminal, keep):
    print("python's own")
    os.write(1, b"from the system\\n")
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
    print("an error", file=sys.stderr)
    os.write(2, b"from C++\\n")
    print("for the user", file=terminal, flush=True)
print("after")
"""


def test_what_libraries_print_goes_to_the_log_and_only_ours_to_the_terminal(tmp_path):
    log = tmp_path / "ray.log"
    ended = subprocess.run([sys.executable, "-c", SCRIPT, log], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["before", "for the user", "after"]
    assert ended.stderr == ""
    assert log.read_text().splitlines() == ["python's own", "from the system", "an error", "from C++"]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    subprocess.run([sys.executable, "-c", SCRIPT, log], capture_output=True, check=True)
    assert len(log.read_text().splitlines()) == 8


def test_without_a_log_nothing_is_written_anywhere(tmp_path):
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ended.stdout.splitlines() == ["before", "for the user", "after"]
    assert ended.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_what_is_for_the_user_keeps_to_the_terminals_encoding_and_survives_its_reader(tmp_path):
    script = SCRIPT.replace('"for the user"', '"3 × 2 − 1"')
    ascii = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([sys.executable, "-c", script, tmp_path / "log"], capture_output=True, text=True, env=ascii)
    assert ended.stdout.splitlines() == ["before", "3 x 2 - 1", "after"]
    script = SCRIPT.replace('print("before")', "os.close(0)").replace('print("after")', "")
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-c", script, tmp_path / "log"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")
